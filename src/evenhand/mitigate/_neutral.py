"""A text about nothing in particular, as long as another: for shams of methods that work by a prompt."""

from __future__ import annotations

import itertools

_PASSAGE = (
    "The path along the river is wide and dry in the early part of the year. There are low hedges on both sides, and "
    "behind them lie fields of oats and barley. A wooden bridge leads over the water where the path turns to the "
    "north. Clouds come in from the coast in the afternoon, and light rain falls now and then before the evening. "
)


def neutral(text: str) -> str:
    """As many words on a landscape as `text` has, with the same character at the end if it is a mark."""
    count = len(text.split())
    words = list(itertools.islice(itertools.cycle(_PASSAGE.split()), count))
    if not words:
        return text
    end = text.rstrip()[-1]
    return " ".join(words).rstrip(".,") + (end if not end.isalnum() else "")
