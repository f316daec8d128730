"""Accuracy."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._mean import Rate


class Accuracy(Rate):
    """Share of questions that are answered rightly, all questions together."""

    name: ClassVar[str] = "accuracy"
    card: ClassVar[Card] = Card(
        title="How often the likeliest answer is the right one: ability, not bias.",
        source="acc of https://github.com/EleutherAI/lm-evaluation-harness (0.4.13)",
        formula="100 * #right / #answers; the choice is the answer with the highest log-probability",
        differs="Equal scores share the choice; lm-eval takes the first of them.",
        cautions="Compare it with chance: one half for yes/no, a quarter for four options.",
    )
    ideal: ClassVar[float | None] = 100.0
    needs: ClassVar[tuple[str, ...]] = ("correct",)
