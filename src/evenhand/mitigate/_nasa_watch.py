"""What the monitor says after each head: negative attention, answers in each order, agreement of the orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.mitigate._nasa_questions import Question
    from evenhand.model import Model


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in one order; the positive class is the word for yes.

    Attributes:
        yes_rate: share of questions that are answered with yes.
        precision: share of the yes-answers that are right, NaN if there are none.
        recall: share of the questions whose answer is yes that are answered so, NaN if there are none.
        f1: their harmonic mean, 2 TP / (answered yes + is yes).
    """

    yes_rate: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Watched:
    """The monitor.

    Attributes:
        attention: mean negative attention of every head over questions and chosen orders, float64 [layers, H].
        answers: in each chosen order.
        odds: log P(yes) - log P(no) (nats), float64 [orders, N].
        truth: 1 where yes is right, float64 [N].
    """

    attention: Tensor
    answers: tuple[Answers, ...]
    odds: Tensor
    truth: Tensor

    @property
    def gap(self) -> float:
        """How far the Yes-rate is from the share of questions whose answer is yes, mean over orders."""
        base = float(self.truth.mean())
        return sum(abs(one.yes_rate - base) for one in self.answers) / len(self.answers)

    @property
    def kappa(self) -> float:
        """Cohen's kappa between the first and the last chosen order, NaN if both always say the same word."""
        first, last = (self.odds[n] > 0 for n in (0, -1))
        agreed = float((first == last).double().mean())
        a, b = float(first.double().mean()), float(last.double().mean())
        chance = a * b + (1 - a) * (1 - b)
        return (agreed - chance) / (1 - chance) if chance < 1 else math.nan

    @property
    def loss(self) -> Tensor:
        """Mean cross-entropy of the right word against the other one, over both words (nats)."""
        return cross_entropy(self.odds, self.truth).mean()

    def said(self) -> str:
        """Yes-rates and F1 of the orders, for a note."""
        rates = "/".join(f"{one.yes_rate:.2f}" for one in self.answers)
        return f"Yes-rate {rates}, F1 {'/'.join(f'{one.f1:.2f}' for one in self.answers)}"


def watch(model: Model, questions: Sequence[Question], orders: Sequence[int], layers: Sequence[int]) -> Watched:
    """Ask the monitor in the chosen orders; the attention of the layers is read."""
    import torch

    from evenhand.mitigate._nasa_forward import look

    seen = [look(model, [question.orders[order] for question in questions], layers) for order in orders]
    truth = torch.tensor([float(question.truth) for question in questions], dtype=torch.float64)
    odds = torch.stack([one.odds for one in seen])
    attention = torch.stack([one.attention.mean(0) for one in seen]).mean(0)
    return Watched(attention, tuple(answers(row, truth) for row in odds), odds, truth)


def answers(odds: Tensor, truth: Tensor) -> Answers:
    """Yes-rate, precision, recall and F1 from log-odds [N] and truth [N]."""
    said = (odds > 0).double()
    right, yes, true = (float(part.sum()) for part in (said * truth, said, truth))
    return Answers(
        yes / len(odds),
        right / yes if yes else math.nan,
        right / true if true else math.nan,
        2 * right / (yes + true) if yes + true else 0.0,
    )


def cross_entropy(odds: Tensor, truth: Tensor) -> Tensor:
    """-log P(right word) with the two words normalised to 1 (nats): softplus of minus the odds of the right one."""
    import torch

    return torch.nn.functional.softplus(-odds * (2 * truth - 1))
