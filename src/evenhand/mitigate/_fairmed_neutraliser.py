"""FairMed's neutraliser: nudge an activation, within bounds, until a prober tells no group from another.

It is worked out in standardised units, z = (m - mean) / deviation: a step then is as large for every number of the
activation as that number usually varies. The prober is linear or has one hidden layer of rectified units, so its
gradient is two matrix products; nothing is differentiated at inference. All tokens are done at once, and several
attributes are one network whose hidden units do not mix: their gradients are added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["linf", "l2"]
Divergence = Literal["from_uniform", "to_uniform"]


@dataclass(frozen=True)
class Bounds:
    """How far and how an activation may be moved.

    Attributes:
        size: the ball's radius in standard deviations: of each number (linf), or of their root mean square (l2).
        steps: how many.
        step: length of a step in shares of radius / steps.
        norm: the ball, and the step: the gradient's sign (linf) or the normalised gradient (l2).
        project: put the change back into the ball after each step.
        divergence: what is lowered: KL(uniform || p), or KL(p || uniform).
        tolerance: a token is done when each probability is so near to uniform.
        gate: leave tokens alone for which no group is likelier than this, of any attribute.
    """

    size: float = 1.0
    steps: int = 3
    step: float = 1.0
    norm: Norm = "linf"
    project: bool = True
    divergence: Divergence = "from_uniform"
    tolerance: float = 0.02
    gate: float = 0.0


@dataclass(frozen=True)
class Network:
    """The probers of one layer for all attributes: hidden units and logits side by side.

    Attributes:
        mean: [D].
        deviation: [D].
        first: [H, D]; None for linear probers.
        bias: [H].
        second: [G, H], or [G, D] for linear probers; 0 where a logit does not read a unit.
        bias2: [G].
        ends: where the logits of each attribute end.
        random: signs [D] to go along instead of the gradient, for a sham.
    """

    mean: Tensor
    deviation: Tensor
    first: Tensor | None
    bias: Tensor | None
    second: Tensor
    bias2: Tensor
    ends: tuple[int, ...]
    random: Tensor | None = None


def neutraliser(network: Network, bounds: Bounds) -> Callable[[Tensor], Tensor]:
    """A function of activations [..., D] to activations [..., D]."""
    import torch

    def change(x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, deviation, second, bias2 = (
            one.to(wide) for one in (network.mean, network.deviation, network.second, network.bias2)
        )
        first = None if network.first is None else network.first.to(wide)
        random = None if network.random is None else network.random.to(wide)
        reader = second if first is None else first
        start = (wide - mean) / deviation @ reader.T
        start = start + (bias2 if network.bias is None else network.bias.to(wide))
        delta = torch.zeros_like(wide)
        opened: Tensor | None = None
        for number in range(bounds.steps):
            units = start if not number else start + delta @ reader.T
            logits = units if first is None else units.relu() @ second.T + bias2
            errors, worst, top = _errors(logits, network.ends, bounds.divergence)
            opened = top > bounds.gate if opened is None else opened
            going = (opened & (worst > bounds.tolerance))[..., None]
            pulled = errors @ second
            gradient = pulled if first is None else (pulled * (units > 0)) @ first
            gradient = (gradient if random is None else random.expand_as(gradient)) * going
            delta = _stepped(delta, gradient, bounds)  # where the gradient is 0 nothing moves
        return (wide + delta * deviation).to(x.dtype)

    return change


def closed_form(weights: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """The nearest activations at which a linear prober's logits are all the same: the limit of many small l2 steps.

    Args:
        weights: [G, D].
        bias: [G].
    """
    import torch

    centred = weights - weights.mean(0)
    offset = bias - bias.mean()
    back = torch.linalg.pinv(centred)  # [D, G]

    def change(x: Tensor) -> Tensor:
        nearest: Tensor = x - (x @ centred.T + offset) @ back.T
        return nearest

    return change


def _errors(logits: Tensor, ends: Sequence[int], divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the divergences by the logits, largest distance from uniform, and largest probability."""
    import torch

    errors, worst, top = [], [], []
    for begin, end in pairwise((0, *ends)):
        logs = logits[..., begin:end].log_softmax(-1)
        p = logs.exp()
        away = p - 1 / (end - begin)
        match divergence:
            case "from_uniform":
                errors.append(away)
            case "to_uniform":
                errors.append(p * (logs - (p * logs).sum(-1, keepdim=True)))
            case _:
                assert_never(divergence)
        worst.append(away.abs().amax(-1))
        top.append(p.amax(-1))
    if len(errors) == 1:
        return errors[0], worst[0], top[0]
    return torch.cat(errors, -1), torch.stack(worst).amax(0), torch.stack(top).amax(0)


def _stepped(delta: Tensor, gradient: Tensor, bounds: Bounds) -> Tensor:
    """One step down the gradient, and back into the ball."""
    match bounds.norm:
        case "linf":
            delta = delta - bounds.size * bounds.step / bounds.steps * gradient.sign()
            return delta.clamp(-bounds.size, bounds.size) if bounds.project else delta
        case "l2":
            radius = bounds.size * gradient.shape[-1] ** 0.5
            length = gradient.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            delta = delta - radius * bounds.step / bounds.steps * gradient / length
            if not bounds.project:
                return delta
            shrink: Tensor = radius / delta.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            return delta * shrink.clamp_max(1.0)
        case _:
            assert_never(bounds.norm)
