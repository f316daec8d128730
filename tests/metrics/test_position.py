from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Metric
from evenhand.metrics.changed_answers import ChangedAnswers
from evenhand.metrics.recall_spread import MOST, RecallSpread

MakeTable = Callable[..., ScoreTable]
ValueOf = Callable[[Metric, ScoreTable], float]


def test_changed_answers_is_the_mean_over_questions(table: MakeTable, value_of: ValueOf) -> None:
    assert value_of(ChangedAnswers(), table({"changed": [0.0, 0.5, 1.0, 0.0]})) == pytest.approx(37.5)


def test_recall_spread_by_hand(table: MakeTable, value_of: ValueOf) -> None:
    # recalls 1, 1/2, 0: mean 1/2, standard deviation sqrt((1/4 + 0 + 1/4) / 3)
    columns = {"place": [1.0, 1.0, 2.0, 2.0, 3.0], "correct": [1.0, 1.0, 1.0, 0.0, 0.0]}
    assert value_of(RecallSpread(), table(columns)) == pytest.approx(100 * np.sqrt(1 / 6))


def test_equal_recalls_have_no_spread_and_one_place_has_none(table: MakeTable, value_of: ValueOf) -> None:
    even = {"place": [1.0, 2.0, 3.0, 4.0], "correct": [0.5] * 4}
    assert value_of(RecallSpread(), table(even)) == 0.0
    assert np.isnan(value_of(RecallSpread(), table({"place": [2.0, 2.0], "correct": [1.0, 0.0]})))


def test_spread_of_many_draws_at_once(table: MakeTable) -> None:
    totals = np.zeros((2, 2 * MOST))
    totals[0, [0, 1]], totals[0, [MOST, MOST + 1]] = (3.0, 1.0), 4.0
    assert RecallSpread().value(totals) == pytest.approx([25.0, np.nan], nan_ok=True)
