"""Share of Yes answers."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._mean import Rate


class YesRate(Rate):
    """Share of questions, each in both orders, that are answered with Yes."""

    name: ClassVar[str] = "yes_rate"
    card: ClassVar[Card] = Card(
        title="How often the answer is Yes, over both orders of the instruction.",
        source=_yes_no.NASA,
        formula="100 * #(p(Yes) > p(No)) / #answers",
        differs="Equal probabilities count half.",
        cautions="How often Yes is right depends on the questions: see yes_rate_gap.",
    )
    ideal: ClassVar[float | None] = None
    needs: ClassVar[tuple[str, ...]] = ("said_yes",)
