"""Segments in a prompt: parts whose order says nothing, such as the options of a question or retrieved documents.

A prompt marks them with two characters that stand in no text, since Unicode keeps them for internal use: `OPEN`
(U+FDD0) before each segment, `CLOSE` (U+FDD1) after the last one. There is one list of segments in a prompt, not
nested. The marks never reach the model: prefix, each segment and what follows are turned into tokens apart from each
other, whatever is installed, so that a segment has the same tokens wherever it stands. Only a `SegmentEdit` reads where
they were.
"""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.errors import UsageError

OPEN = "\ufdd0"
CLOSE = "\ufdd1"


def segmented(prefix: str, segments: Sequence[str], suffix: str) -> str:
    """A prompt with segments.

    Raises:
        UsageError: a part is marked itself, or a segment is empty.
    """
    parts = (prefix, *segments, suffix)
    if any(mark in part for part in parts for mark in (OPEN, CLOSE)):
        raise UsageError("A part of a prompt with segments holds a mark of segments itself: lists are not nested.")
    if not segments or not all(segments):
        raise UsageError(f"A prompt with segments needs at least one, none of them empty; given: {segments!r:.80}.")
    return prefix + OPEN + OPEN.join(segments) + CLOSE + suffix


def split(text: str) -> tuple[str, tuple[str, ...], str]:
    """Prefix, segments and what follows; a text without marks is all prefix.

    Raises:
        UsageError: the marks are not those of one list.
    """
    prefix, opened, rest = text.partition(OPEN)
    inside, closed, suffix = rest.partition(CLOSE)
    if not opened and CLOSE not in text:
        return text, (), ""
    if not opened or not closed or CLOSE in prefix or OPEN in suffix or CLOSE in suffix:
        raise UsageError(
            "A prompt has marks of segments that do not fit: U+FDD0 stands before each segment and one U+FDD1 after "
            "the last. Make such prompts with evenhand.core.segments.segmented."
        )
    return prefix, tuple(filter(None, inside.split(OPEN))), suffix


def plain(text: str) -> str:
    """The text without its marks, for readers."""
    return text.replace(OPEN, "").replace(CLOSE, "")
