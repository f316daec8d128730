"""The warning that a patch edits heads which copy from the context."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fixtures import planted_heads, tiny
from tests.fixtures.items import items_for

from evenhand.core.edits import ActivationEdit, AttentionEdit, Dense, Slice, WeightEdit
from evenhand.core.sites import FINAL, Part, Site
from evenhand.locate.retrieval_heads import THRESHOLD, RetrievalHeads
from evenhand.mitigate._fit import fit
from evenhand.mitigate.controls.random_direction import RandomDirection
from evenhand.mitigate.head_mask import HeadMask
from evenhand.model import Model
from evenhand.model.needles import chosen_heads
from evenhand.prove import _copying

ITEMS = items_for(RetrievalHeads.locate_on, ("text",))
COPYING = str(planted_heads.COPYING)


@pytest.fixture
def model() -> Model:
    made = Model.wrap(planted_heads.copying(), tiny.tokenizer(), batch_tokens=2048)
    assert made.anatomy.layers
    return made


def warned(model: Model, method: Any) -> tuple[str, ...]:
    return _copying.warnings(model, {"ours": fit(model, method)}, ITEMS, seed=0)


def test_a_patch_that_edits_a_copying_head_is_warned_of(model: Model) -> None:
    said = warned(model, HeadMask(heads=("L0.heads.3", COPYING)))
    assert len(said) == 1
    assert said[0].startswith("Warning: ours edits 1 of the heads that copy")
    assert COPYING in said[0]
    assert "L0.heads.3" not in said[0]


def test_other_heads_and_whole_layers_are_not_warned_of(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert warned(model, HeadMask(heads=("L0.heads.3", "L2.heads.0"))) == ()
    monkeypatch.setattr(_copying, "copy_scores", lambda *_: pytest.fail("nothing need be run"))
    assert warned(model, RandomDirection()) == ()


def test_too_little_text_is_said(model: Model) -> None:
    said = _copying.warnings(model, {"ours": fit(model, HeadMask(heads=(COPYING,)))}, [], seed=0)
    assert "was not found out" in said[0]


def test_the_threshold_is_the_locators() -> None:
    assert _copying.THRESHOLD == THRESHOLD


def test_heads_that_edits_pick_out() -> None:
    model = Model.wrap(tiny.network("llama", num_key_value_heads=4), tiny.tokenizer())
    heads = {Site(1, Part.HEADS, 0), Site(1, Part.HEADS, 3)}
    assert chosen_heads([AttentionEdit(1, (0, 3))], model.anatomy) == heads

    def scaled(x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x[..., :8] * 0.5, x[..., 8:24], x[..., 24:] * 2), dim=-1)

    assert chosen_heads([ActivationEdit(Site(1, Part.HEADS), scaled)], model.anatomy) == heads
    place = model.anatomy.head_slices(2, 1, "k")
    rows = WeightEdit(place.param, Slice(place.axis, place.index, torch.ones(len(place.index), 32)))
    assert chosen_heads([rows], model.anatomy) == {Site(2, Part.HEADS, 1)}
    whole = WeightEdit(place.param, Dense(torch.ones(32, 32)))
    assert chosen_heads([whole, ActivationEdit(FINAL, lambda x: 2 * x)], model.anatomy) == set()
    assert chosen_heads([AttentionEdit(n, (0, 1, 2, 3)) for n in range(3)], model.anatomy) == set()
