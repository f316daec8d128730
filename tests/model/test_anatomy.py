"""Where the parts of a model are, for every architecture, against what its code says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched

from evenhand.core.errors import UnsupportedSite
from evenhand.core.sites import FINAL, Part, Site
from evenhand.model.anatomy import Anatomy

LLAMA = ("model.layers.{}", "self_attn", "self_attn.o_proj", "mlp.down_proj")
NAMES: dict[str, tuple[str, str, str, str]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "cohere", "granite"), LLAMA),
    "phi": ("model.layers.{}", "self_attn", "self_attn.dense", "mlp.fc2"),
    "gpt2": ("transformer.h.{}", "attn", "attn.c_proj", "mlp.c_proj"),
    "gpt_neox": ("gpt_neox.layers.{}", "attention", "attention.dense", "mlp.dense_4h_to_h"),
    "opt": ("model.decoder.layers.{}", "self_attn", "self_attn.out_proj", "fc2"),
    "falcon": ("transformer.h.{}", "self_attention", "self_attention.dense", "mlp.dense_4h_to_h"),
    "falcon_alibi": ("transformer.h.{}", "self_attention", "self_attention.dense", "mlp.dense_4h_to_h"),
    "bloom": ("transformer.h.{}", "self_attention", "self_attention.dense", "mlp.dense_4h_to_h"),
    "gpt_neo": ("transformer.h.{}", "attn.attention", "attn.attention.out_proj", "mlp.c_proj"),
}
"""Names of block, and below it of attention, its output projection and the MLP's, from each model's source."""
IDS = torch.tensor([[5, 40, 7, 90, 33, 12]])


@pytest.fixture(params=NAMES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_family_is_covered() -> None:
    assert {*NAMES, "mamba"} == set(tiny.FAMILIES)


def test_parts_are_the_modules_that_the_source_names(family: str) -> None:
    hf = tiny.shared(family)
    block, attention, projection, mlp = NAMES[family]
    with untouched(hf):
        anatomy = Anatomy(hf)
    assert len(anatomy.layers) == hf.config.num_hidden_layers
    for number, layer in enumerate(anatomy.layers):
        base = hf.get_submodule(block.format(number))
        assert layer.block is base
        assert layer.attention is base.get_submodule(attention)
        assert layer.projection is base.get_submodule(projection)
        assert layer.mlp is base.get_submodule(mlp)
        assert anatomy.module(Site(number, Part.RESIDUAL)) is base
        for part in (Part.ATTENTION, Part.HEADS):
            assert anatomy.module(Site(number, part)) is layer.projection
        for part in (Part.MLP, Part.NEURONS):
            assert anatomy.module(Site(number, part)) is layer.mlp
    assert anatomy.module(FINAL) is hf.get_output_embeddings()
    assert (anatomy.hidden, anatomy.heads, anatomy.head_width) == (32, 4, 8)


def test_the_residuals_are_the_hidden_states_that_transformers_gives(family: str) -> None:
    hf = tiny.shared(family)
    anatomy = Anatomy(hf)
    caught: list[torch.Tensor] = []
    handles = [
        anatomy.module(site).register_forward_hook(
            lambda _, __, out: caught.append(out[0] if isinstance(out, tuple) else out)
        )
        for site in anatomy.sites(Part.RESIDUAL)
    ]
    with torch.inference_mode():
        states = hf(IDS, output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    for mine, theirs in zip(caught[:-1], states[1:-1], strict=True):  # the last one comes after the final norm
        assert torch.equal(mine, theirs)


def test_sites_are_one_per_layer_and_one_per_head(family: str) -> None:
    anatomy = Anatomy(tiny.shared(family))
    layers = len(anatomy.layers)
    assert anatomy.sites(Part.HEADS) == [Site(n, Part.HEADS, head) for n in range(layers) for head in range(4)]
    for part in (Part.RESIDUAL, Part.ATTENTION, Part.MLP, Part.NEURONS):
        assert anatomy.sites(part) == [Site(n, part) for n in range(layers)]
    assert anatomy.sites(Part.FINAL) == [FINAL]


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(9, Part.MLP), r"no layer 9: .* has [23], counted from 0"),
        (Site(0, Part.HEADS, 4), r"L0.heads.4: there are 4 such units"),
        (Site(0, Part.NEURONS, 999), r"there are \d+ such units"),
        (Site(0, Part.RESIDUAL, 0), r"there are 0 such units"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused(family: str, site: Site, message: str) -> None:
    with pytest.raises(UnsupportedSite, match=message):
        Anatomy(tiny.shared(family)).module(site)


def test_a_model_without_attention_has_its_residual_stream_only() -> None:
    anatomy = Anatomy(tiny.shared("mamba"))
    assert anatomy.sites(Part.RESIDUAL) == [Site(0, Part.RESIDUAL), Site(1, Part.RESIDUAL)]
    for part in (Part.ATTENTION, Part.HEADS, Part.MLP, Part.NEURONS):
        assert anatomy.sites(part) == []
        with pytest.raises(UnsupportedSite, match="Parts found: residual"):
            anatomy.module(Site(0, part))
    with pytest.raises(UnsupportedSite):
        anatomy.head_slices(0, 0, "q")


@pytest.mark.parametrize("kind", ["masked", "classifier", "encoder"])
def test_encoders_have_parts_too(kind: Any) -> None:
    hf = tiny.encoder(kind)
    anatomy = Anatomy(hf)
    layers = hf.base_model.encoder.layer  # type: ignore[union-attr, operator]
    assert [layer.block for layer in anatomy.layers] == list(layers)
    assert [layer.mlp for layer in anatomy.layers] == [one.output.dense for one in layers]


def places(family: str, head: int, which: Any, layer: int = 1) -> tuple[str, int, int, int]:
    """Parameter, axis, first and last entry, checked to be one run."""
    found = Anatomy(tiny.shared(family)).head_slices(layer, head, which)
    assert list(found.index) == list(range(found.index[0], found.index[-1] + 1))
    return found.param.rsplit(".", 2)[-2], found.axis, found.index[0], found.index[-1]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "cohere", "granite"])
def test_grouped_heads_share_keys_and_values(family: str) -> None:
    assert places(family, 3, "q") == ("q_proj", 0, 24, 31)
    assert places(family, 3, "k") == ("k_proj", 0, 8, 15)  # heads 2 and 3 share the second of two
    assert places(family, 1, "v") == ("v_proj", 0, 0, 7)
    anatomy = Anatomy(tiny.shared(family))
    assert anatomy.head_slices(1, 1, "v").shared == (0, 1)
    assert anatomy.head_slices(1, 1, "q").shared == (1,)


def test_layouts_of_fused_projections() -> None:
    assert places("gpt2", 2, "q") == ("c_attn", 1, 16, 23)  # transposed, all queries, then keys, then values
    assert places("gpt2", 2, "k") == ("c_attn", 1, 48, 55)
    assert places("gpt2", 2, "v") == ("c_attn", 1, 80, 87)
    for family in ("gpt_neox", "bloom"):  # query, key, value head by head
        assert places(family, 2, "q") == ("query_key_value", 0, 48, 55)
        assert places(family, 2, "k") == ("query_key_value", 0, 56, 63)
        assert places(family, 2, "v") == ("query_key_value", 0, 64, 71)
    assert places("falcon", 3, "q") == ("query_key_value", 0, 40, 47)  # two queries, their key, their value; twice
    assert places("falcon", 3, "k") == ("query_key_value", 0, 48, 55)
    assert places("falcon", 3, "v") == ("query_key_value", 0, 56, 63)
    assert places("falcon_alibi", 3, "q") == ("query_key_value", 0, 24, 31)  # all queries, one key, one value
    assert places("falcon_alibi", 3, "k") == ("query_key_value", 0, 32, 39)
    assert places("falcon_alibi", 3, "v") == ("query_key_value", 0, 40, 47)


def test_separate_projections_without_groups() -> None:
    for family in ("opt", "phi", "gpt_neo"):
        assert places(family, 2, "q") == ("q_proj", 0, 16, 23)
        assert places(family, 2, "k") == ("k_proj", 0, 16, 23)
        assert places(family, 2, "v") == ("v_proj", 0, 16, 23)


def test_the_bias_goes_with_the_slice() -> None:
    for family, biased in (("gpt2", True), ("gpt_neox", True), ("opt", True), ("qwen2", True), ("llama", False)):
        place = Anatomy(tiny.shared(family)).head_slices(0, 1, "q")
        assert place.bias == (place.param.removesuffix("weight") + "bias" if biased else ""), family


@pytest.mark.parametrize("which", ["q", "k", "v"])
def test_without_its_rows_a_head_alone_changes(family: str, which: Any) -> None:
    """Zero queries or keys make a head look at everything alike, zero values silence it; the others stay."""
    hf = tiny.network(family)
    anatomy = Anatomy(hf)
    place = anatomy.head_slices(0, 2, which)
    caught: list[torch.Tensor] = []
    handle = anatomy.module(Site(0, Part.HEADS)).register_forward_pre_hook(
        lambda _, given: caught.append(given[0].clone())
    )
    with torch.no_grad():
        hf(IDS)
        for name in filter(None, (place.param, place.bias)):
            axis = place.axis if name == place.param else 0
            parameter = hf.get_parameter(name)
            parameter.index_fill_(axis, torch.tensor(place.index), 0.0)
        hf(IDS)
    handle.remove()
    before, after = (one.reshape(6, 4, 8) for one in caught)
    for head in range(4):
        same = torch.equal(before[:, head], after[:, head])
        assert same == (head not in place.shared), head
        if which == "v" and head in place.shared:
            assert not after[:, head].any()
