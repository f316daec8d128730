"""Accuracy by log-probability per character."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._mean import Rate


class AccuracyNorm(Rate):
    """Share of questions that are answered rightly when long answers are not punished for their length."""

    name: ClassVar[str] = "accuracy_norm"
    card: ClassVar[Card] = Card(
        title="How often the answer with the highest log-probability per character is the right one.",
        source="acc_norm of https://github.com/EleutherAI/lm-evaluation-harness (0.4.13)",
        formula="100 * #right / #answers; the choice is the answer with the highest log P(answer) / characters",
        differs="Equal scores share the choice; lm-eval takes the first of them. Characters of the answer without the "
        "space before it, as there; its acc_bytes counts bytes.",
        cautions="Compare it with chance: a quarter for four options.",
    )
    ideal: ClassVar[float | None] = 100.0
    needs: ClassVar[tuple[str, ...]] = ("correct_norm",)
