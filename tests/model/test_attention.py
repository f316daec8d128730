"""Attention weights that are read are the stock ones; changing a head changes that head as computed by hand."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from evenhand.core.edits import AttentionEdit
from evenhand.core.errors import UnsupportedSite
from evenhand.core.sites import Part, Site
from evenhand.model import Model
from evenhand.model.anatomy import Anatomy
from evenhand.model.attention import reading

FAMILIES = [family for family in tiny.FAMILIES if family != "mamba"]
FIXED = ["falcon", "falcon_alibi", "bloom", "gpt_neo"]
"""Families that do not use transformers' attention interface."""
DOUBLED = "falcon_alibi"
EDITABLE = [family for family in FAMILIES if family not in FIXED]
IDS = torch.tensor([[1, 40, 7, 90, 33, 12, 8, 77, 65], [1, 22, 5, 6, 91, 60, 14, 3, 200]])
NEAR = 2e-5


def model_of(family: str, **settings: object) -> Model:
    return Model.wrap(tiny.network(family, **settings) if settings else tiny.shared(family), tiny.tokenizer())


def made(hf: PreTrainedModel) -> Model:
    """The network as a model whose parts are known, so that no later pass looks for them."""
    model = Model.wrap(hf, tiny.tokenizer())
    assert model.anatomy.layers
    return model


def stock(family: str, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
    """What transformers gives of itself with eager attention and output_attentions."""
    hf = tiny.network(family, attn_implementation="eager")
    with torch.inference_mode():
        return tuple(hf(ids, attention_mask=mask, output_attentions=True).attentions)


def read(model: Model, ids: Tensor, mask: Tensor | None = None, rows: Tensor | None = None) -> dict[int, Tensor]:
    found: dict[int, Tensor] = {}
    layers = range(len(model.anatomy.layers))
    with model.attention(layers, lambda layer, w: found.update({layer: w.clone()}), rows=rows), torch.inference_mode():
        model.hf(ids, attention_mask=mask)
    return found


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_weights_are_those_of_stock_eager_attention(family: str) -> None:
    if family == DOUBLED:
        pytest.skip("transformers' eager attention counts its position biases twice, its sdpa attention once")
    wanted, found = stock(family, IDS), read(model_of(family), IDS)
    assert list(found) == list(range(len(wanted)))
    for layer, weights in enumerate(wanted):
        assert found[layer].shape == (2, 4, 9, 9)
        assert torch.allclose(found[layer], weights, atol=NEAR), layer
        assert torch.allclose(found[layer].sum(-1), torch.ones(()), atol=NEAR)


def test_chosen_rows_are_those_rows(family: str) -> None:
    rows = torch.tensor([[8, 2, 5], [8, 0, 8]])
    model = model_of(family)
    wanted, found = read(model, IDS), read(model, IDS, rows=rows)
    for layer, weights in wanted.items():
        picked = torch.stack([weights[text][:, rows[text]] for text in range(2)])
        assert torch.allclose(found[layer], picked, atol=NEAR)


def test_padding_on_the_left_changes_no_real_row(family: str) -> None:
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1], [1] * 9])
    ids = IDS * mask
    found, alone = read(model_of(family), ids, mask), read(model_of(family), ids[:1, 3:])
    wanted = read(model_of(family), ids, mask) if family == DOUBLED else dict(enumerate(stock(family, ids, mask)))
    for layer, weights in wanted.items():
        assert torch.allclose(found[layer][0, :, 3:], weights[0, :, 3:], atol=NEAR)
        assert torch.allclose(found[layer][1], weights[1], atol=NEAR)
        if family not in ("gpt2", "gpt_neo", "falcon_alibi", "bloom"):  # where padding shifts positions unless told
            assert torch.allclose(found[layer][0, :, 3:, 3:], alone[layer][0], atol=1e-4)


def test_reading_changes_no_logit_and_leaves_nothing(family: str) -> None:
    hf = tiny.network(family)
    model = made(hf)
    with torch.inference_mode():
        before = hf(IDS).logits
        seen: list[int] = []
        with untouched(hf):
            with model.attention([1], lambda layer, _: seen.append(layer), rows=torch.tensor([[8], [8]])):
                during = hf(IDS).logits
            assert seen == [1]
        after = hf(IDS).logits
    assert torch.equal(before, after)
    assert torch.equal(before, during)


def test_an_error_in_a_reader_leaves_nothing(family: str) -> None:
    hf = tiny.network(family)
    model = made(hf)

    def broken(layer: int, weights: Tensor) -> None:
        raise ZeroDivisionError

    with untouched(hf), pytest.raises(ZeroDivisionError), model.attention([0], broken):
        hf(IDS)


def test_weights_times_values_are_what_the_heads_give(family: str) -> None:
    hf = tiny.network(family)
    value = directly(hf, 1)
    model = made(hf)
    found: list[Tensor] = []
    with heads_of(hf, 1) as caught, model.attention([1], lambda _, w: found.append(w.clone())), torch.inference_mode():
        hf(IDS)
    assert torch.allclose(torch.einsum("bhqk,bhkd->bqhd", found[0], value), caught[0], atol=1e-4)


def test_readers_can_be_nested(family: str) -> None:
    model = model_of(family)
    outer: list[int] = []
    inner: list[tuple[int, ...]] = []
    with torch.inference_mode(), model.attention([0, 1], lambda layer, _: outer.append(layer)):
        last = torch.tensor([[8], [8]])
        with model.attention([1], lambda _, w: inner.append(tuple(w.shape)), rows=last):
            model.hf(IDS)
        model.hf(IDS)
    assert outer == [0, 1, 0, 1]
    assert inner == [(2, 4, 1, 9)]


def test_weights_do_not_outlive_the_reader() -> None:
    kept: list[weakref.ref[Tensor]] = []
    model = model_of("llama")
    with torch.inference_mode(), model.attention([0], lambda _, w: kept.append(weakref.ref(w))):
        model.hf(IDS)
    assert kept[0]() is None


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_reading_goes_on_behind_a_cache(family: str) -> None:
    model = model_of(family)
    whole = read(model, IDS)[0]
    found: list[Tensor] = []
    with torch.inference_mode(), model.attention([0], lambda _, w: found.append(w.clone())):
        cache = model.hf(IDS[:, :6], use_cache=True).past_key_values
        model.hf(IDS[:, 6:], past_key_values=cache, use_cache=True)
    later = found[1]
    assert torch.allclose(later, whole[:, :, 6:, -later.shape[-1] :], atol=NEAR)


def test_a_model_on_eager_attention_stays_on_it() -> None:
    hf = tiny.network("llama", attn_implementation="eager")
    with torch.inference_mode():
        wanted = hf(IDS).logits
        with untouched(hf):
            model = made(hf)
            with model.attention([0], lambda _, __: None):
                assert torch.equal(hf(IDS).logits, wanted)
    assert hf.config._attn_implementation == "eager"


def test_another_implementation_is_put_back() -> None:
    """Somebody's own function, or a flash kernel: weights are read on sdpa, then it is back in its place."""
    AttentionInterface.register("somebodys_own", ALL_ATTENTION_FUNCTIONS["sdpa"])
    AttentionMaskInterface.register("somebodys_own", sdpa_mask)
    hf = tiny.network("llama")
    hf.set_attn_implementation("somebodys_own")
    with untouched(hf):
        found = read(made(hf), IDS)
    assert hf.config._attn_implementation == "somebodys_own"
    assert torch.allclose(found[1], stock("llama", IDS)[1], atol=NEAR)


def test_what_has_no_attention_cannot_be_read() -> None:
    model = model_of("mamba")
    with pytest.raises(UnsupportedSite, match="no attention in layer 0"), model.attention([0], lambda _, __: None):
        pass
    with pytest.raises(UnsupportedSite, match="no layer 7"), model_of("llama").attention([7], lambda _, __: None):
        pass


@contextmanager
def heads_of(hf: PreTrainedModel, layer: int) -> Iterator[list[Tensor]]:
    """Outputs of the heads [B, L, H, K] of a layer in the passes inside."""
    caught: list[Tensor] = []
    module = Anatomy(hf).module(Site(layer, Part.HEADS))
    handle = module.register_forward_pre_hook(lambda _, given: caught.append(given[0].reshape(-1, 9, 4, 8).clone()))
    try:
        yield caught
    finally:
        handle.remove()


def values(hf: PreTrainedModel, layer: int) -> Tensor:
    """Values [B, H, L, K] that the heads of a layer mix, from a head that looks only at one place at a time."""
    model, length = made(hf), IDS.shape[1]
    out = torch.empty(2, 4, length, 8)
    for place in range(length):

        def only(weights: Tensor, place: int = place) -> Tensor:
            made = torch.zeros_like(weights)
            made[..., place] = 1.0
            return made

        edit = AttentionEdit(layer, (0, 1, 2, 3), only)
        with heads_of(hf, layer) as caught, model.install([edit]), torch.inference_mode():
            hf(IDS)
        out[:, :, place] = caught[-1][:, -1]
    return out


def directly(hf: PreTrainedModel, layer: int) -> Tensor:
    """The same values from the value projection's own output."""
    caught: list[Tensor] = []
    anatomy = Anatomy(hf)
    slices = [anatomy.head_slices(layer, head, "v") for head in range(4)]
    module = hf.get_submodule(slices[0].param.rpartition(".")[0])
    handle = module.register_forward_hook(lambda _, __, out: caught.append(out))
    with torch.inference_mode():
        hf(IDS)
    handle.remove()
    return torch.stack([caught[-1][..., list(one.index)] for one in slices], dim=1)


@pytest.mark.parametrize("family", EDITABLE)
def test_the_output_of_an_edited_head_is_its_new_weights_times_its_values(family: str) -> None:
    hf = tiny.network(family)
    layer, heads = 1, (0, 3)
    old = read(made(hf), IDS)[layer]
    value = directly(hf, layer)

    def sharper(weights: Tensor) -> Tensor:
        squared = weights**2
        return squared / squared.sum(-1, keepdim=True)

    model = made(hf)
    with heads_of(hf, layer) as caught, torch.inference_mode(), untouched(hf):
        with model.install([AttentionEdit(layer, heads, sharper)]):
            hf(IDS)
            changed = caught[-1]
        hf(IDS)
        plain = caught[-1]
    wanted = torch.einsum("bhqk,bhkd->bqhd", sharper(old), value)
    for head in range(4):
        if head in heads:
            assert torch.allclose(changed[:, :, head], wanted[:, :, head], atol=1e-4)
            assert not torch.allclose(changed[:, :, head], plain[:, :, head], atol=1e-3)
        else:
            assert torch.equal(changed[:, :, head], plain[:, :, head])


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_neox"])
def test_a_head_that_looks_at_one_place_gives_that_places_value(family: str) -> None:
    hf = tiny.network(family)
    assert torch.allclose(values(hf, 0), directly(hf, 0), atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "qwen3", "phi", "opt", "gemma3", "cohere"])
def test_a_temperature_divides_the_scores(family: str) -> None:
    """softmax(s / t) is w ** (1 / t), made to sum to 1 again; no soft caps in these families."""
    hf = tiny.network(family)
    model = made(hf)
    old, value = read(model, IDS)[1], directly(hf, 1)
    with heads_of(hf, 1) as caught, torch.inference_mode(), model.install([AttentionEdit(1, (2,), temperature=2.0)]):
        hf(IDS)
    softer = old**0.5 / (old**0.5).sum(-1, keepdim=True)
    wanted = torch.einsum("bhqk,bhkd->bqhd", softer, value)
    assert torch.allclose(caught[-1][:, :, 2], wanted[:, :, 2], atol=1e-4)


@pytest.mark.parametrize("family", EDITABLE)
def test_edits_that_change_nothing_give_the_same_numbers(family: str) -> None:
    hf = tiny.network(family)
    with torch.inference_mode():
        wanted = hf(IDS).logits
        edits = [AttentionEdit(0, (1,), lambda w: w), AttentionEdit(1, (0, 2), temperature=1.0)]
        with made(hf).install(edits):
            assert torch.allclose(hf(IDS).logits, wanted, atol=1e-4)


def test_two_edits_of_one_layer_and_a_reader_live_together() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    first, second = AttentionEdit(1, (0,), torch.zeros_like), AttentionEdit(1, (3,), torch.zeros_like)
    with untouched(hf), torch.inference_mode(), heads_of(hf, 1) as caught:
        old = hf(IDS).logits
        with model.install([first]):
            with model.install([second]), model.attention([1], lambda _, __: None):
                hf(IDS)
                assert caught[-1][:, :, [0, 3]].abs().max() == 0.0
            hf(IDS)
            assert caught[-1][:, :, 0].abs().max() == 0.0
            assert caught[-1][:, :, 3].abs().max() > 0.0
        assert torch.equal(hf(IDS).logits, old)
        assert hf.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", FIXED)
def test_families_without_the_interface_refuse_to_be_changed(family: str) -> None:
    hf = tiny.network(family)
    with untouched(hf), pytest.raises(UnsupportedSite, match="does not use transformers' attention interface"):
        made(hf).install([AttentionEdit(0, (0,), torch.zeros_like)])


@pytest.mark.parametrize("edit", [AttentionEdit(9, (0,)), AttentionEdit(0, (0, 4)), AttentionEdit(0, (-1,))])
def test_layers_and_heads_that_are_not_there_are_refused(edit: AttentionEdit) -> None:
    hf = tiny.network("llama")
    with untouched(hf), pytest.raises(UnsupportedSite, match="There is no"):
        made(hf).install([edit])


def test_two_models_of_a_family_do_not_disturb_each_other() -> None:
    first, second = tiny.network("llama"), tiny.network("llama", seed=1)
    with torch.inference_mode():
        wanted = second(IDS).logits
        with reading(first, Anatomy(first), [0], lambda _, __: None):
            assert torch.equal(second(IDS).logits, wanted)
            assert second.config._attn_implementation == "sdpa"
