"""File handles: never two alike, and what their upper bits tell the kernel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotfs.fuse import file_handles, helper
from shotfs.fuse.file_handles import FileHandles

needs_helper = pytest.mark.skipif(helper.MODULE is None, reason=helper.PROBLEM or "-")


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 3), st.integers(0, 30)), max_size=60
    )
)
def test_open_handles_are_never_alike_also_when_numbers_begin_anew(
    steps: list[tuple[bool, bool, int, int]],
) -> None:
    bits = file_handles._NUMBER_BITS
    file_handles._NUMBER_BITS = 6  # 63 numbers
    try:
        files: set[int] = set()
        directories: set[int] = set()
        handles = FileHandles(files, directories)
        for is_file, flag, backing, drop in steps:
            if is_file:
                number = handles.of_file(writable=flag, backing=backing if helper.MODULE else 0)
            else:
                number = handles.of_directory(cached=flag, kept=bool(backing))
            assert number > 0
            assert number not in files
            assert number not in directories
            (files if is_file else directories).add(number)
            for taken in (files, directories):
                if drop < len(taken):
                    taken.remove(sorted(taken)[drop])
    finally:
        file_handles._NUMBER_BITS = bits


def test_a_number_that_is_open_for_long_is_passed_over() -> None:
    taken = {2, 3}
    handles = FileHandles(taken)
    numbers = [handles.of_directory(cached=False, kept=False) for _ in range(2)]
    assert numbers == [1, 4]


def test_after_the_last_number_comes_the_first_and_never_zero() -> None:
    taken: set[int] = set()
    handles = FileHandles(taken)
    handles._last = (1 << 29) - 2
    numbers = [handles.of_directory(cached=False, kept=False) for _ in range(2)]
    assert numbers == [(1 << 29) - 1, 1]


@needs_helper
def test_a_handle_carries_what_the_kernel_shall_know() -> None:
    module = helper.MODULE
    assert module is not None
    handles = FileHandles(set())
    reader = handles.of_file(writable=False, backing=0)
    writer = handles.of_file(writable=True, backing=0)
    backed = handles.of_file(writable=True, backing=77)
    assert (reader & module.NOFLUSH, writer & module.NOFLUSH) == (module.NOFLUSH, 0)
    assert (backed >> module.BACKING_SHIFT, writer >> module.BACKING_SHIFT) == (77, 0)
    both = module.CACHE_DIR | module.KEEP_CACHE
    assert handles.of_directory(cached=True, kept=True) & both == both
    assert handles.of_directory(cached=True, kept=False) & both == module.CACHE_DIR
    assert handles.of_directory(cached=False, kept=True) & both == 0
    assert backed < 1 << 63


def test_without_the_helper_a_handle_is_a_number_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "MODULE", None)
    handles = FileHandles(set())
    assert handles.of_file(writable=False, backing=0) == 1
    assert handles.of_directory(cached=True, kept=True) == 2


@needs_helper
def test_numbers_stay_below_the_flags() -> None:
    module = helper.MODULE
    assert module is not None
    assert module.NUMBER_BITS == file_handles._NUMBER_BITS
    lowest = min(module.NOFLUSH, module.CACHE_DIR, module.KEEP_CACHE)
    assert lowest >= 1 << module.NUMBER_BITS
    assert max(module.NOFLUSH, module.CACHE_DIR, module.KEEP_CACHE) < 1 << module.BACKING_SHIFT
