from __future__ import annotations

from collections.abc import Callable

import pytest

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Metric
from evenhand.metrics.emission_kl import EmissionKl
from evenhand.metrics.emission_kl_floor import EmissionKlFloor
from evenhand.metrics.emission_kl_neutral import EmissionKlNeutral
from evenhand.metrics.emission_kl_offset_free import EmissionKlOffsetFree

MakeTable = Callable[..., ScoreTable]
ValueOf = Callable[[Metric, ScoreTable], float]


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        (EmissionKl, "kl"),
        (EmissionKlNeutral, "kl"),
        (EmissionKlOffsetFree, "kl_offset_free"),
        (EmissionKlFloor, "kl_offset_free"),
    ],
)
def test_attributes_count_alike_however_many_cues_they_have(
    metric: type[Metric], column: str, table: MakeTable, value_of: ValueOf
) -> None:
    other = {"kl": "kl_offset_free", "kl_offset_free": "kl"}[column]
    made = table({column: [0.1, 0.3, 0.5, 1.0], other: [9.0] * 4}, strata=["age", "age", "age", "race"])
    assert value_of(metric(), made) == pytest.approx((0.3 + 1.0) / 2)
    assert metric.ideal == 0.0
