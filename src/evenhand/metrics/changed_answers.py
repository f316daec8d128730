"""How often the order of the options decides the answer."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._mean import Rate


class ChangedAnswers(Rate):
    """Share of pairs of orders in which a question is answered differently."""

    name: ClassVar[str] = "changed_answers"
    card: ClassVar[Card] = Card(
        title="How often two orders of the same options lead to different answers.",
        source="A measure of ours. That the order of options decides: Large Language Models Are Not Robust Multiple "
        "Choice Selectors, Zheng et al., ICLR 2024, https://arxiv.org/abs/2309.03882.",
        formula="mean over questions of 100 * #(pairs of orders with different answers) / #(pairs of orders)",
        differs="Pairs in which the two answers are within 2e-4 nats of each other in one of the orders do not count "
        "as different: batching alone may swap them.",
        cautions="A model that always gives the same answer changes none: read the accuracy beside it.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = ("changed",)
