"""What the server refuses, in the words that Google uses, for both APIs."""

from __future__ import annotations


class Refusal(Exception):
    """A request is answered with an error status.

    Args:
        status: the HTTP status.
        reason: the JSON API's ``errors[0].reason``.
        code: the XML API's ``<Code>``.
        message: for people; clients look for some of these words.
        headers: extra response headers.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.reason = reason
        self.code = code
        self.message = message
        self.headers = headers or {}


def no_such_bucket() -> Refusal:
    return Refusal(404, "notFound", "NoSuchBucket", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> Refusal:
    return Refusal(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def not_found() -> Refusal:
    return Refusal(404, "notFound", "NotFound", "Not Found")


def no_such_upload() -> Refusal:
    return Refusal(
        404, "notFound", "NoSuchUpload", "The requested upload was not found, or has ended."
    )


def precondition_failed() -> Refusal:
    return Refusal(
        412,
        "conditionNotMet",
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold.",
    )


def not_modified(etag: str) -> Refusal:
    return Refusal(304, "notModified", "NotModified", "Not Modified", {"ETag": etag})


def invalid(message: str, *, code: str = "InvalidArgument") -> Refusal:
    return Refusal(400, "invalid", code, message)


def required(name: str) -> Refusal:
    return Refusal(400, "required", "InvalidArgument", f"Required parameter: {name}")


def bad_digest(kind: str, given: str, computed: str) -> Refusal:
    return Refusal(
        400,
        "invalid",
        "BadDigest",
        f'Provided {kind} hash "{given}" doesn\'t match calculated {kind} hash "{computed}".',
    )


def range_not_satisfiable(size_bytes: int) -> Refusal:
    return Refusal(
        416,
        "requestedRangeNotSatisfiable",
        "InvalidRange",
        "Request range not satisfiable",
        {"Content-Range": f"bytes */{size_bytes}"},
    )


def method_not_allowed(method: str) -> Refusal:
    return Refusal(
        405,
        "methodNotAllowed",
        "MethodNotAllowed",
        f"The specified method {method} is not allowed against this resource.",
    )


def unauthorized(*, anonymous: bool) -> Refusal:
    message = (
        "Anonymous caller does not have storage access to this resource, or it may not exist."
        if anonymous
        else "Invalid Credentials"
    )
    return Refusal(
        401,
        "required" if anonymous else "authError",
        "AuthenticationRequired",
        message,
        {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'},
    )


def forbidden(permission: str) -> Refusal:
    return Refusal(
        403,
        "forbidden",
        "AccessDenied",
        f"The caller does not have {permission} access to the Google Cloud Storage object. "
        f"Permission '{permission}' denied on resource (or it may not exist).",
    )


_BY_STATUS = {
    400: ("invalid", "InvalidArgument", "Invalid argument."),
    401: ("authError", "AuthenticationRequired", "Invalid Credentials"),
    403: ("forbidden", "AccessDenied", "The caller does not have access to this resource."),
    404: ("notFound", "NoSuchKey", "No such object"),
    408: ("uploadBrokenConnection", "RequestTimeout", "Request timeout"),
    412: ("conditionNotMet", "PreconditionFailed", "A precondition did not hold."),
    429: (
        "rateLimitExceeded",
        "SlowDown",
        "The object exceeded the rate limit for object mutation operations.",
    ),
    500: ("backendError", "InternalError", "We encountered an internal error. Please try again."),
    502: ("backendError", "BadGateway", "Bad Gateway"),
    503: ("backendError", "ServiceUnavailable", "Backend Error"),
    504: ("backendError", "GatewayTimeout", "Gateway Timeout"),
}


def on_request(status: int) -> Refusal:
    """Return the refusal that a fault with this *status* makes."""
    reason, code, message = _BY_STATUS.get(status, ("unknown", "Unknown", "Injected by a test"))
    return Refusal(status, reason, code, message)
