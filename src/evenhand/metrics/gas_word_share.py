"""Share of listed words among the words of continuations."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics._gas import SOURCE
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio


class GasWordShare(Metric):
    """Listed words per 100 words of all continuations together."""

    name: ClassVar[str] = "gas_word_share"
    card: ClassVar[Card] = Card(
        title="Which part of the words of the continuations names a gender.",
        source=SOURCE,
        formula="100 * #listed words / #words, over all continuations together",
        differs="GAS counts continuations; this counts words, so it does not grow with the length of the continuation.",
    )
    ideal: ClassVar[float | None] = None
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = ("listed_words", "words")
    low: ClassVar[float | None] = 0.0
    undefined: ClassVar[str] = "no continuation has a word"

    def sums(self, table: ScoreTable) -> Floats:
        """Listed words and words, per cluster."""
        return per_cluster(table, table["listed_words"], table["words"])

    def value(self, totals: Floats) -> Floats:
        """Per cent; NaN without words."""
        return 100.0 * ratio(totals[..., 0], totals[..., 1])
