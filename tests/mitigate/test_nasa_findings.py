"""What a report gets of NASA: maps per order on one scale, heads in the order of tuning, and what became of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.mitigate import asked as made

from evenhand import fit
from evenhand.core.record import Finding, Map, Table
from evenhand.core.sites import Part, Site
from evenhand.mitigate._nasa_findings import COLUMNS, heads_map, maps
from evenhand.mitigate.nasa import Nasa
from evenhand.mitigate.nasa_balanced import NasaBalanced


def parts(findings: tuple[Finding, ...]) -> tuple[dict[str, Map], Table]:
    (table,) = [one for one in findings if isinstance(one, Table)]
    return {one.title: one for one in findings if isinstance(one, Map)}, table


def test_maps_by_hand() -> None:
    first, second = torch.tensor([[1.0, -3.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, -2.0]])
    found = maps([first, second], [4, 6], [Site(6, Part.HEADS, 1)], ("Ja", "Nein"))
    assert [one.title.removeprefix("Negative attention in ") for one in found] == [
        "'Ja or Nein'",
        "'Nein or Ja'",
        "the mean of both orders",
    ]
    assert found[2].values == ((1.0, -1.0), (0.0, 0.0))
    assert {one.largest for one in found} == {3.0}
    assert {one.row_names for one in found} == {("4", "6")}
    assert {one.chosen for one in found} == {((1, 1),)}
    assert heads_map("x", torch.zeros(2, 2), [0, 1], [], largest=0.0).row_names == ()
    assert heads_map("x", torch.zeros(2, 2), [0, 1], [], largest=0.0).largest is None


@pytest.mark.parametrize("method", [Nasa(count=2, consistent=0.0, steps=2), NasaBalanced(count=2, steps=2)])
def test_every_head_that_was_tried_is_told_with_the_reason(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = iter(["", *["made up"] * 9])
    monkeypatch.setattr(type(method), "_harm", lambda *given: next(reasons))
    patch = fit(made.model(), method, made.questions(20))
    drawn, table = parts(patch.provenance.findings)
    tried = [Site(layer, Part.HEADS, head) for layer, head in patch.tensors["tried"].tolist()]
    assert table.columns == COLUMNS
    assert [row[0] for row in table.rows] == [str(site) for site in tried]
    assert [(row[5], row[6]) for row in table.rows] == [("kept", ""), ("rolled back", "made up")]
    for one in drawn.values():
        assert one.chosen == tuple((site.layer, site.unit) for site in tried)
    first = drawn["Negative attention in 'Yes or No'"]
    assert torch.tensor(first.values).allclose(patch.tensors["attention"][0], atol=1e-4)
    assert ("Push of the heads to no" in drawn) == isinstance(method, NasaBalanced)
