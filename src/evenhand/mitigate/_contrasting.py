"""Contrast of two ways to ask: what one prompt makes likelier than the other is made likelier still.

    contrast = (1 + alpha) * logits under the one prompt - alpha * mean logits under the others

All prompts of a request go through the model in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Combine = Callable[[Tensor, tuple[Tensor, ...]], Tensor]

STEEP = 50.0
"""Nats that a token loses when it is written, for each nat by which it misses the limit of plausibility.

A jump would let rounding decide whether a token may be written, and the text would depend on the batch.
"""


def contrast(alpha: float) -> Combine:
    """Own logits [S, V] against those of the others."""

    def combine(own: Tensor, others: tuple[Tensor, ...]) -> Tensor:
        import torch

        return own if alpha == 0 else (1.0 + alpha) * own - alpha * torch.stack(others).mean(0)

    return combine


def plausible(alpha: float, beta: float) -> Combine:
    """The same, but a token whose own probability is below `beta` times the highest is out of the question."""
    plain = contrast(alpha)

    def combine(own: Tensor, others: tuple[Tensor, ...]) -> Tensor:
        missing = own.amax(-1, keepdim=True) + math.log(beta) - own
        return plain(own, others) - STEEP * missing.clamp_min(0.0)

    return combine


def reversed_roles(combine: Combine) -> Combine:
    """For a request whose own prompt is what is contrasted against, and whose only other prompt is the better one."""
    return lambda own, others: combine(others[0], (own,))
