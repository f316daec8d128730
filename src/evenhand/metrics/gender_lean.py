"""Signed gender logits difference."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._gas import SOURCE
from evenhand.metrics._mean import Mean


class GenderLean(Mean):
    """Mean over prompts of (pF - pM) / (pF + pM): positive towards female words."""

    name: ClassVar[str] = "gender_lean"
    card: ClassVar[Card] = Card(
        title="Which gender's words are likelier to come next, on average (positive = female, negative = male).",
        source=SOURCE,
        formula="mean over prompts of (pF - pM) / (pF + pM)",
        differs="The sign is kept; the paper takes the absolute value of each prompt (gld).",
        cautions="0 may hide prompts that lean to either side: read it with gld.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = ("lean",)
    low: ClassVar[float | None] = -1.0
    high: ClassVar[float | None] = 1.0
