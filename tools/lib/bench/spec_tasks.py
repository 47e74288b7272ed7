"""One measurement of tools/bench/spec each, in a process of its own. Prints JSON."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.unit.pathspec import generated

from shotfs.digest import Digest
from shotfs.pathspec import Specification, compiled, include_locations, load, regex
from shotfs.pathspec.elements import expand
from shotfs.pathspec.regex import Chars, Group, Regex, Repeat, Same, Sequence

ROOT = Path(__file__).parents[3]
SOURCE = "generated.json"
PEER_PATHS = 300
WARM_PATHS = 6


def rss_mb() -> float:
    """Return this process's resident memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel tells it")


def first(place: str, count: str) -> dict[str, float]:
    """Load the documents, with all proofs, and make the compiled form."""
    text = generated.text(int(count))
    before_mb = rss_mb()
    started = time.perf_counter()
    spec = load(text, source=SOURCE, site=None)
    Path(place, "compiled").write_bytes(compiled.dump(spec))
    seconds = time.perf_counter() - started
    Path(place, "digest").write_text(spec.documents[0][1], encoding="ascii")
    assert len(spec.templates) == int(count), "templates were lost"
    return {"seconds": seconds, "rss_mb": rss_mb() - before_mb}


def restore(place: str, count: str, paths: str, seed: str) -> dict[str, float]:
    """Load the compiled form, then resolve paths that this process has not seen before."""
    before_mb = rss_mb()
    started = time.perf_counter()
    spec = _restored(place)
    load_s = time.perf_counter() - started
    size_mb = Path(place, "compiled").stat().st_size / 1e6
    numbers = random.Random(int(seed))
    stream = generated.paths(int(count), numbers.randrange(10**9))
    once = list(itertools.islice(stream, len(spec.templates)))
    first_s = _timed(spec, (one.text for one in once))
    for one in once:
        found = spec.resolve(one.text)
        assert found is not None, one
        assert found.template.name == one.template, one
        assert all(found.fields[name] == text for name, text in one.fields.items()), one
    # All ways to write each template, so that what follows compiles nothing any more.
    for one in itertools.islice(stream, WARM_PATHS * len(spec.templates)):
        spec.resolve(one.text)
    wanted = [one.text for one in itertools.islice(stream, int(paths))]
    measured_mb = rss_mb() - before_mb
    unique_s = _timed(spec, wanted)
    wrong = [f"{one[:-1]}#" for one in wanted]
    return {
        "load_s": load_s,
        "size_mb": size_mb,
        "rss_mb": measured_mb,
        "first_per_s": len(once) / first_s,
        "unique_per_s": len(wanted) / unique_s,
        "impossible_per_s": len(wrong) / _timed(spec, wrong),
    }


def _timed(spec: Specification, paths: Iterable[str]) -> float:
    resolve = spec.resolve
    listed = list(paths)
    started = time.perf_counter()
    for path in listed:
        resolve(path)
    return time.perf_counter() - started


def dna(_place: str, paths: str, seed: str) -> dict[str, float]:
    """Resolve frames of the documentation's example."""
    spec = _example(ROOT / "docs/examples/dna.json")
    dice = random.Random(int(seed))
    made = []
    for index in range(int(paths)):
        shot = f"{dice.choice('abxy')}{dice.choice('xyz')}_{dice.randrange(1, 10)}"
        shot += f"_{dice.randrange(1000):03d}_{dice.randrange(1000):03d}_00_v{index % 900 + 1:03d}"
        made.append(f"render/{shot}/beauty/{shot}.{dice.randrange(1001, 1200)}.png")
    found = spec.resolve(made[0])
    assert found is not None, made[0]
    return {"per_s": len(made) / _timed(spec, made)}


def _example(path: Path) -> Specification:
    texts: dict[str, str] = {}
    waiting = [str(path)]
    while waiting:
        location = waiting.pop()
        texts[location] = Path(location).read_text(encoding="utf-8")
        waiting.extend(include_locations(texts[location], location))
    main = texts.pop(str(path))
    return load(main, source=str(path), documents=texts)


# --- peers ---------------------------------------------------------------------------------------


def tried_in_order(place: str, count: str) -> dict[str, float]:
    """Python's own expressions, one for each variant, the first that matches wins."""
    expressions = _expressions(_restored(place), plain=False)
    started = time.perf_counter()
    matchers = [re.compile(one, re.ASCII).fullmatch for one in expressions]
    compile_s = time.perf_counter() - started

    def resolve(path: str) -> dict[str, str] | None:
        for match in matchers:
            found = match(path)
            if found is not None:
                return found.groupdict()
        return None

    return {"compile_s": compile_s, "per_s": _peer_rate(int(count), resolve)}


def in_a_set(place: str, count: str) -> dict[str, float | str]:
    """google-re2: all expressions in one automaton; it says which match, without fields."""
    import re2

    expressions = _expressions(_restored(place), plain=True)
    options = re2.Options()
    options.max_mem = 1 << 30
    started = time.perf_counter()
    try:
        patterns = re2.Set.FullMatchSet(options)
        for one in expressions:
            patterns.Add(re.sub(r"\\U([0-9a-f]{8})", r"\\x{\1}", one))
        patterns.Compile()
    except re2.error as error:
        return {"failed": str(error)}
    compile_s = time.perf_counter() - started
    return {"compile_s": compile_s, "per_s": _peer_rate(int(count), patterns.Match)}


def _restored(place: str) -> Specification:
    digest = Digest(Path(place, "digest").read_text(encoding="ascii"))
    data = Path(place, "compiled").read_bytes()
    spec = compiled.restore(data, documents={SOURCE: digest}, site=None)
    assert spec is not None, "the compiled form was not read"
    return spec


def _peer_rate(count: int, resolve: Callable[[str], object]) -> float:
    stream = generated.paths(count, 1)
    warm = list(itertools.islice(stream, PEER_PATHS))
    wanted = list(itertools.islice(stream, PEER_PATHS))
    for one in warm:
        resolve(one.text)
    started = time.perf_counter()
    for one in wanted:
        assert resolve(one.text), one
    return len(wanted) / (time.perf_counter() - started)


def _expressions(spec: Specification, *, plain: bool) -> list[str]:
    """Return one expression for each variant; *plain*: without groups and repeated fields."""
    found: list[str] = []
    for pattern in spec.patterns.values():
        for variant in pattern.variants:
            seen: set[str] = set()
            trees = [expand(tokens, spec.fields, seen) for tokens in variant.elements]
            found.append("/".join(regex.render(_plain(one) if plain else one) for one in trees))
    return found


def _plain(tree: Regex) -> Regex:
    match tree:
        case Group(_, body) | Same(_, body):
            return _plain(body)
        case Sequence(parts):
            return Sequence(tuple(map(_plain, parts)))
        case Repeat(body, least, most):
            return Repeat(_plain(body), least, most)
        case Chars():
            return tree
    return tree


TASKS: dict[str, Callable[..., dict[str, float] | dict[str, float | str]]] = {
    "first": first,
    "restore": restore,
    "dna": dna,
    "re": tried_in_order,
    "re2": in_a_set,
}

if __name__ == "__main__":
    json.dump(TASKS[sys.argv[1]](*sys.argv[2:]), sys.stdout)
    sys.stdout.flush()
    # The interpreter would take a second to free ten thousand templates.
    os._exit(0)
