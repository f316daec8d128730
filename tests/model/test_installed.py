"""The stack of what is installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import draw, logits, made, totals
from tests.fixtures.untouched import hooks, untouched
from torch import Tensor

from evenhand.core.edits import ActivationEdit, AttentionEdit, BranchEdit, Dense, Edit, LogitsEdit, WeightEdit
from evenhand.core.errors import OutOfOrder, PatchError, UnsupportedSite
from evenhand.core.requests import Compare
from evenhand.core.sites import Part, Site
from evenhand.model import Model

IDS = torch.tensor([[1, 40, 7, 90, 33]])


def scaled(by: float, layer: int = 0) -> ActivationEdit:
    return ActivationEdit(Site(layer, Part.MLP), lambda x: x * by)


WEIGHT = WeightEdit("model.layers.0.mlp.down_proj.weight", Dense(draw(32, 64)))
BROKEN: dict[str, tuple[Edit, type[Exception]]] = {
    "weight": (WeightEdit("model.layers.0.mlp.down_proj.weight", Dense(draw(3, 3))), PatchError),
    "site": (scaled(1.0, layer=9), UnsupportedSite),
    "head": (AttentionEdit(0, (9,)), UnsupportedSite),
}


def test_patches_come_off_in_reverse_order_and_the_answers_come_back_one_by_one() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    with untouched(hf):
        states = [logits(hf, IDS)]
        handles = []
        for edit in (scaled(2.0), WEIGHT, AttentionEdit(1, (0,), torch.zeros_like), LogitsEdit(lambda x: x * 0.5)):
            handles.append(model.install([edit]))
            states.append(logits(hf, IDS))
        assert len(model.edits) == 4
        for before, after in itertools.pairwise(states):
            assert not torch.allclose(before, after)
        for handle, wanted in zip(reversed(handles), reversed(states[:-1]), strict=True):
            assert handle.active
            handle.remove()
            assert not handle.active
            assert torch.equal(logits(hf, IDS), wanted)
        assert model.edits == []


def test_out_of_order_is_refused_and_changes_nothing() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    with untouched(hf):
        first = model.install([WEIGHT])
        second = model.install([scaled(2.0)])
        both = logits(hf, IDS)
        with pytest.raises(OutOfOrder, match="remove the last one first"):
            first.remove()
        assert first.active
        assert torch.equal(logits(hf, IDS), both)
        second.remove()
        first.remove()


def test_removing_twice_is_no_error() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    with untouched(hf):
        handle = model.install([WEIGHT])
        handle.remove()
        other = model.install([scaled(2.0)])
        handle.remove()
        assert model.edits == list(other.edits)
        other.remove()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_failure_half_way_leaves_nothing(broken: str) -> None:
    hf = tiny.network("llama")
    model = made(hf)
    edit, error = BROKEN[broken]
    with untouched(hf), pytest.raises(error):
        model.install([WEIGHT, scaled(2.0), AttentionEdit(0, (0,)), edit, LogitsEdit(lambda x: x)])
    assert model.edits == []
    with untouched(hf), model.install([WEIGHT]):
        with pytest.raises(error):
            model.install([scaled(2.0), edit])
        assert model.edits == [WEIGHT]


def test_a_reference_that_cannot_be_encoded_leaves_nothing() -> None:
    hf = tiny.network("llama")
    with untouched(hf), pytest.raises(IndexError):
        made(hf).install([WEIGHT, scaled(2.0), BranchEdit(lambda hidden, _: hidden, reference=(1, 99999))])


def test_a_reference_is_encoded_after_the_weights_of_its_patch_wherever_it_stands() -> None:
    seen: list[Tensor] = []

    def look(hidden: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        seen.append(reference)
        return hidden.sum(-1, keepdim=True) * 0

    model = made(tiny.network("llama"))
    branch = BranchEdit(look, reference=(5, 6))
    for edits in ([WEIGHT, branch], [branch, WEIGHT], [branch]):
        with model.install(edits):
            assert model.edits == edits
            logits(model.hf, IDS)
    assert torch.equal(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


def test_hooks_are_counted_one_for_each_edit_and_none_afterwards() -> None:
    hf = tiny.network("llama")
    model = made(hf)

    def count() -> int:
        return sum(hooks(module) for module in hf.modules())

    cases: list[tuple[Edit, int]] = [
        (ActivationEdit(Site(0, Part.RESIDUAL), torch.relu), 1),
        (scaled(2.0), 2),  # with one that notes the shape of the block's input
        (ActivationEdit(Site(0, Part.FINAL), torch.relu), 1),
        (LogitsEdit(torch.relu), 1),
        (BranchEdit(lambda hidden, _: hidden.sum(-1, keepdim=True), reference=(1, 2)), 1),
        (WEIGHT, 0),
        (AttentionEdit(0, (0,)), 0),
    ]
    for edit, expected in cases:
        with model.install([edit]):
            assert count() == expected, edit
        assert count() == 0, edit


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_inside_takes_everything_away(error: type[BaseException]) -> None:
    def fail(x: Tensor) -> Tensor:
        raise error

    hf = tiny.network("llama")
    model = made(hf)
    inside: list[Callable[[], object]] = [
        lambda: logits(hf, IDS),
        lambda: model.answer([Compare(("the cat",))]),
        lambda: model.states(["the cat"], [Site(1, Part.RESIDUAL)]),
    ]
    for act in inside:
        with (
            untouched(hf),
            pytest.raises(error),
            model.install([WEIGHT, AttentionEdit(0, (0,)), ActivationEdit(Site(0, Part.RESIDUAL), fail)]),
        ):
            act()
        assert model.edits == []


def test_the_road_is_chosen_again_after_each_installation_and_removal() -> None:
    model = made(tiny.network("llama"))
    asked = [Compare(("the cat sat", "the dog sat on a mat"))]
    plain = totals(model.answer(asked))
    assert model.prepare(asked).road == "packed"
    with model.install([ActivationEdit(Site(0, Part.MLP), lambda x: x * 2, "generated")]):
        assert model.prepare(asked).road == "padded (an installed edit looks beyond single tokens)"
    assert model.prepare(asked).road == "packed"
    assert totals(model.answer(asked)) == plain


def test_an_edit_that_looks_at_its_neighbours_without_saying_so_is_found_out() -> None:
    """It says that it is pointwise, but subtracts the mean over the row: the self-check takes another road."""
    model = made(tiny.network("llama"))
    sly = ActivationEdit(Site(0, Part.RESIDUAL), lambda x: x - x.mean(1, keepdim=True))
    with model.install([sly]):
        try:
            road = model.prepare([Compare(("the cat sat", "the dog sat on a mat"))]).road
        except Exception as error:
            road = str(error)
    assert "packed: off by" in road


def test_two_models_on_one_network_see_each_others_edits_but_each_has_its_own_stack() -> None:
    hf = tiny.network("llama")
    first, second = Model.wrap(hf, tiny.tokenizer()), made(hf)
    with untouched(hf), first.install([scaled(2.0)]):
        assert len(first.edits) == 1
        assert second.edits == []


def test_the_identity_is_that_of_the_model_without_what_is_installed() -> None:
    model = made(tiny.network("llama"))
    plain = model.identity
    with model.install([WEIGHT]):
        assert model.identity == plain
    assert model.identity == plain
