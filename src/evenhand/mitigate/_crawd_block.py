"""CrAWD's block: cross-attention from text to sensitive tokens whose largest weights decay, and what it adds to logits.

Shapes: N tokens (of one text or of many), D hidden, H heads, R reference tokens, V vocabulary.

    Q = h WQ, K = b WK, V = b WV                    h [N, D] last hidden states of the text, b [R, D] of the reference
    beta = softmax(Q K^T / sqrt(D / H))             [N, H, R]
    beta' = factor * beta where beta >= tau, else beta; tau = smallest of the top K % of the weights
    u = LayerNorm(h + (beta' V) WO)                 [N, D]
    x = LayerNorm(u + FFN(u))                       [N, D]
    added = (x down) up, or x head                  [N, V]; up and head begin at zero
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scope = Literal["row", "matrix"]
MaskFrom = Literal["head", "head_mean"]
_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Decay:
    """How the largest weights decay.

    Attributes:
        top: per cent of the weights.
        factor: what they are multiplied by; 1 leaves them as they are.
        scope: row, the largest of every token's weights; matrix, the largest of a whole text's, those of later tokens
            too: not causal, so that when the model is used a fixed tau takes their place.
        mask_from: head, each head has its own largest weights; head_mean, those of the heads' mean, for all.
        renormalise: bring the sum of a token's weights back to 1.
    """

    top: float = 40.0
    factor: float = 0.2
    scope: Scope = "row"
    mask_from: MaskFrom = "head"
    renormalise: bool = False

    def count(self, weights: int) -> int:
        """How many of so many weights are the largest: rounded up."""
        return min(weights, math.ceil(round(weights * self.top / 100, 9)))

    def row_tau(self, beta: Tensor) -> Tensor:
        """The smallest weight that decays, for each token and head: [N, H, R] to [N, H, 1]."""
        return self._seen(beta).topk(self.count(beta.shape[-1]), -1).values[..., -1:]

    def matrix_tau(self, beta: Tensor, real: Tensor) -> Tensor:
        """The same for each text and head, over its tokens and the reference: [B, L, H, R] to [B, 1, H, 1].

        Args:
            beta: weights of B texts of L tokens.
            real: which tokens are no padding, [B, L].
        """
        seen = self._seen(beta).masked_fill(~real.bool()[..., None, None], -1.0).transpose(1, 2).flatten(2)
        wanted = [self.count(int(one)) - 1 for one in (real.sum(1) * beta.shape[-1]).tolist()]
        ranks = torch.tensor(wanted, device=beta.device)[:, None, None].expand(-1, seen.shape[1], -1)
        return seen.sort(-1, descending=True).values.gather(-1, ranks)[:, None]

    def apply(self, beta: Tensor, tau: Tensor) -> Tensor:
        """The weights after decay. tau and factor are constants to the gradient."""
        large = self._seen(beta) >= tau
        new = torch.where(large, beta * self.factor, beta)
        return new / new.sum(-1, keepdim=True).clamp_min(1e-12) if self.renormalise else new

    def _seen(self, beta: Tensor) -> Tensor:
        """What is compared with tau; a mean over heads is rounded alike for all of them."""
        found = beta.detach()
        return found if self.mask_from == "head" else found.mean(-2, keepdim=True)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a block is; head_rank 0 is a whole head [V, D], inner the width of the feed-forward part."""

    hidden: int
    vocabulary: int
    heads: int
    inner: int
    head_rank: int


class Block(nn.Module):
    """The branch beside the vocabulary head, in float32.

    Attributes:
        tau: the smallest weight that decays, [H] (or [1] for head_mean): a running mean over training, used by the
            scope "matrix" outside of training.
    """

    tau: Tensor

    def __init__(self, sizes: Sizes, decay: Decay, dropout: float = 0.0, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.sizes = sizes
        self.decay = decay
        self.dropout = dropout
        d = sizes.hidden
        plain = partial(nn.Linear, bias=False, device=device, dtype=torch.float32)
        self.query, self.key, self.value, self.output = (plain(d, d) for _ in range(4))
        self.attention_norm, self.norm = (nn.LayerNorm(d, device=device, dtype=torch.float32) for _ in range(2))
        self.wide = nn.Linear(d, sizes.inner, device=device, dtype=torch.float32)
        self.narrow = nn.Linear(sizes.inner, d, device=device, dtype=torch.float32)
        if sizes.head_rank:
            self.down = plain(d, sizes.head_rank)
        self.up = plain(sizes.head_rank or d, sizes.vocabulary)
        width = 1 if decay.mask_from == "head_mean" else sizes.heads
        self.register_buffer("tau", torch.full((width,), -1.0, device=device, dtype=torch.float32))

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """First values: Xavier's for attention, uniform in +-1/sqrt(inputs) elsewhere, biases and `up` zero."""
        for name, parameter in self.named_parameters():
            if name == "up.weight" or name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                both = sum(parameter.shape) if name.split(".")[0] in _ATTENTION else 6 * parameter.shape[1]
                bound = math.sqrt(6 / both)
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * 2 * bound - bound)

    def weights(self, hidden: Tensor, reference: Tensor) -> Tensor:
        """Attention before decay: [..., D] and [R, D] to [..., H, R]."""
        heads = self.sizes.heads
        with torch.autocast(hidden.device.type, enabled=False):  # coarse weights would be equal where they are not
            q = self.query(hidden.float()).unflatten(-1, (heads, -1))
            k = self.key(reference.float()).unflatten(-1, (heads, -1))
            scores: Tensor = torch.einsum("...hd,rhd->...hr", q, k) / math.sqrt(q.shape[-1])
            return scores.softmax(-1)

    def attended(self, hidden: Tensor, reference: Tensor, real: Tensor | None = None) -> Tensor:
        """Attention after decay, [..., H, R].

        Args:
            hidden: last hidden states, [..., D]; [B, L, D] in training.
            reference: those of the reference, [R, D].
            real: which tokens are no padding, [B, L], in training; the scope "matrix" looks at whole texts then.
        """
        beta = self.weights(hidden, reference)
        if self.decay.scope == "row":
            return self.decay.apply(beta, self.decay.row_tau(beta))
        if real is None:
            return self.decay.apply(beta, self.tau[:, None])
        tau = self.decay.matrix_tau(beta, real)
        self._remember(tau.mean((0, 1))[:, 0])
        return self.decay.apply(beta, tau)

    def crossed(self, hidden: Tensor, reference: Tensor, real: Tensor | None = None) -> Tensor:
        """What the head of the branch reads, [..., D]."""
        beta = F.dropout(self.attended(hidden, reference, real), self.dropout, self.training)
        v = self.value(reference.float()).unflatten(-1, (self.sizes.heads, -1))
        taken = torch.einsum("...hr,rhd->...hd", beta, v).flatten(-2)
        u = self.attention_norm(hidden.float() + self.output(taken))
        made: Tensor = self.norm(u + self.narrow(F.gelu(self.wide(u))))
        return made

    def forward(self, hidden: Tensor, reference: Tensor, real: Tensor | None = None) -> Tensor:
        """What is added to the logits: [..., D] to [..., V], in the type of `hidden`."""
        x = self.crossed(hidden, reference, real)
        if self.sizes.head_rank:
            x = self.down(x)
        made: Tensor = self.up(x)
        return made.to(hidden.dtype)

    def _remember(self, tau: Tensor) -> None:
        first = bool((self.tau < 0).any())
        self.tau.copy_(tau if first else _MOMENTUM * self.tau + (1 - _MOMENTUM) * tau)


_ATTENTION = frozenset({"query", "key", "value", "output"})
