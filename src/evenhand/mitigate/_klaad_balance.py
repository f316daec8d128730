"""What the balanced variant of KLAAD adds: twins of equal likelihood, held to what the untouched model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate._train import Batch
from evenhand.mitigate._trainer import encoded
from evenhand.mitigate._triplets import Triplet

if TYPE_CHECKING:
    from evenhand.mitigate.klaad_balanced import KlaadBalanced
    from evenhand.model import Model


class Balance:
    """The terms "balance" and "anchor"; "likelihood", the twins' mean log-probability, is told beside them.

    The untouched model's next-token distributions are read once, before training: its K likeliest tokens at each place
    and the rest as one.
    """

    def __init__(
        self, model: Model, settings: KlaadBalanced, found: Sequence[Triplet], texts: Sequence[tuple[str, ...]]
    ) -> None:
        self.weights: Mapping[str, float] = {"balance": settings.balance, "anchor": settings.anchor}
        self.per_token = settings.per == "token"
        ids = [row for _, row in encoded(model, texts, settings.length)]
        self.starts = starts(model, found, ids, settings.length)
        self.top, self.base = (
            untouched(model, ids, settings.anchor_tokens, settings.batch) if settings.anchor else ([], [])
        )

    def terms(self, logits: Tensor, surprisals: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """[B] each, in nats per token, or per text if so set."""
        numbers, device = batch.index.tolist(), surprisals.device
        begin = torch.tensor([self.starts[number][place] for place in (0, 1) for number in numbers], device=device)
        places = torch.arange(1, batch.tokens.shape[1], device=device)
        scored = (batch.mask[: len(begin), 1:] == 1) & (places >= begin[:, None])
        means = -terms.mean_over(surprisals, scored)
        sums = means if self.per_token else means * scored.sum(1)
        stereotype, anti = sums.chunk(2)
        found = {"balance": (stereotype - anti).abs(), "likelihood": means.detach().view(2, -1).mean(0)}
        if not self.weights["balance"]:
            del found["balance"]
        if self.top:
            count = len(batch.tokens) // len(numbers)
            of = [(number, place) for place in range(count) for number in numbers]
            top = pad_sequence([self.top[number][place] for number, place in of], batch_first=True)
            base = pad_sequence([self.base[number][place] for number, place in of], batch_first=True)
            each = terms.drift(logits[:, :-1], top.to(device), base.to(device))
            found["anchor"] = terms.mean_over(each, batch.mask[:, 1:]).view(count, -1).mean(0)
        return found


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


def untouched(
    model: Model, ids: Sequence[Sequence[tuple[int, ...]]], count: int, batch: int
) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Likeliest next tokens after each token of each text, int [L - 1, K], and `of_top` [L - 1, K + 1], on the CPU."""
    rows = [torch.tensor(text) for texts in ids for text in texts]
    top, base = [], []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        sizes = torch.tensor([len(row) for row in part])
        tokens = pad_sequence(part, batch_first=True)
        mask = (torch.arange(tokens.shape[1]) < sizes[:, None]).long()
        with torch.no_grad():
            logits = model.hf(
                input_ids=tokens.to(model.device), attention_mask=mask.to(model.device), use_cache=False
            ).logits[:, :-1]
            likeliest = logits.topk(min(count, logits.shape[-1] - 1), -1).indices
            known = terms.of_top(logits, likeliest)
        top += [found[: size - 1].cpu() for found, size in zip(likeliest, sizes.tolist(), strict=True)]
        base += [found[: size - 1].cpu() for found, size in zip(known, sizes.tolist(), strict=True)]
    each = len(ids[0])
    return (
        [top[start : start + each] for start in range(0, len(top), each)],
        [base[start : start + each] for start in range(0, len(base), each)],
    )


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
