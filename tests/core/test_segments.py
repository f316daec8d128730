"""Segments in prompts: written, read back, refused."""

from __future__ import annotations

import pytest

from evenhand.core.errors import UsageError
from evenhand.core.segments import CLOSE, OPEN, plain, segmented, split


def test_what_is_written_is_read_back() -> None:
    text = segmented("Which?\n", ["- one\n", "- two\n"], "Answer:")
    assert split(text) == ("Which?\n", ("- one\n", "- two\n"), "Answer:")
    assert plain(text) == "Which?\n- one\n- two\nAnswer:"
    assert split("no marks") == ("no marks", (), "")
    assert split(segmented("", ["a"], "")) == ("", ("a",), "")


def test_the_marks_are_no_white_space_that_somebody_could_strip() -> None:
    assert (OPEN + CLOSE).strip() == OPEN + CLOSE


@pytest.mark.parametrize("text", [f"a{OPEN}b", f"a{CLOSE}b", f"{OPEN}a{CLOSE}b{OPEN}c{CLOSE}", f"{CLOSE}a{OPEN}"])
def test_marks_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        split(text)


def test_parts_that_hold_marks_or_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="nested"):
        segmented("a", [segmented("b", ["c"], "d")], "e")
    for parts in ([], ["a", ""]):
        with pytest.raises(UsageError, match="at least one"):
            segmented("a", parts, "b")
