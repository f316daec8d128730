"""Activations that are read are those of the plain forward pass; gradients are autograd's own."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import draw, logits, made
from tests.fixtures.untouched import untouched
from torch import Tensor

from evenhand.core.edits import ActivationEdit, Dense, WeightEdit
from evenhand.core.errors import UnsupportedSite
from evenhand.core.sites import FINAL, Part, Site
from evenhand.model import Model

FAMILIES = ["llama", "gpt2", "gemma3", "gpt_neox", "opt", "falcon", "bloom", "gpt_neo"]
IDS = torch.tensor([[1, 40, 7, 90, 33, 12], [1, 22, 5, 6, 91, 60]])
TEXTS = ["the cat sat on the mat", "a", "the dog ran and the cats sat on a big house. is it good?", ""]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_trace_holds_what_each_module_reads_or_gives(family: str) -> None:
    """Residuals against transformers' hidden states; the rest through the weights that come after."""
    hf = tiny.network(family)
    model = made(hf)
    sites = [Site(0, part) for part in Part if part is not Part.FINAL] + [FINAL]
    with torch.inference_mode():
        out = hf(IDS, output_hidden_states=True)  # transformers leaves hooks of its own
    with untouched(hf), torch.inference_mode():
        with model.trace(sites) as found:
            hf(IDS)
        assert all(len(kept) == 1 for kept in found.values())
        x = {site.part: kept[0] for site, kept in found.items()}
        layer = model.anatomy.layer(0)
        projection, mlp = layer.projection, layer.mlp
        assert projection is not None
        assert mlp is not None
        assert x[Part.RESIDUAL].shape == x[Part.FINAL].shape == (2, 6, 32)
        assert torch.equal(x[Part.RESIDUAL], out.hidden_states[1])
        assert torch.equal(x[Part.FINAL], out.hidden_states[-1])
        assert torch.allclose(projection(x[Part.HEADS]), x[Part.ATTENTION], atol=1e-5)
        assert torch.allclose(mlp(x[Part.NEURONS]), x[Part.MLP], atol=1e-5)


def test_a_trace_keeps_one_entry_for_each_pass_and_copies() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    site = Site(1, Part.MLP)
    with torch.inference_mode(), model.trace([site]) as found:
        hf(IDS)
        first = found[site][0].clone()
        hf(IDS[:1, :3])
        assert [tuple(x.shape) for x in found[site]] == [(2, 6, 32), (1, 3, 32)]
        assert torch.equal(found[site][0], first)
    hf(IDS)
    assert len(found[site]) == 2


@pytest.mark.parametrize("part", [Part.RESIDUAL, Part.HEADS, Part.MLP, Part.NEURONS, Part.ATTENTION, Part.FINAL])
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_gradients_are_the_slope_of_the_logits(family: str, part: Part) -> None:
    """Against a difference quotient: nudge the activation by a plain edit and watch the logit."""
    hf = tiny.network(family).double()
    model = made(hf)
    site = Site(0 if part is Part.FINAL else 1, part)

    def wanted(out: Any) -> Tensor:
        return out.logits[0, -1, 9] - out.logits[1, -1, 17]

    with untouched(hf):
        with model.trace([site], grad=True) as found:
            wanted(hf(IDS)).backward()
        (x,) = found[site]
        assert x.grad is not None
        hf.zero_grad(set_to_none=True)
    nudge = draw(*x.shape).double() * 1e-3
    moved = []
    for step in (nudge, -nudge):
        with torch.inference_mode(), model.install([ActivationEdit(site, lambda kept, step=step: kept + step)]):
            moved.append(float(wanted(hf(IDS))))
    assert (moved[0] - moved[1]) / 2 == pytest.approx(float((x.grad * nudge).sum()), rel=1e-2, abs=2e-5)


def test_gradients_reach_several_sites_of_frozen_weights() -> None:
    hf = tiny.network("llama").requires_grad_(False)
    model = made(hf)
    sites = model.anatomy.sites(Part.HEADS)[::4] + model.anatomy.sites(Part.MLP)
    with untouched(hf), model.trace(sites, grad=True) as found:
        hf(IDS).logits[:, -1, 5].sum().backward()
    for site in sites:
        (x,) = found[site]
        assert x.grad is not None, site
        assert x.grad.abs().sum() > 0, site


@pytest.mark.parametrize("pool", ["mean", "last"])
def test_states_are_means_or_last_tokens_of_each_text_alone(family: str, pool: Literal["mean", "last"]) -> None:
    hf = tiny.network(family)
    model = made(hf, batch_tokens=512)
    sites = [Site(0, Part.RESIDUAL), Site(1, Part.HEADS), Site(1, Part.NEURONS), FINAL]
    with untouched(hf):
        found = model.states(TEXTS, sites, pool=pool)
    for number, text in enumerate(TEXTS):
        ids = torch.tensor([model.tokenizer(text).input_ids])
        with torch.inference_mode(), model.trace(sites) as alone:
            hf(ids)
        for site in sites:
            x = alone[site][0][0]
            wanted = x.mean(0) if pool == "mean" else x[-1]
            assert torch.allclose(found[site][number], wanted, atol=1e-4), (site, text)


def test_states_come_in_order_in_float32_whatever_the_batches() -> None:
    model = Model.wrap(tiny.network("llama").to(torch.bfloat16), tiny.tokenizer(), batch_tokens=16)
    site = Site(1, Part.RESIDUAL)
    found = model.states(TEXTS, [site])[site]
    assert found.shape == (4, 32)
    assert found.dtype == torch.float32
    backwards = model.states(TEXTS[::-1], [site])[site]
    assert torch.allclose(backwards.flip(0), found, atol=0.05)
    assert model.states([], [site])[site].numel() == 0


def test_an_encoder_has_states_too() -> None:
    for kind in ("encoder", "masked"):
        hf = tiny.encoder(kind)  # type: ignore[arg-type]
        model = Model.wrap(hf, tiny.tokenizer(encoder=True))
        site = Site(1, Part.RESIDUAL)
        found = model.states(TEXTS[:3], [site, FINAL], pool="mean")
        for number, text in enumerate(TEXTS[:3]):
            with torch.inference_mode():
                out = hf(torch.tensor([model.tokenizer(text).input_ids]), output_hidden_states=True)
            assert torch.allclose(found[site][number], out.hidden_states[2][0].mean(0), atol=1e-4)
            if kind == "encoder":
                assert torch.allclose(found[FINAL][number], out.last_hidden_state[0].mean(0), atol=1e-4)


def test_what_is_installed_is_seen() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    site = Site(2, Part.RESIDUAL)
    plain = model.states(TEXTS, [site])[site]
    with model.install([WeightEdit("model.layers.0.mlp.down_proj.weight", Dense(draw(32, 64)))]):
        assert not torch.allclose(model.states(TEXTS, [site])[site], plain, atol=1e-2)
    assert torch.equal(model.states(TEXTS, [site])[site], plain)


def test_sites_that_are_not_there_leave_nothing() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    with untouched(hf), pytest.raises(UnsupportedSite), model.trace([Site(0, Part.MLP), Site(9, Part.MLP)]):
        pass


def test_an_error_inside_a_trace_leaves_nothing() -> None:
    hf = tiny.network("llama")
    with untouched(hf), pytest.raises(IndexError), made(hf).trace([Site(0, Part.MLP)], grad=True):
        logits(hf, IDS + 99999)
