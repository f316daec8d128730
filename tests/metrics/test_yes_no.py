"""Precision, recall, Yes-rates and kappa on tables small enough to count by hand, and against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sklearn

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Metric
from evenhand.metrics.accuracy import Accuracy
from evenhand.metrics.accuracy_norm import AccuracyNorm
from evenhand.metrics.answer_mass import AnswerMass
from evenhand.metrics.negative_confidence import NegativeConfidence
from evenhand.metrics.order_kappa import OrderKappa
from evenhand.metrics.precision_recall_gap import PrecisionRecallGap
from evenhand.metrics.yes_f1 import YesF1
from evenhand.metrics.yes_precision import YesPrecision
from evenhand.metrics.yes_rate import YesRate
from evenhand.metrics.yes_rate_gap import YesRateGap
from evenhand.metrics.yes_recall import YesRecall

MakeTable = Callable[..., ScoreTable]
ValueOf = Callable[[Metric, ScoreTable], float]


@pytest.fixture
def hesitant(table: MakeTable) -> ScoreTable:
    """Ten questions, six with the answer Yes; three times Yes is said, twice rightly."""
    return table({"truth": [1.0] * 6 + [0.0] * 4, "said_yes": [1.0, 1.0] + [0.0] * 4 + [1.0] + [0.0] * 3})


def test_counts_by_hand(hesitant: ScoreTable, value_of: ValueOf) -> None:
    assert value_of(YesPrecision(), hesitant) == pytest.approx(100 * 2 / 3)
    assert value_of(YesRecall(), hesitant) == pytest.approx(100 * 2 / 6)
    assert value_of(YesF1(), hesitant) == pytest.approx(100 * 2 * (2 / 3) * (2 / 6) / (2 / 3 + 2 / 6))
    assert value_of(PrecisionRecallGap(), hesitant) == pytest.approx(100 * (2 / 3 - 2 / 6))
    assert value_of(YesRate(), hesitant) == pytest.approx(30)
    assert value_of(YesRateGap(), hesitant) == pytest.approx(-30)  # it says No too often, and P - R has the other sign


def test_counts_are_those_of_scikit_learn(table: MakeTable, value_of: ValueOf) -> None:
    rng = np.random.default_rng(1)
    truth, said, other = rng.integers(0, 2, (3, 60)).astype(float)
    made = table({"truth": list(truth), "said_yes": list(said), "said_yes_other": list(other)})
    assert value_of(YesPrecision(), made) == pytest.approx(100 * sklearn.precision_score(truth, said))
    assert value_of(YesRecall(), made) == pytest.approx(100 * sklearn.recall_score(truth, said))
    assert value_of(YesF1(), made) == pytest.approx(100 * sklearn.f1_score(truth, said))
    assert value_of(OrderKappa(), made) == pytest.approx(sklearn.cohen_kappa_score(said, other))


def test_without_knowledge_precision_is_the_base_rate_and_recall_the_yes_rate(
    table: MakeTable, value_of: ValueOf
) -> None:
    # 4 of 10 answers are Yes, and Yes is said to every other question of either kind
    made = table({"truth": [1.0] * 4 + [0.0] * 6, "said_yes": [1.0, 0.0] * 5})
    assert value_of(YesPrecision(), made) == pytest.approx(40)
    assert value_of(YesRecall(), made) == pytest.approx(50)
    assert value_of(PrecisionRecallGap(), made) == pytest.approx(-10)
    assert value_of(YesRateGap(), made) == pytest.approx(10)


def test_a_model_that_always_says_yes_has_the_f1_that_the_card_names(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"truth": [1.0, 0.0] * 8, "said_yes": [1.0] * 16})
    assert value_of(YesF1(), made) == pytest.approx(100 * 2 * 0.5 / 1.5)


def test_a_model_that_never_says_yes_has_no_precision_but_an_f1_of_zero(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"truth": [1.0, 0.0], "said_yes": [0.0, 0.0], "said_yes_other": [0.0, 0.0]})
    assert np.isnan(value_of(YesPrecision(), made))
    assert np.isnan(value_of(PrecisionRecallGap(), made))
    assert np.isnan(value_of(OrderKappa(), made))
    assert value_of(YesF1(), made) == 0.0
    assert value_of(YesRateGap(), made) == pytest.approx(-50)


@pytest.mark.parametrize(("second", "expected"), [([1.0, 1.0, 0.0, 0.0], 1.0), ([0.0, 0.0, 1.0, 1.0], -1.0)])
def test_kappa_at_its_ends(second: list[float], expected: float, table: MakeTable, value_of: ValueOf) -> None:
    made = table({"said_yes": [1.0, 1.0, 0.0, 0.0], "said_yes_other": second})
    assert value_of(OrderKappa(), made) == pytest.approx(expected)


def test_kappa_of_independent_answers_is_zero_whatever_the_yes_rates(table: MakeTable, value_of: ValueOf) -> None:
    # Yes in 1 of 4 and in 1 of 2, every combination as often as chance says; the answers agree in half of the cases
    made = table({"said_yes": [1.0] * 2 + [0.0] * 6, "said_yes_other": [1.0, 0.0] * 4})
    assert value_of(OrderKappa(), made) == pytest.approx(0)


def test_one_constant_order_agrees_by_chance_only(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"said_yes": [1.0, 1.0, 0.0], "said_yes_other": [0.0, 0.0, 0.0]})
    assert value_of(OrderKappa(), made) == 0.0  # exactly: no rounding of the kind of -9e-17


def test_one_tie_counts_half_for_each_answer(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"truth": [1.0, 0.0], "said_yes": [0.5, 0.5]})
    assert value_of(YesPrecision(), made) == pytest.approx(50)
    assert value_of(YesRecall(), made) == pytest.approx(50)


def test_means(table: MakeTable, value_of: ValueOf) -> None:
    made = table(
        {
            "p_yes": [0.1, 0.4, 0.9],
            "answer_mass": [0.5, 0.7, 0.9],
            "correct": [1.0, 0.0, 0.25],
            "correct_norm": [1.0, 1.0, 0.0],
        },
        None,
        ["a", "a", "b"],
    )
    assert value_of(NegativeConfidence(), made) == pytest.approx((0.9 + 0.6 + 0.1) / 3)
    assert value_of(AnswerMass(), made) == pytest.approx(70)
    assert value_of(Accuracy(), made) == pytest.approx(100 * 1.25 / 3)  # over all questions, not by stratum
    assert value_of(AccuracyNorm(), made) == pytest.approx(100 * 2 / 3)
