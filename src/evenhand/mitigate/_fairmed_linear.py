"""The closed-form edit: predict the log-odds of the groups from an activation and take them out again.

    odds = m W + b              ridge regression, all attributes side by side: [D] to [groups]
    gate = (m v + c > 0)        is this a place where a group may be named? learned from cues and plain text
    m'   = m - gate * odds B    B [groups, D]: what shifts the model's own log-odds by one, to first order

Two matrix products and a gate, whatever the number of attributes and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    return next(_ridges(x, y, (penalty,), weights))


def held_out(x: Tensor, y: Tensor, concepts: Sequence[str], penalties: Sequence[float], folds: int = 5) -> list[Tensor]:
    """What regressions that have seen no cue of a concept say of it, [N, G] for each penalty."""
    import torch

    names = sorted(set(concepts))
    of = torch.tensor([names.index(name) % folds for name in concepts])
    told = [torch.zeros_like(y) for _ in penalties]
    for fold in range(min(folds, len(names))):
        fitted = _ridges(x[of != fold], y[of != fold], penalties, None)
        for (slopes, level), out in zip(fitted, told, strict=True):
            out[of == fold] = x[of == fold].double() @ slopes + level
    return told


def best_penalty(x: Tensor, y: Tensor, concepts: Sequence[str], penalties: Sequence[float]) -> tuple[float, float]:
    """The penalty that tells most of new concepts, and the share of the variance that it tells of them."""
    scores = [explained(y, told) for told in held_out(x, y, concepts, penalties)]
    best = max(range(len(scores)), key=lambda n: scores[n])
    return penalties[best], scores[best]


def explained(y: Tensor, told: Tensor) -> float:
    """1 - squared error / squared distance from the mean: what is told beyond the mean; below 0 it is told worse."""
    whole = float((y - y.mean(0)).square().sum())
    return 1 - float((y - told).square().sum()) / whole if whole else 0.0


def inverse(gradient: Tensor) -> Tensor:
    """B [G, D] such that a shift by `odds B` changes log-odds by `odds` to first order: the smallest such shift.

    Args:
        gradient: of the log-odds by the activation, [G, D], all attributes below each other; the rows of each add up
            to 0, and a shift for one leaves the others as they are.
    """
    import torch

    shifts: Tensor = torch.linalg.pinv(gradient.double(), rtol=1e-9).T
    return shifts


def _ridges(
    x: Tensor, y: Tensor, penalties: Sequence[float], weights: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Slopes [D, G] and level [G] for each penalty."""
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
    few = z.shape[0] < z.shape[1]  # then the smaller of the two systems is the one of the rows
    system = z @ z.T if few else z.T @ z
    right = target if few else z.T @ target
    for penalty in penalties:
        factor = torch.linalg.cholesky(system + penalty * torch.eye(len(system)).double())
        found = torch.cholesky_solve(right, factor)
        slopes = (z.T @ found if few else found) / deviation[:, None]
        yield slopes, level - mean @ slopes
