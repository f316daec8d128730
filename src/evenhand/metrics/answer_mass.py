"""Probability that the model gives to the allowed answers."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._mean import Rate


class AnswerMass(Rate):
    """Mean probability of the allowed answers together, in per cent."""

    name: ClassVar[str] = "answer_mass"
    card: ClassVar[Card] = Card(
        title="How much probability the model gives to the allowed answers together: how far it takes the question as "
        "it is asked.",
        source="Ours: what is divided by when scores are normalised over the answer words, as in Calibrate Before Use, "
        "Zhao et al., ICML 2021. https://arxiv.org/abs/2102.09690",
        formula="mean of 100 * (p(Yes) + p(No)), not normalised",
        cautions="Where it is low, the other numbers rest on answers that the model would hardly give by itself.",
    )
    ideal: ClassVar[float | None] = None
    needs: ClassVar[tuple[str, ...]] = ("answer_mass",)
