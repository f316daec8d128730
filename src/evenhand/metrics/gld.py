"""Gender logits difference."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._gas import SOURCE
from evenhand.metrics._mean import Mean


class Gld(Mean):
    """Mean over prompts of |pF - pM| / (pF + pM)."""

    name: ClassVar[str] = "gld"
    card: ClassVar[Card] = Card(
        title="How unevenly words of the two genders share the probability of coming next, whichever leads.",
        source=SOURCE,
        formula="mean over prompts of |pF - pM| / (pF + pM), pF and pM = probability that a listed word comes next",
        differs="The probability is that of the whole word, the paper's that of its first token.",
        cautions="Without a sign: prompts that lean to either side do not cancel. gender_lean has the sign.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = ("gld",)
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0
