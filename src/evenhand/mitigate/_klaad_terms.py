"""The terms of KLAAD and of its balanced variant as functions of tensors: one number per example, in nats.

Rows lie as in `Batch`: first the stereotypes of B examples, then their anti-stereotypes, then their unrelated texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from evenhand.mitigate._triplets import Places

Heads = Literal["each", "mean"]
Pool = Literal["mean", "last"]
Teacher = Literal["none", "anti-stereotype", "stereotype"]
TINY = 1e-8
"""Added to every weight before rows are brought to sum 1."""


def surprisals(logits: Tensor, tokens: Tensor) -> Tensor:
    """-log P of every token but the first, float32 [N, L - 1], from logits [N, L, V] and tokens [N, L]."""
    wanted = tokens[:, 1:]
    each = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), wanted.flatten(), reduction="none")
    return each.view(wanted.shape)


def mean_over(values: Tensor, wanted: Tensor) -> Tensor:
    """Mean of the wanted values of each row, [N] from [N, L]; 0 where none is wanted."""
    weights = wanted.to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1).clamp_min(1)


def attention_gap(
    weights: Tensor, kept: Sequence[Places], *, heads: Heads, paper_softmax: bool, teacher: Teacher
) -> Tensor:
    """How differently the twins attend: KL(anti-stereotype || stereotype), mean over heads and queries but the first.

    Args:
        weights: [2 B, H, R, Lk], of the kept queries.
        kept: B pairs of places, see `corresponding`; R is the largest number of them.
        heads: mean = the heads' weights are averaged first.
        paper_softmax: see `compared`.
        teacher: the twin that gets no gradient.

    Returns:
        float32 [B]; 0 for twins with fewer than two corresponding tokens.
    """
    stereotype, anti = compared(weights, kept, heads=heads, paper_softmax=paper_softmax)
    if teacher == "stereotype":
        stereotype = stereotype.detach()
    elif teacher == "anti-stereotype":
        anti = anti.detach()
    return by_head(stereotype, anti, kept).mean(1)


def compared(weights: Tensor, kept: Sequence[Places], *, heads: Heads, paper_softmax: bool) -> tuple[Tensor, Tensor]:
    """Attention over the corresponding tokens, of the stereotypes and of their opposites: float32 [B, H, R, R] each.

    The weights of a query over the corresponding tokens up to itself are brought to sum 1, or, with `paper_softmax`,
    put through a softmax.
    """
    rows, device = weights.shape[2], weights.device
    columns = padded([first for first, _ in kept] + [second for _, second in kept], rows, device)
    weights = weights.float().gather(3, columns[:, None, None].expand(-1, weights.shape[1], rows, -1))
    if heads == "mean":
        weights = weights.mean(1, keepdim=True)
    place = torch.arange(rows, device=device)
    seen = (place[None, :, None] >= place) & (place < _sizes(kept, device)[:, None])[:, None]  # [B, R, R]
    seen = seen.repeat(2, 1, 1)[:, None]
    if paper_softmax:
        made = weights.masked_fill(~seen, torch.finfo(weights.dtype).min).softmax(-1)
    else:
        held = (weights + TINY) * seen
        made = held / held.sum(-1, keepdim=True).clamp_min(TINY)
    stereotype, anti = made.chunk(2)
    return stereotype, anti


def by_head(stereotype: Tensor, anti: Tensor, kept: Sequence[Places]) -> Tensor:
    """KL(anti || stereotype) of what `compared` gives, mean over queries but the first: [B, H]."""
    gaps = (anti * (anti.clamp_min(1e-30).log() - stereotype.clamp_min(1e-30).log())).sum(-1)  # [B, H, R]
    place, size = torch.arange(gaps.shape[2], device=gaps.device), _sizes(kept, gaps.device)
    wanted = ((place >= 1) & (place < size[:, None])).to(gaps.dtype)[:, None]
    return (gaps * wanted).sum(-1) / wanted.sum(-1).clamp_min(1)


def _sizes(kept: Sequence[Places], device: torch.device) -> Tensor:
    """How many corresponding tokens each pair has."""
    return torch.tensor([len(first) for first, _ in kept], device=device)


def padded(places: Sequence[Sequence[int]], length: int, device: torch.device) -> Tensor:
    """Places as int [N, length]; shorter ones end in zeros."""
    return torch.tensor([[*row, *([0] * (length - len(row)))] for row in places], device=device)


def triplet_loss(states: Tensor, mask: Tensor, *, margin: float, pool: Pool) -> Tensor:
    """max(0, |s - a|^2 - |s - u|^2 + margin) of pooled states of length 1: float32 [B] from [3 B, L, D]."""
    states = states.float()
    if pool == "mean":
        real = mask[..., None].to(states.dtype)
        pooled = (states * real).sum(1) / real.sum(1)
    else:
        pooled = states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    stereotype, anti, unrelated = F.normalize(pooled, dim=-1).chunk(3)
    return F.relu((stereotype - anti).pow(2).sum(-1) - (stereotype - unrelated).pow(2).sum(-1) + margin)


def of_top(logits: Tensor, top: Tensor) -> Tensor:
    """Log-probabilities of the tokens `top` [..., K] and of all others together, float32 [..., K + 1]."""
    logits = logits.float()
    chosen = logits.gather(-1, top) - logits.logsumexp(-1, keepdim=True)
    others = torch.log1p(-chosen.logsumexp(-1, keepdim=True).exp().clamp_max(1 - 1e-6))
    return torch.cat([chosen, others], -1)


def drift(logits: Tensor, top: Tensor, base: Tensor) -> Tensor:
    """KL(base || model) of the next token, [N, L], over the tokens `top` [N, L, K] and the rest as one.

    Args:
        logits: [N, L, V].
        top: the base model's likeliest tokens.
        base: its log-probabilities as `of_top` gives them, [N, L, K + 1].
    """
    return (base.exp() * (base - of_top(logits, top))).sum(-1)
