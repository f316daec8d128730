"""The closed-form edit: predict the log-odds of the groups from an activation and take them out again.

    odds = m W + b              ridge regression, all attributes side by side: [D] to [groups]
    gate = (m v + c > 0)        is this a place where a group may be named? learned from cues and plain text
    m'   = m - gate * odds B    B [groups, D]: what shifts the model's own log-odds by one, to first order

Two matrix products and a gate, whatever the number of attributes and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Linear:
    """One layer's edit, see above: weights [D, G], bias [G], back [G, D]; gate [D] and its bias, if there is one."""

    weights: Tensor
    bias: Tensor
    back: Tensor
    gate: Tensor | None = None
    gate_bias: Tensor | None = None


def edit(linear: Linear, eta: float) -> Callable[[Tensor], Tensor]:
    """A function of activations [..., D] to activations [..., D]."""
    import torch

    joined = linear.weights
    bias = linear.bias
    if linear.gate is not None and linear.gate_bias is not None:
        joined = torch.cat([joined, linear.gate[:, None]], 1)
        bias = torch.cat([bias, linear.gate_bias.reshape(1)])
    back = eta * linear.back

    def change(x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        told = wide @ joined.to(wide) + bias.to(wide)
        if linear.gate is not None:
            told = told[..., :-1] * (told[..., -1:] > 0)
        return (wide - told @ back.to(wide)).to(x.dtype)

    return change


def ridge(x: Tensor, y: Tensor, penalty: float, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Ridge regression on standardised inputs: [D, G] and [G] for the inputs as they are. In float64.

    Args:
        x: [N, D].
        y: [N, G].
        penalty: added to the diagonal of the inputs' correlations, so that it means the same for any number of rows.
        weights: of the rows, [N]; None = all alike.
    """
    import torch

    x, y = x.double(), y.double()
    w = torch.ones(len(x)).double() if weights is None else weights.double()
    w = w / w.sum()
    mean, level = w @ x, w @ y
    centred = x - mean
    deviation = (w @ centred.square()).sqrt()
    deviation = deviation.clamp_min(1e-3 * float(deviation.mean()) + 1e-12)
    z = centred / deviation * w.sqrt()[:, None]
    target = (y - level) * w.sqrt()[:, None]
    if z.shape[0] < z.shape[1]:  # the smaller of the two systems
        kernel = z @ z.T + penalty * torch.eye(len(z)).double()
        found = z.T @ torch.linalg.solve(kernel, target)
    else:
        gram = z.T @ z + penalty * torch.eye(z.shape[1]).double()
        found = torch.linalg.solve(gram, z.T @ target)
    slopes = found / deviation[:, None]
    return slopes, level - mean @ slopes


def held_out(x: Tensor, y: Tensor, concepts: Sequence[str], penalty: float, folds: int = 5) -> Tensor:
    """What ridge regressions that have seen no cue of a concept say of it, [N, G]."""
    import torch

    names = sorted(set(concepts))
    of = torch.tensor([names.index(name) % folds for name in concepts])
    told = torch.zeros_like(y)
    for fold in range(min(folds, len(names))):
        slopes, level = ridge(x[of != fold], y[of != fold], penalty)
        told[of == fold] = x[of == fold].double() @ slopes + level
    return told


def best_penalty(x: Tensor, y: Tensor, concepts: Sequence[str], penalties: Sequence[float]) -> tuple[float, float]:
    """The penalty that tells most of new concepts, and the share of the variance that it tells of them."""
    scores = [explained(y, held_out(x, y, concepts, penalty)) for penalty in penalties]
    best = max(range(len(scores)), key=lambda n: scores[n])
    return penalties[best], scores[best]


def explained(y: Tensor, told: Tensor) -> float:
    """1 - squared error / squared distance from the mean: what is told beyond the mean; below 0 it is told worse."""
    whole = float((y - y.mean(0)).square().sum())
    return 1 - float((y - told).square().sum()) / whole if whole else 0.0


def inverse(gradient: Tensor, damping: float = 0.0) -> Tensor:
    """B [G, D] such that a shift by `odds B` changes log-odds by `odds` to first order: the smallest such shift.

    Args:
        gradient: of the log-odds by the activation, [G, D]; its rows add up to 0.
        damping: of directions in which the gradient is weak, in shares of its largest singular value.
    """
    import torch

    u, s, v = torch.linalg.svd(gradient.double(), full_matrices=False)
    kept = s > 1e-9 * s[0]
    scale = torch.where(kept, s / (s.square() + (damping * s[0]) ** 2).clamp_min(1e-300), torch.zeros_like(s))
    shifts: Tensor = (u * scale) @ v
    return shifts
