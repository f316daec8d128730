"""FairMed's probers: one small network per layer that tells from a cue's activation which group the model names next.

Standardised activation z = (m - mean) / deviation, hidden h = relu(z first^T + bias), logits h second^T + bias2. The
networks of all layers are trained side by side, as one batched matrix product; each keeps the weights of its own best
epoch on cues that were kept back. How well a layer does is measured as macro-F1 on concepts that it never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_DEV = 0.15
_PATIENCE = 8


@dataclass(frozen=True)
class Settings:
    """How probers are trained.

    Attributes:
        width: hidden units; 0 = a linear prober.
        epochs: passes over the cues, at most.
        rate: learning rate of Adam.
        decay: its weight decay.
        batch: cues per step.
    """

    width: int = 256
    epochs: int = 50
    rate: float = 1e-3
    decay: float = 1e-4
    batch: int = 64


@dataclass(frozen=True)
class Probers:
    """Networks of K layers: first [K, H, D], bias [K, H], second [K, G, H], bias2 [K, G]; a linear one has no first."""

    first: Tensor | None
    bias: Tensor | None
    second: Tensor
    bias2: Tensor

    def logits(self, z: Tensor) -> Tensor:
        """Standardised activations [K, N, D] to logits [K, N, G]."""
        hidden = z
        if self.first is not None and self.bias is not None:
            hidden = (z @ self.first.transpose(1, 2) + self.bias[:, None]).relu()
        return hidden @ self.second.transpose(1, 2) + self.bias2[:, None]


def train(z: Tensor, targets: Tensor, settings: Settings, rng: np.random.Generator) -> Probers:
    """Train one prober per layer.

    Args:
        z: standardised activations, float32 [K, N, D].
        targets: wanted distributions over the groups, float32 [N, G]; a label is a distribution with one 1.
        settings: how.
        rng: of weights, batches and of the cues that are kept back.
    """
    import torch

    count, held = z.shape[1], round(_DEV * z.shape[1])
    order = torch.from_numpy(rng.permutation(count))
    dev, own = order[:held], order[held:]
    probers = _drawn(z.shape[0], z.shape[2], targets.shape[1], settings.width, rng)
    weights = [one for one in (probers.first, probers.bias, probers.second, probers.bias2) if one is not None]
    for one in weights:
        one.requires_grad_()
    with torch.enable_grad():
        optimiser = torch.optim.Adam(weights, lr=settings.rate, weight_decay=settings.decay, fused=True)
        best = [one.detach().clone() for one in weights]
        least = torch.full((z.shape[0],), float("inf"))
        stale = 0
        for _ in range(settings.epochs):
            shuffled = own[torch.from_numpy(rng.permutation(len(own)))]
            for begin in range(0, len(own), settings.batch):
                rows = shuffled[begin : begin + settings.batch]
                loss = _losses(probers.logits(z[:, rows]), targets[rows]).sum()
                for one, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                    one.grad = gradient.contiguous()  # the fused step reads memory in order
                optimiser.step()
            seen = dev if len(dev) else own
            with torch.no_grad():
                losses = _losses(probers.logits(z[:, seen]), targets[seen])
            better = losses < least
            least = torch.where(better, losses, least)
            for kept, one in zip(best, weights, strict=True):
                kept[better] = one.detach()[better]
            stale = 0 if bool(better.any()) else stale + 1
            if stale >= _PATIENCE:
                break
    if probers.first is None:
        return Probers(None, None, best[0], best[1])
    return Probers(*best)


def macro_f1(truth: Tensor, told: Tensor, groups: int) -> float:
    """Mean over the groups that occur, in truth or as told, of F1 = 2 tp / (2 tp + fp + fn)."""
    scores = []
    for group in range(groups):
        is_so, said = truth == group, told == group
        hits, whole = int((is_so & said).sum()), int(is_so.sum() + said.sum())
        if whole:
            scores.append(2 * hits / whole)
    return sum(scores) / len(scores) if scores else 0.0


def held_out_f1(
    z: Tensor,
    targets: Tensor,
    concepts: Sequence[str],
    settings: Settings,
    rng: np.random.Generator,
    *,
    of: str = "",
    folds: int = 4,
) -> list[float]:
    """Macro-F1 of each layer, every concept being told by probers that were trained on the others.

    Args:
        z: standardised activations, float32 [K, N, D].
        targets: [N, G]; the truth is their largest.
        concepts: of each cue.
        settings: how probers are trained.
        rng: of the parts and of training.
        of: only the concepts whose names begin so are held out and counted; the others are always trained on.
        folds: parts that the concepts are cut into, at most.
    """
    import torch

    names = sorted({name for name in concepts if name.startswith(of)})
    part = {names[int(n)]: place % min(folds, len(names)) for place, n in enumerate(rng.permutation(len(names)))}
    number = torch.tensor([part.get(name, -1) for name in concepts])
    truth = targets.argmax(1)
    told = torch.zeros(z.shape[:2], dtype=torch.long)
    for fold in sorted(set(part.values())):
        probers = train(z[:, number != fold], targets[number != fold], settings, rng)
        told[:, number == fold] = probers.logits(z[:, number == fold]).argmax(2)
    counted = number >= 0
    return [macro_f1(truth[counted], one[counted], targets.shape[1]) for one in told]


def standard(states: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the cues: states [K, N, D] to two of [K, D]; never a deviation of nothing."""
    deviation = states.std(1, correction=0)
    floor = 1e-3 * deviation.mean(1, keepdim=True) + 1e-8
    return states.mean(1), deviation.maximum(floor)


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of each layer, [K]."""
    return -(targets * logits.log_softmax(2)).sum(2).mean(1)


def _drawn(layers: int, width_in: int, groups: int, hidden: int, rng: np.random.Generator) -> Probers:
    """Weights as torch draws those of a linear layer: evenly within 1 / sqrt(inputs)."""
    import torch

    def uniform(*shape: int, inputs: int) -> Tensor:
        bound = inputs**-0.5
        return torch.from_numpy(rng.uniform(-bound, bound, shape)).float()

    if not hidden:
        second = uniform(layers, groups, width_in, inputs=width_in)
        return Probers(None, None, second, uniform(layers, groups, inputs=width_in))
    return Probers(
        uniform(layers, hidden, width_in, inputs=width_in),
        uniform(layers, hidden, inputs=width_in),
        uniform(layers, groups, hidden, inputs=hidden),
        uniform(layers, groups, inputs=hidden),
    )
