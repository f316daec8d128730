"""Packed scores stay those of plain forward passes while one layer is read or changed on eager attention.

The packed mask is handed to sdpa and to a family's own eager attention alike; here each layer in turn takes the second
way, for some of its heads or for all of them, on texts that are longer than every window.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import NEAR, made
from tests.fixtures.untouched import untouched
from torch import Tensor
from transformers import PreTrainedModel

from evenhand.core.edits import AttentionEdit
from evenhand.model.check import Reach, choose_road, disagreement, one_by_one, probes_for
from evenhand.model.masks import candidates
from evenhand.model.packed import PackedRoad

FIXED = ("falcon", "falcon_alibi", "bloom", "gpt_neo", "mamba")
"""Families whose attention cannot be changed."""
EDITABLE = [family for family in tiny.FAMILIES if family not in FIXED]
LONGEST = 8 * tiny.WINDOW


def sharper(weights: Tensor) -> Tensor:
    """Looks at a row only."""
    squared = weights**2
    return squared / squared.sum(-1, keepdim=True)


def edits(layer: int) -> Iterator[AttentionEdit]:
    yield AttentionEdit(layer, (0, 3), sharper, rowwise=True)
    yield AttentionEdit(layer, (1,), temperature=1.7)
    yield AttentionEdit(layer, (0, 1, 2, 3))  # changes nothing, all heads


@pytest.fixture(params=EDITABLE)
def network(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny.network(str(request.param))


def test_packed_is_one_by_one_with_a_layer_changed(network: PreTrainedModel) -> None:
    model = made(network)
    probes = probes_for(tiny.vocabulary_size(), Reach.of(network.config, LONGEST))
    plain = one_by_one(network, probes.texts)
    for layer in range(len(model.anatomy.layers)):
        for edit in edits(layer):
            with untouched(network), model.install([edit]):
                expected = one_by_one(network, probes.texts)
                apart = max(abs(a - b) for x, y in zip(plain, expected, strict=True) for a, b in zip(x, y, strict=True))
                changes = edit.fn is not None or edit.temperature != 1.0
                assert (apart > 0.01) == changes
                found = [
                    disagreement(PackedRoad(network, reading), probes, expected, exact=True)
                    for reading in candidates(network.config)
                ]
            assert min(one for one in found if isinstance(one, float)) < NEAR, (layer, edit, found)


def test_the_self_check_takes_the_packed_road_with_a_layer_changed(network: PreTrainedModel) -> None:
    model = made(network)
    with model.install([AttentionEdit(1, (0, 2), sharper, rowwise=True)]):
        assert choose_road(network, LONGEST).road.name == tiny.PACKED
    with model.install([AttentionEdit(1, (0, 2), sharper)]):  # it does not say that it looks at rows only
        assert not all(edit.pointwise for edit in model.edits)


@pytest.mark.parametrize("family", [one for one, made in tiny.FAMILIES.items() if made.road == tiny.PACKED])
def test_packed_is_one_by_one_while_a_layer_is_read(family: str) -> None:
    network = tiny.network(family)
    model = made(network)
    probes = probes_for(tiny.vocabulary_size(), Reach.of(network.config, LONGEST))
    expected = one_by_one(network, probes.texts)
    for layer in range(len(model.anatomy.layers)):
        sums: list[float] = []

        def read(_: int, weights: Tensor, sums: list[float] = sums) -> None:
            sums.append(float((weights.sum(-1) - 1).abs().max()))

        with untouched(network), model.attention([layer], read):
            found = [
                disagreement(PackedRoad(network, reading), probes, expected, exact=True)
                for reading in candidates(network.config)
            ]
        assert min(one for one in found if isinstance(one, float)) < NEAR, (layer, found)
        assert max(sums) < 1e-4
        assert torch.isfinite(torch.tensor(sums)).all()
