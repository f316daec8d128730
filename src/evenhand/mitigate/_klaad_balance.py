"""What the balanced variant of KLAAD adds: twins of equal likelihood, held to what the untouched model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate._train import Batch
from evenhand.mitigate._trainer import encoded
from evenhand.mitigate._triplets import Triplet

if TYPE_CHECKING:
    import numpy as np

    from evenhand.mitigate.klaad_balanced import KlaadBalanced
    from evenhand.model import Model


@dataclass(frozen=True, slots=True)
class Untouched:
    """What the model said of a text of L tokens before it was trained.

    Attributes:
        top: the likeliest next tokens, int [L - 1, K].
        logs: their log-probabilities and that of the rest, [L - 1, K + 1].
        surprisals: of the tokens that came, [L - 1].
    """

    top: Tensor
    logs: Tensor
    surprisals: Tensor


class Balance:
    """The terms "balance", "anchor" and "coherence"; "likelihood", of the twins, mean log-probability, is told too.

    The untouched model is read once, before training: its K likeliest next tokens at each place and the rest as one,
    and the differences of the twins, which a sham takes as goals, dealt out over the examples at random.
    """

    def __init__(
        self,
        model: Model,
        settings: KlaadBalanced,
        found: Sequence[Triplet],
        texts: Sequence[tuple[str, ...]],
        rng: np.random.Generator,
    ) -> None:
        self.weights: Mapping[str, float] = {
            "balance": settings.balance,
            "anchor": settings.anchor,
            "coherence": settings.coherence,
        }
        self.per_token = settings.per == "token"
        self.lead = settings.lead
        ids = [row for _, row in encoded(model, texts, settings.length)]
        self.starts = starts(model, found, ids, settings.length)
        self.base: list[list[Untouched]] = []
        self.goals = torch.zeros(len(ids))
        if settings.anchor or settings.without:
            self.base = untouched(model, ids, settings.anchor_tokens, settings.batch)
        if settings.without:
            order = rng.permutation(len(ids))
            self.goals = torch.cat([self._difference(number) for number in range(len(ids))])[order]

    def terms(self, logits: Tensor, surprisals: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """[B] each, in nats per token, or per text if so set."""
        numbers, device = batch.index.tolist(), surprisals.device
        twins = 2 * len(numbers)
        means, differences = self._likelihoods(surprisals, batch.mask[:twins], numbers)
        found = {"likelihood": means.detach().view(2, -1).mean(0)}
        if self.weights["coherence"]:
            others = terms.surprisals(logits[twins:], batch.tokens[twins:])
            unrelated, _ = self._means(others, batch.mask[twins:], numbers, (2,))
            found["coherence"] = (unrelated - means.view(2, -1) + self.lead).clamp_min(0).mean(0)
        if self.weights["balance"]:
            found["balance"] = (differences - self.goals[numbers].to(device)).abs()
        if self.weights["anchor"]:
            count = len(batch.tokens) // len(numbers)
            of = [self.base[number][place] for place in range(count) for number in numbers]
            top = pad_sequence([one.top for one in of], batch_first=True)
            base = pad_sequence([one.logs for one in of], batch_first=True)
            each = terms.drift(logits[:, :-1], top.to(device), base.to(device))
            found["anchor"] = terms.mean_over(each, batch.mask[:, 1:]).view(count, -1).mean(0)
        return found

    def _likelihoods(self, surprisals: Tensor, mask: Tensor, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean log-probability of each twin after its context [2 B]; stereotypes less anti-stereotypes as set [B]."""
        means, counts = self._means(surprisals, mask, numbers, (0, 1))
        stereotype, anti = (means if self.per_token else means * counts).chunk(2)
        return means, stereotype - anti

    def _means(
        self, surprisals: Tensor, mask: Tensor, numbers: Sequence[int], roles: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Mean log-probability of the texts of these roles after their contexts, and how many tokens that is."""
        begin = [self.starts[number][role] for role in roles for number in numbers]
        places = torch.arange(1, mask.shape[1], device=mask.device)
        scored = (mask[:, 1:] == 1) & (places >= torch.tensor(begin, device=mask.device)[:, None])
        return -terms.mean_over(surprisals, scored), scored.sum(1)

    def _difference(self, number: int) -> Tensor:
        """How much likelier the stereotype of an example was before training, [1]."""
        pair = [one.surprisals for one in self.base[number][:2]]
        mask = pad_sequence([torch.ones(len(one) + 1, dtype=torch.long) for one in pair], batch_first=True)
        return self._likelihoods(pad_sequence(pair, batch_first=True), mask, [number])[1]


def starts(
    model: Model, found: Sequence[Triplet], ids: Sequence[Sequence[tuple[int, ...]]], length: int
) -> list[list[int]]:
    """Where each text of each triplet begins to be scored: after the tokens shared with its context, or at 1."""
    contexts = sorted({context.rstrip() for one in found for context in one.contexts if context.strip()})
    read = encoded(model, [(context,) for context in contexts], length) if contexts else []
    known = {context: row[0] for context, (_, row) in zip(contexts, read, strict=True)}
    out = []
    for one, texts in zip(found, ids, strict=True):
        before = [known.get(context.rstrip(), ()) for context in one.contexts[: len(texts)]]
        out.append([max(1, _common(first, text)) for first, text in zip(before, texts, strict=True)])
    return out


def untouched(model: Model, ids: Sequence[Sequence[tuple[int, ...]]], count: int, batch: int) -> list[list[Untouched]]:
    """What the model says of each text of each example, on the CPU; `count` tokens are told apart."""
    rows = [torch.tensor(text) for texts in ids for text in texts]
    out: list[Untouched] = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        sizes = [len(row) for row in part]
        tokens = pad_sequence(part, batch_first=True)
        mask = (torch.arange(tokens.shape[1]) < torch.tensor(sizes)[:, None]).long()
        tokens, mask = tokens.to(model.device), mask.to(model.device)
        with torch.no_grad():
            logits = model.hf(input_ids=tokens, attention_mask=mask, use_cache=False).logits
            top = logits[:, :-1].topk(min(count, logits.shape[-1] - 1), -1).indices
            logs, surprisals = terms.of_top(logits[:, :-1], top), terms.surprisals(logits, tokens)
        for row, size in enumerate(sizes):
            out.append(Untouched(*(found[row, : size - 1].cpu().clone() for found in (top, logs, surprisals))))
    each = len(ids[0])
    return [out[start : start + each] for start in range(0, len(out), each)]


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
