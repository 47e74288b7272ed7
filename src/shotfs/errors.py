"""Errors: one root, a class for each condition, each with the errno that an application sees.

Foreign exceptions are translated into these once, at the adapter that meets them. A message says
what happened and to which path or object; `fix` says what to do about it. `retryable` means that
the same call may succeed later without anybody changing anything.
"""

from __future__ import annotations

import errno as _errno
from dataclasses import dataclass


class ShotfsError(Exception):
    """Root of all errors that shotfs raises on purpose.

    Args:
        message: what happened, naming the path, object or setting.
        fix: what the reader can do about it; None where there is nothing to say.
        errno: overrides the class's errno for this one error.
    """

    errno: int = _errno.EIO
    retryable: bool = False

    def __init__(self, message: str, *, fix: str | None = None, errno: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        if errno is not None:
            self.errno = errno

    def __str__(self) -> str:
        return self.message if self.fix is None else f"{self.message}\n  fix: {self.fix}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a document that a person wrote.

    Attributes:
        where: TOML key path (``cache.bytes_max``) or JSON pointer (``/templates/frame``).
        message: what is wrong.
        fix: what to write instead, or None.
        line: 1-based line in the source; None where it is not known.
        column: 1-based column; None where it is not known.
        source: the document, where it is not the one that the error is about (an included one).
    """

    where: str
    message: str
    fix: str | None = None
    line: int | None = None
    column: int | None = None
    source: str | None = None


class DocumentInvalid(ShotfsError):
    """A document (configuration, specification) has mistakes; `problems` lists all of them."""

    errno = _errno.EINVAL

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        count = len(problems)
        super().__init__(
            f"{source}: {count} mistake{'' if count == 1 else 's'}\n"
            + "\n".join(_problem_text(source, problem) for problem in problems)
        )


def _problem_text(source: str, problem: Problem) -> str:
    source = problem.source or source
    place = source if problem.line is None else f"{source}:{problem.line}"
    if problem.line is not None and problem.column is not None:
        place += f":{problem.column}"
    text = f"  {place}: {problem.where}: {problem.message}"
    return text if problem.fix is None else f"{text}\n    fix: {problem.fix}"


class ConfigInvalid(DocumentInvalid):
    """The configuration has mistakes."""


class SpecInvalid(DocumentInvalid):
    """A path specification has mistakes."""


class PinInvalid(DocumentInvalid):
    """A pin file has mistakes, or cannot be read."""


class ImportInvalid(DocumentInvalid):
    """A document of another system (templates.yml, anatomy) has mistakes, or cannot be read."""


# --- tiers ---------------------------------------------------------------------------------------


class TierError(ShotfsError):
    """Something that a tier said or did not say."""


class ObjectNotFound(TierError):
    """The tier has no such object."""

    errno = _errno.ENOENT


class BucketNotFound(TierError):
    """The bucket, container or root directory of a tier does not exist."""

    errno = _errno.ENXIO


class RevisionChanged(TierError):
    """The object is not the revision that was asked for any more."""

    errno = _errno.ESTALE


class PreconditionFailed(TierError):
    """A create-only or compare-and-replace put lost: the object exists or has changed."""

    errno = _errno.EEXIST


class AccessDenied(TierError):
    """The tier refused our credentials, or they lack a permission."""

    errno = _errno.EACCES


class TierReadOnly(TierError):
    """This kind of tier cannot be written."""

    errno = _errno.EROFS


class TierUnavailable(TierError):
    """The tier cannot be reached or says that it is overloaded. Transient."""

    errno = _errno.ENETDOWN
    retryable = True


class TierTimeout(TierUnavailable):
    """The tier made no progress for the deadline."""

    errno = _errno.ETIMEDOUT


class TierBusy(TierUnavailable):
    """The tier answers, but not this request: too many at once (429, "slow down", 409)."""


class OriginDown(TierUnavailable):
    """The tier was not asked: it did not answer those who asked before (`tiers.breaker`)."""


class EgressSpent(TierError):
    """The budget of bytes that may be read from an origin is used up, for the day or the job."""

    errno = _errno.EDQUOT


class TierCorrupt(TierError):
    """Bytes, lengths or checksums from a tier contradict each other."""

    errno = _errno.EIO
    retryable = True


class RecordInvalid(TierError):
    """An object that shotfs keeps for itself (alias, version manifest) is not what it writes."""

    errno = _errno.EIO


class Unsupported(ShotfsError):
    """The operation does not exist here (hard links, a URL scheme that nobody knows)."""

    errno = _errno.ENOTSUP


# --- cache ---------------------------------------------------------------------------------------


class CacheError(ShotfsError):
    """The local cache cannot do what it was asked to."""


class CacheUnsafe(CacheError):
    """The cache directory can be written by others, or is not ours."""

    errno = _errno.EPERM


class CacheBusy(CacheError):
    """Another process owns the cache directory."""

    errno = _errno.EBUSY


class CacheFull(CacheError):
    """No room, and nothing that may be evicted."""

    errno = _errno.ENOSPC


class CacheStalled(CacheError):
    """The cache's disk made no progress for the deadline."""

    errno = _errno.ETIMEDOUT
    retryable = True


class DigestMismatch(CacheError):
    """The bytes that arrived are not the bytes that were promised."""

    errno = _errno.EIO


# --- the file system -----------------------------------------------------------------------------


class FilesystemError(ShotfsError):
    """An operation on a path that the file system refuses."""


class PathNotFound(FilesystemError):
    """There is nothing at this path."""

    errno = _errno.ENOENT


class PathExists(FilesystemError):
    """There is something at this path already."""

    errno = _errno.EEXIST


class PublishedImmutable(FilesystemError):
    """Published under an immutable template: EEXIST to write it, EPERM to change it."""

    errno = _errno.EPERM


class VersionBusy(FilesystemError):
    """A version cannot be published now: outputs are unfinished, or somebody else publishes it."""

    errno = _errno.EBUSY


class VersionSealing(FilesystemError):
    """Somebody publishes the version that an output belongs to; how that ends decides its fate."""

    errno = _errno.EAGAIN
    retryable = True


class AliasMoved(FilesystemError):
    """Somebody else moved the version alias meanwhile."""

    errno = _errno.ESTALE


class NoTemplate(FilesystemError):
    """No template of the specification can produce this path."""

    errno = _errno.EPERM


class NotPermitted(FilesystemError):
    """POSIX or the policy forbids it."""

    errno = _errno.EPERM


class ReadOnly(FilesystemError):
    """The mount or the template is read-only."""

    errno = _errno.EROFS


class NodeLeaves(FilesystemError):
    """This node drains because it goes away, and takes no new work."""

    errno = _errno.ESHUTDOWN


class IsADirectory(FilesystemError):
    """A file operation on a directory."""

    errno = _errno.EISDIR


class NotADirectory(FilesystemError):
    """A directory operation on something else."""

    errno = _errno.ENOTDIR


class DirectoryNotEmpty(FilesystemError):
    """rmdir or rename onto a directory that has entries."""

    errno = _errno.ENOTEMPTY


class NameTooLong(FilesystemError):
    """A name over 255 bytes or a key over 1,024 bytes."""

    errno = _errno.ENAMETOOLONG


class NameNotEncodable(FilesystemError):
    """A name that an object key cannot carry (not UTF-8, control characters)."""

    errno = _errno.EILSEQ


class InvalidArgument(FilesystemError):
    """The request makes no sense."""

    errno = _errno.EINVAL


class CrossDevice(FilesystemError):
    """A rename that cannot be done in place; the caller copies instead."""

    errno = _errno.EXDEV


class Stale(FilesystemError):
    """The path has another revision than the one that this handle or inode is of."""

    errno = _errno.ESTALE


class NoAttribute(FilesystemError):
    """No such extended attribute."""

    errno = _errno.ENODATA


class DeadlineExceeded(FilesystemError):
    """A request of an application made no progress for its deadline."""

    errno = _errno.ETIMEDOUT
    retryable = True


# --- outputs -------------------------------------------------------------------------------------


class SpoolFull(ShotfsError):
    """The spool's byte limit or its disk is full."""

    errno = _errno.ENOSPC


class SpoolBroken(ShotfsError):
    """The spool's disk or journal failed, or a write did not reach the disk."""

    errno = _errno.EIO


class OutputBusy(ShotfsError):
    """A process still has the data file of an output open for writing, or mapped."""

    errno = _errno.EBUSY
    retryable = True


class PublishConflict(ShotfsError):
    """Somebody else published other bytes under this path first; ours are in quarantine."""

    errno = _errno.EEXIST


# --- service -------------------------------------------------------------------------------------


class MountFailed(ShotfsError):
    """The mount could not be made."""


class ServiceNotRunning(ShotfsError):
    """No service answers on the control socket."""

    errno = _errno.ECONNREFUSED


class ServiceBusy(MountFailed):
    """Another service owns the control socket."""

    errno = _errno.EBUSY


# --- prewarm -------------------------------------------------------------------------------------


class ManifestInvalid(ShotfsError):
    """A manifest is damaged, of another format, or names paths that it may not."""

    errno = _errno.EINVAL


class ScanFailed(ShotfsError):
    """A scene file is damaged, is not what its name says, or what reads it is not installed."""

    errno = _errno.EINVAL
