"""Distance and entropy of label priors, and the rates of leading questions, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.metrics.conftest import MakeTable, ValueOf

from evenhand.metrics.balanced_accuracy import BalancedAccuracy
from evenhand.metrics.ctr import Ctr
from evenhand.metrics.cue_swing import CueSwing
from evenhand.metrics.ecr import Ecr
from evenhand.metrics.eir import Eir
from evenhand.metrics.pir import Pir
from evenhand.metrics.prior_distance import PriorDistance
from evenhand.metrics.prior_entropy import PriorEntropy


def columns(*rows: tuple[float, ...]) -> dict[str, list[float]]:
    """Rows of p_0, p_1, p_2, p_3, labels, cell."""
    return {name: [row[place] for row in rows] for place, name in enumerate(PriorDistance.needs)}


def test_two_labels_in_two_ways_to_ask(table: MakeTable, value_of: ValueOf) -> None:
    """Means .8 and .2, .5 and .5: distances .3 and 0; entropies H(.8) / log 2 and 1."""
    made = table(columns((0.9, 0.1, 0, 0, 2, 0), (0.7, 0.3, 0, 0, 2, 0), (0.5, 0.5, 0, 0, 2, 5)))
    assert value_of(PriorDistance(), made) == pytest.approx(0.15)
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(2)
    assert value_of(PriorEntropy(), made) == pytest.approx((entropy + 1) / 2)


def test_four_labels(table: MakeTable, value_of: ValueOf) -> None:
    """.55, .15, .15, .15: .3 from uniform."""
    made = table(columns((0.55, 0.15, 0.15, 0.15, 4, 2)))
    assert value_of(PriorDistance(), made) == pytest.approx(0.3)
    entropy = -(0.55 * math.log(0.55) + 3 * 0.15 * math.log(0.15)) / math.log(4)
    assert value_of(PriorEntropy(), made) == pytest.approx(entropy)


@pytest.mark.parametrize("row", [(0.5, 0.5, 0, 0, 2, 0), (0.25, 0.25, 0.25, 0.25, 4, 3)])
def test_equal_shares_are_the_ideal(table: MakeTable, value_of: ValueOf, row: tuple[float, ...]) -> None:
    assert value_of(PriorDistance(), table(columns(row))) == pytest.approx(0.0)
    assert value_of(PriorEntropy(), table(columns(row))) == pytest.approx(1.0)


def test_one_label_always_is_the_farthest_from_it(table: MakeTable, value_of: ValueOf) -> None:
    made = table(columns((1.0, 0.0, 0, 0, 2, 0)))
    assert value_of(PriorDistance(), made) == pytest.approx(0.5)
    assert value_of(PriorEntropy(), made) == pytest.approx(0.0)


LED = {
    "said_yes_neutral": [1, 1, 0, 0, 1, 0, 1, 0],
    "said_yes": [1, 0, 1, 0, 0, 0, 1, 1],
    "correct_neutral": [1, 1, 0, 1, 0, 1, 0, 0],
    "correct": [1, 0, 1, 1, 1, 1, 0, 1],
    "hints_yes": [1, 0, 1, 0, 0, 1, 1, 1],
}
"""Changed: the 2nd, 3rd, 5th and 8th. Right before: 1, 2, 4, 6, of which the 2nd is lost. Wrong before: 3, 5, 7, 8, of
which 3, 5 and 8 are mended. Of four changes, the 3rd and the 8th go to Yes. Hints at Yes: 1, 3, 6, 7, 8, of which all
but the 6th are answered Yes; hints at No: 2, 4, 5, none of which is."""


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(Ctr, 50.0), (Eir, 25.0), (Ecr, 75.0), (Pir, 0.5), (CueSwing, 80.0)],
)
def test_the_rates_of_leading_questions(table: MakeTable, value_of: ValueOf, metric: type, expected: float) -> None:
    assert value_of(metric(), table(LED)) == pytest.approx(expected)


def test_a_model_that_does_not_listen_to_hints(table: MakeTable, value_of: ValueOf) -> None:
    deaf = {**LED, "said_yes": LED["said_yes_neutral"], "correct": LED["correct_neutral"]}
    assert value_of(Ctr(), table(deaf)) == value_of(Eir(), table(deaf)) == value_of(Ecr(), table(deaf)) == 0.0
    assert np.isnan(value_of(Pir(), table(deaf)))


def test_a_model_that_follows_every_hint(table: MakeTable, value_of: ValueOf) -> None:
    """Each question with both hints: half of the answers change, the swing is complete, changes are balanced."""
    before = [1, 1, 0, 0, 0, 0, 1, 1]
    hints = [1, 0, 1, 0, 1, 0, 1, 0]
    made = table({"said_yes_neutral": before, "said_yes": hints, "hints_yes": hints})
    assert value_of(Ctr(), made) == pytest.approx(50.0)
    assert value_of(CueSwing(), made) == pytest.approx(100.0)
    assert value_of(Pir(), made) == pytest.approx(0.5)


def test_ties_count_half(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"said_yes_neutral": [1, 0], "said_yes": [0.5, 0.5]})
    assert value_of(Ctr(), made) == pytest.approx(50.0)
    assert value_of(Pir(), made) == pytest.approx(0.5)


def test_one_hint_alone_has_no_swing(table: MakeTable, value_of: ValueOf) -> None:
    assert np.isnan(value_of(CueSwing(), table({"said_yes": [1, 0], "hints_yes": [1, 1]})))


def test_both_answers_weigh_alike_however_often_they_are_right(table: MakeTable, value_of: ValueOf) -> None:
    """3 of 4 with Yes and 0 of 1 with No: 37.5 %; a model that always says Yes has 50 %."""
    truth = [1, 1, 1, 1, 0]
    assert value_of(BalancedAccuracy(), table({"correct": [1, 1, 1, 0, 0], "truth": truth})) == pytest.approx(37.5)
    assert value_of(BalancedAccuracy(), table({"correct": truth, "truth": truth})) == pytest.approx(50.0)
    assert np.isnan(value_of(BalancedAccuracy(), table({"correct": [1.0], "truth": [1.0]})))
