"""Attention sinks of one input, and what calibration makes of a head's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand.core.edits import AttentionEdit, Marked

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sinks:
    """Which columns of a head are sinks.

    Attributes:
        alpha: a column is one if its mean weight is above alpha / (tokens of the prompt).
        tau: the threshold itself instead, None for alpha's.
        include_first: whether the first token can be one.
        min_queries: queries that must see a column.
        opening: token ids that open a text, which are no sinks wherever they stand: a chat format repeats them.
    """

    alpha: float
    tau: float | None
    include_first: bool
    min_queries: int
    opening: tuple[int, ...] = ()

    def find(self, weights: Tensor, counted: Tensor) -> Tensor:
        """Weights [B, h, Lq, Lk] and which of them count, bool [B, 1, Lq, Lk], to sinks, bool [B, h, Lk]."""
        import torch

        seen = counted.sum(-2)  # [B, 1, Lk]: queries that see a column
        mean = (weights.float() * counted).sum(-2) / seen.clamp_min(1)
        tokens = counted.any(-1).sum(-1, keepdim=True)  # [B, 1, 1]
        limit = self.alpha / tokens.clamp_min(1) if self.tau is None else self.tau
        sinks = (mean > limit) & (seen >= self.min_queries)
        if not self.include_first:
            first = (seen > 0).int().argmax(-1, keepdim=True)  # the leftmost column that is no padding
            sinks = sinks & (torch.arange(weights.shape[-1], device=weights.device) != first)
        return sinks


def calibrated(weights: Tensor, sinks: Tensor, beta: float) -> Tensor:
    """Weights [B, h, Lq, Lk] in which sinks keep `beta` of their weight; the rest of a row gets what is freed.

        A'[i, j] = beta A[i, j] at a sink, else A[i, j] (1 + (1 - beta) s / (1 - s)),   s = sum of A[i, k] over sinks

    Rows sum to what they did. A row that looks at nothing but sinks stays as it is.
    """
    import torch

    exact = weights.float()
    at = sinks[:, :, None, :]
    inside = exact.masked_fill(~at, 0.0).sum(-1, keepdim=True)
    outside = exact.masked_fill(at, 0.0).sum(-1, keepdim=True)
    more = 1.0 + (1.0 - beta) * inside / outside.clamp_min(torch.finfo(exact.dtype).tiny)
    made = torch.where(at, beta * exact, exact * more)
    return torch.where(outside > _LEAST, made, exact).to(weights.dtype)


_LEAST = 1e-6
"""Weight outside the sinks below which a row counts as empty: rounding would decide who gets what is freed."""


def edit_of(layer: int, heads: tuple[int, ...], sinks: Sinks, beta: float) -> AttentionEdit:
    """The calibration of some heads of a layer."""
    return AttentionEdit(layer, heads, marked=Marked(sinks.find, _change(beta), sinks.opening))


def _change(beta: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda weights, sinks: calibrated(weights, sinks, beta)
