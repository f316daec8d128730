"""FairMed's neutraliser: uniform within its ball, its gradient against autograd, its limit against the closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from evenhand.mitigate._fairmed_neutraliser import Bounds, Network, closed_form, neutraliser

D, H = 12, 20


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(groups: int = 3, seed: int = 1) -> Network:
    """A linear prober on activations of their own scale."""
    deviation = numbers(D, seed=seed).abs() + 0.5
    return Network(
        numbers(D, seed=2), deviation, None, None, numbers(groups, D, seed=3) / 2, numbers(groups) / 2, (groups,)
    )


def deep(groups: tuple[int, ...] = (3,), seed: int = 4) -> Network:
    """Probers with hidden units of their own for each attribute."""
    blocks = [numbers(size, H, seed=seed + 10 + place) / 10 for place, size in enumerate(groups)]
    ends = tuple(torch.tensor(groups).cumsum(0).tolist())
    first, bias = numbers(H * len(groups), D, seed=seed), numbers(H * len(groups), seed=seed + 1)
    bias2 = numbers(sum(groups), seed=seed + 2)
    return Network(numbers(D), numbers(D, seed=5).abs() + 0.5, first, bias, torch.block_diag(*blocks), bias2, ends)


def told(network: Network, x: Tensor) -> Tensor:
    """What the probers say, [N, G]; the first attribute only."""
    z = (x - network.mean) / network.deviation
    if network.first is not None and network.bias is not None:
        z = (z @ network.first.T + network.bias).relu()
    return (z @ network.second.T + network.bias2)[..., : network.ends[0]].softmax(-1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("divergence", ["from_uniform", "to_uniform"])
def test_a_linear_prober_is_made_even_and_the_activation_stays_in_its_ball(norm: str, divergence: str) -> None:
    network, x, size = linear(), numbers(50, D, seed=7), 2.0
    bounds = Bounds(size, 400, 1.0, norm, divergence=divergence, tolerance=0.02)  # type: ignore[arg-type]
    moved = neutraliser(network, bounds)(x[None])[0]
    assert float((told(network, x) - 1 / 3).abs().max()) > 0.4
    assert float((told(network, moved) - 1 / 3).abs().max()) < 0.03
    z = (moved - x) / network.deviation
    length = z.abs().amax(-1) if norm == "linf" else z.square().mean(-1).sqrt()
    assert float(length.max()) <= size + 1e-5


def test_a_small_ball_is_not_left_and_without_it_the_same_steps_go_further() -> None:
    network, x = linear(), numbers(50, D, seed=7)
    for norm in ("linf", "l2"):
        inside, outside = (
            neutraliser(network, Bounds(0.1, 4, 5.0, norm, project))(x) - x  # type: ignore[arg-type]
            for project in (True, False)
        )
        size = (inside / network.deviation).abs() if norm == "linf" else (inside / network.deviation).norm(dim=-1)
        assert float(size.max()) <= (0.1 if norm == "linf" else 0.1 * D**0.5) + 1e-5
        assert float(outside.norm()) > 1.5 * float(inside.norm())


def test_many_small_steps_end_where_the_closed_form_does() -> None:
    network, x = linear(groups=4), numbers(30, D, seed=8)
    weights = network.second / network.deviation
    bias = network.bias2 - (network.second * (network.mean / network.deviation)).sum(1)
    z = (x - network.mean) / network.deviation
    nearest = closed_form(network.second, network.bias2)(z)
    iterated = neutraliser(network, Bounds(5.0, 4000, 1.0, "l2", tolerance=0.0005))(x)
    torch.testing.assert_close((iterated - network.mean) / network.deviation, nearest, atol=2e-2, rtol=0)
    # and that point is the nearest of all: the logits are even there, and the way to it lies in the prober's rows
    assert float((told(network, nearest * network.deviation + network.mean) - 0.25).abs().max()) < 1e-5
    plain = closed_form(weights, bias)(x)
    assert float((told(network, plain) - 0.25).abs().max()) < 1e-5
    assert float((plain - x).norm()) <= float((iterated - x).norm()) + 1e-4
    other = torch.linalg.svd(network.second - network.second.mean(0)).Vh[3:]
    assert float(((nearest - z) @ other.T).abs().max()) < 1e-5


@pytest.mark.parametrize("divergence", ["from_uniform", "to_uniform"])
@pytest.mark.parametrize("groups", [(3,), (2, 4)])
def test_the_step_goes_down_the_gradient_that_autograd_finds(divergence: str, groups: tuple[int, ...]) -> None:
    network, x = deep(groups), numbers(20, D, seed=9)
    assert network.first is not None
    assert network.bias is not None
    z = ((x - network.mean) / network.deviation).requires_grad_()
    logits = (z @ network.first.T + network.bias).relu() @ network.second.T + network.bias2
    loss = torch.zeros(())
    for part in logits.split(list(groups), dim=-1):
        logs, uniform = part.log_softmax(-1), torch.full_like(part, 1 / part.shape[-1])
        terms = (uniform * (uniform.log() - logs), logs.exp() * (logs - uniform.log()))
        loss = loss + terms[divergence == "to_uniform"].sum()
    (gradient,) = torch.autograd.grad(loss, z)
    bounds = Bounds(1e-3, 1, norm="l2", divergence=divergence, tolerance=0.0)  # type: ignore[arg-type]
    moved = (neutraliser(network, bounds)(x.double()) - x) / network.deviation
    expected = -1e-3 * D**0.5 * gradient / gradient.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(moved.float(), expected, atol=1e-7, rtol=1e-3)
    signs = neutraliser(network, Bounds(1e-3, 1, divergence=divergence, tolerance=0.0))(x.double())  # type: ignore[arg-type]
    torch.testing.assert_close(((signs - x) / network.deviation).float(), -1e-3 * gradient.sign(), atol=1e-7, rtol=1e-3)


def test_tokens_are_independent_and_those_that_are_even_or_gated_stay_as_they_are() -> None:
    network, x = deep(), numbers(4, 5, D, seed=10)
    change = neutraliser(network, Bounds(1.0, 3))
    alone = torch.stack([torch.stack([change(token[None])[0] for token in text]) for text in x])
    torch.testing.assert_close(change(x), alone, atol=1e-5, rtol=1e-5)
    gated = neutraliser(network, Bounds(1.0, 3, gate=0.6))(x)
    sure = told(network, x).amax(-1) > 0.6
    assert 0 < int(sure.sum()) < sure.numel()
    assert bool(((gated != x).any(-1) == sure).all())
    even = closed_form(linear().second, linear().bias2)(numbers(6, D)) * linear().deviation + linear().mean
    torch.testing.assert_close(neutraliser(linear(), Bounds(1.0, 3))(even), even)
    assert change(x.bfloat16()).dtype == torch.bfloat16


def test_random_signs_go_as_far_as_the_gradient() -> None:
    network, x = deep(), numbers(200, D, seed=11)
    signs = numbers(D, seed=12).sign()
    sham = Network(
        network.mean, network.deviation, network.first, network.bias, network.second, network.bias2, (3,), signs
    )
    bounds = Bounds(1.0, 1, tolerance=0.0)
    moved, other = ((neutraliser(one, bounds)(x) - x) / network.deviation for one in (network, sham))
    torch.testing.assert_close(moved.abs(), other.abs())
    torch.testing.assert_close(other, -signs.expand_as(other))
