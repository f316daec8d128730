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
    Moves = Callable[[Tensor, tuple[Tensor, ...], float], Tensor | float]

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
        return plain(own, others) - STEEP * _missing(own, beta).clamp_min(0.0)

    return combine


def moves(alpha: float, beta: float) -> Moves:
    """How far `plausible` can move where each logit moves by `by` nats: [S, V].

    The contrast itself moves by 1 + 2 alpha times as much, and the limit and a logit by twice as much against each
    other; that counts `STEEP` times where it brings a token onto the ramp or moves it there.
    """

    def most(own: Tensor, others: tuple[Tensor, ...], by: float) -> Tensor:
        return (1.0 + 2.0 * alpha) * by + STEEP * (_missing(own, beta) + 2.0 * by).clamp(0.0, 2.0 * by)

    return most


def _missing(own: Tensor, beta: float) -> Tensor:
    """Nats by which each token misses the limit of plausibility; negative within it."""
    return own.amax(-1, keepdim=True) + math.log(beta) - own


def reversed_roles(combine: Combine) -> Combine:
    """For a request whose own prompt is what is contrasted against, and whose only other prompt is the better one."""
    return lambda own, others: combine(others[0], (own,))


def reversed_moves(most: Moves) -> Moves:
    """`moves` for such a request."""
    return lambda own, others, by: most(others[0], (own,), by)
