from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.core.errors import DataError
from evenhand.core.items import Status
from evenhand.core.requests import Classify, ClassScores
from evenhand.measure.classes import Classes


def test_rows_are_items_with_a_class_and_maybe_a_group(fixtures: Path) -> None:
    items = Classes(file=str(fixtures / "classes.csv"), positive="rude", cluster="family").load().items
    assert [item.cluster for item in items] == ["1", "1", "2", "2", "3", "4"]
    assert [item.facts["group"] for item in items] == [0, 1, 0, 1, None, 0]
    assert items[0].requests == (Classify("The old man was rude to everybody."),)
    assert items[4].groups == {}
    assert {item.id for item in items} == {"1", "2", "3", "4", "5", "6"}


def test_a_score_says_what_was_found_and_what_is_right(fixtures: Path) -> None:
    benchmark = Classes(file=str(fixtures / "classes.csv"), positive="rude")
    items = benchmark.load().items
    answer = ClassScores(("kind", "rude"), (-2.0, -0.1))
    assert benchmark.score(items[0], (answer,)).values == {"correct": 1, "truth": 1, "predicted": 1, "group": 0}
    assert benchmark.score(items[4], (answer,)).values == {"correct": 0, "truth": 0, "predicted": 1, "group": None}
    other = ClassScores(("a", "b"), (-2.0, -0.1))
    assert benchmark.score(items[0], (other,)).status is Status.FAILED


def test_a_class_that_no_row_has_is_refused(fixtures: Path) -> None:
    with pytest.raises(DataError, match=r"no row has the class 'hateful'.*classes\.positive"):
        Classes(file=str(fixtures / "classes.csv"), positive="hateful").load()
