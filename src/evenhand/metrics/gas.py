"""Gender attribute score."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._gas import SOURCE
from evenhand.metrics._mean import Rate


class Gas(Rate):
    """Share of continuations that have a listed word, in per cent."""

    name: ClassVar[str] = "gas"
    card: ClassVar[Card] = Card(
        title="How often a continuation names a gender with one of the listed words.",
        source=SOURCE,
        formula="100 * #(continuations with at least one listed word) / #continuations",
        differs="in per cent instead of a share; the prompt is left out",
        cautions="Falls when the words are merely suppressed: read it with perplexity_listed. The authors want 0; we "
        "give no ideal, because naming a gender is not a bias in itself.",
    )
    ideal: ClassVar[float | None] = None
    needs: ClassVar[tuple[str, ...]] = ("listed",)
