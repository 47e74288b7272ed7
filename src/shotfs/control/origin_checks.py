"""What `shotfs doctor` checks beyond the node: specifications and the origins that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from shotfs.control.checks import Finding, Verdict
from shotfs.errors import ConfigInvalid, DocumentInvalid, ShotfsError

if TYPE_CHECKING:
    from shotfs.config import Settings
    from shotfs.observe.metrics import Metrics
    from shotfs.pathspec import Specification
    from shotfs.tiers.base import Tier

ORIGIN_TIMEOUT_S = 30.0
"""How long one origin may take to answer; the doctor asks all of them at once."""


def check_origins(settings: Settings, *, timeout_s: float = ORIGIN_TIMEOUT_S) -> list[Finding]:
    """Check each show's specification, then reach each origin with its credentials. Blocks.

    Must not be called where a trio loop runs already.
    """
    return trio.run(_check, settings, timeout_s)


async def _check(settings: Settings, timeout_s: float) -> list[Finding]:
    from shotfs.observe.metrics import Metrics

    metrics = Metrics()
    findings: list[Finding] = []
    origins = dict.fromkeys(url for url in settings.origins if "://" in url)
    if not settings.shows:
        findings.append(
            Finding(
                "shows",
                Verdict.WRONG,
                "the configuration names no show, so the mount would be empty",
                'add one: [shows.NAME] and spec = "NAME.json"',
            )
        )
    for show, show_settings in settings.shows.items():
        finding, specification = await _check_spec(
            show, show_settings.spec, settings, metrics, timeout_s
        )
        findings.append(finding)
        if specification is not None:
            origins.update(dict.fromkeys(specification.origins))
    results: dict[str, Finding] = {}

    async def check_one(url: str) -> None:
        results[url] = await _check_origin(url, settings, metrics, timeout_s)

    async with trio.open_nursery() as nursery:
        for url in origins:
            nursery.start_soon(check_one, url)
    return findings + [results[url] for url in origins]


async def _check_spec(
    show: str, source: str, settings: Settings, metrics: Metrics, timeout_s: float
) -> tuple[Finding, Specification | None]:
    from shotfs.namespace import TierPool
    from shotfs.namespace.documents import read_documents

    check = f"specification of {show}"
    tiers = TierPool(settings, metrics)
    try:
        with trio.fail_after(timeout_s):
            documents = await read_documents(source, tiers)
        specification = documents.load(show, settings)
    except ConfigInvalid as exc:
        problem = exc.problems[0]
        return Finding(check, Verdict.WRONG, f"{exc.source}: {problem.message}", problem.fix), None
    except DocumentInvalid as exc:
        return Finding(check, Verdict.WRONG, exc.message, f"shotfs spec check {source}"), None
    except ShotfsError as exc:
        return Finding(check, Verdict.WRONG, f"{source}: {exc.message}", exc.fix), None
    except trio.TooSlowError:
        return Finding(check, Verdict.WRONG, f"{source}: no answer in {timeout_s:g} s"), None
    finally:
        with trio.CancelScope(shield=True):
            await tiers.aclose()
    count = len(specification.templates)
    return Finding(check, Verdict.OK, f"{source}: {count} templates"), specification


async def _check_origin(
    url: str, settings: Settings, metrics: Metrics, timeout_s: float
) -> Finding:
    check = f"origin {url}"
    try:
        with trio.fail_after(timeout_s):
            tier = await _open(url, settings, metrics)
            try:
                await tier.check()
            finally:
                with trio.move_on_after(1, shield=True):
                    await tier.aclose()
    except ShotfsError as exc:
        return Finding(check, Verdict.WRONG, exc.message, exc.fix)
    except trio.TooSlowError:
        return Finding(
            check,
            Verdict.WRONG,
            f"no answer in {timeout_s:g} s",
            "check the network, the proxy, and endpoint_url in the configuration",
        )
    # A library's own exception must not hide what the other checks found.
    except Exception as exc:  # noqa: BLE001
        return Finding(check, Verdict.WRONG, f"{type(exc).__name__}: {exc}", "please report it")
    return Finding(check, Verdict.OK, "reachable, and our credentials may list it")


async def _open(url: str, settings: Settings, metrics: Metrics) -> Tier:
    from shotfs.tiers.registry import open_tier

    return await open_tier(url, settings, metrics)
