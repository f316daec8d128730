"""The second road: batches of texts of similar length, for models that a packed mask does not serve.

Bloom and ALiBi Falcon build their own biases, GPT-Neo's local layers count places in the array, recurrent models read
every token they are given. Here each text is a row of its own. Texts that share a long prefix (the options of one
question) share its key/value cache: prefixes are padded on the left and the rest on the right, so that the real tokens
of a row always lie side by side. Without a cache, texts are padded on the right, where no real token sees the padding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from evenhand.model.packed import input_device, split, token_logprobs
from evenhand.model.plan import Budget, Pack, Plan, Row, Text, batch_rows, digest, neighbours
from evenhand.model.positions import kept, prompts_end
from evenhand.model.segments import continued


def plan_padded(texts: Sequence[Text], budget: Budget, *, cache: bool) -> Plan:
    """Group texts that share at least half of their tokens behind one prefix and batch groups of similar length.

    Logits are computed at every position here, so the budget for scored positions bounds the whole pack.
    """
    budget = replace(budget, pack=min(budget.pack, budget.scored))
    order, shared = neighbours(texts)
    alone: list[Row] = []
    grouped: list[Row] = []
    start = 0
    while start < len(order):
        end, common = start + 1, 0
        while cache and end < len(order) and (longer := _prefix(texts, order[start : end + 1], shared[end], budget)):
            end, common = end + 1, longer
        members = order[start:end]
        if common:
            fed = _fed(texts, members, common)
            grouped.append(Row(tuple(members), (common,) * len(members), fed))
        else:
            alone.append(Row((order[start],), (0,), len(texts[order[start]].tokens) - 1))
        start = end
    packs = [*batch_rows(grouped, texts, 0, budget), *batch_rows(alone, texts, 0, budget)]
    packs.sort(key=lambda pack: -max(row.length for row in pack.rows))
    return Plan(tuple(packs), digest(texts, packs))


def _fed(texts: Sequence[Text], members: Sequence[int], common: int) -> int:
    """Tokens that go through the model for a group behind a prefix of `common` tokens."""
    return common + sum(len(texts[i].tokens) - 1 - common for i in members)


def _prefix(texts: Sequence[Text], members: Sequence[int], shared: int, budget: Budget) -> int:
    """Tokens of a prefix that all members share, 0 if less than half of the longest one or if they fill a pack."""
    common = min(shared, *(min(texts[i].start - 1, len(texts[i].tokens) - 2) for i in members))
    if len(members) > 2:
        first, last = texts[members[0]].tokens, texts[members[-1]].tokens
        common = min(common, next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), common))
    segments = {texts[i].segments for i in members}
    if len(segments) > 1 or common < max(max(segments, default=()), default=0):
        return 0  # a prompt with segments is read in one piece
    longest = max(len(texts[i].tokens) - 1 for i in members)
    fits = _fed(texts, members, common) <= budget.pack
    return common if 2 * common >= longest and fits else 0


class PaddedRoad:
    """Runs batches of whole texts, with a shared prefix cache if the model's self-check passed with one."""

    def __init__(self, model: PreTrainedModel, *, cache: bool) -> None:
        self.model = model
        self.cache = cache
        self.name = "padded with shared prefix cache" if cache else "padded"
        self._parameters = frozenset(inspect.signature(model.forward).parameters)

    def plan(self, texts: Sequence[Text], budget: Budget) -> Plan:
        """Batches for this road."""
        return plan_padded(texts, budget, cache=self.cache)

    def score(self, pack: Pack, texts: Sequence[Text]) -> list[list[float]]:
        """Log-probabilities (nats) of the scored tokens of each text, in the order of `pack.texts`."""
        device = input_device(self.model)
        prefixes = [texts[row.texts[0]].tokens[: row.shared[0]] for row in pack.rows]
        begun = max(map(len, prefixes))
        owner = [number for number, row in enumerate(pack.rows) for _ in row.texts]
        rest = [texts[i].tokens[len(prefixes[o]) : -1] for i, o in zip(pack.texts, owner, strict=True)]
        extra: dict[str, Any] = {"use_cache": False}
        seen = torch.zeros((len(rest), 0), dtype=torch.long)
        spans = [texts[i].segments for i in pack.texts]
        held: dict[object, Any] = {}
        with torch.inference_mode():
            if begun:
                ahead = [begun - len(prefixes[o]) for o in owner]
                spans = [tuple(place + more for place in span) for span, more in zip(spans, ahead, strict=True)]
                own = [spans[owner.index(number)] for number in range(len(prefixes))]
                with prompts_end(self.model, [begun - 1] * len(prefixes), own):
                    cache, before = self._prefill(prefixes, device)
                    held = continued(self.model, owner)
                cache.batch_select_indices(torch.tensor(owner, device=device))
                seen = before[torch.tensor(owner)]
                extra = {"past_key_values": cache, "use_cache": True}
            ids, real = _pad(rest, left=False)
            depth = (real.cumsum(1) - 1 + seen.sum(1, keepdim=True)).clamp(min=0)
            gather_row, gather_column, targets = _scored(pack.texts, texts, [len(prefixes[o]) for o in owner])
            ends = [texts[i].start - 1 - len(prefixes[o]) for i, o in zip(pack.texts, owner, strict=True)]
            with prompts_end(self.model, ends, spans):
                kept(self.model).update(held)
                logits = self._forward(ids, torch.cat([seen, real], dim=1), depth, device, extra)
        picked = logits[gather_row.to(device), gather_column.to(device)]
        values = token_logprobs(picked, torch.arange(len(picked), device=device), targets.to(device)).tolist()
        return split(values, [len(texts[i].tokens) - texts[i].start for i in pack.texts])

    def release(self) -> None:
        """Nothing is kept between packs."""

    def _prefill(self, prefixes: Sequence[Sequence[int]], device: torch.device) -> tuple[DynamicCache, Tensor]:
        """Key/value cache of all prefixes, padded on the left, and which of its places are real, int [B, P]."""
        ids, real = _pad(prefixes, left=True)
        cache = DynamicCache()
        depth = (real.cumsum(1) - 1).clamp(min=0)
        self._forward(ids, real, depth, device, {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1})
        return cache, real

    def _forward(self, ids: Tensor, real: Tensor, depth: Tensor, device: torch.device, extra: dict[str, Any]) -> Tensor:
        arguments = {"input_ids": ids, "attention_mask": real, "position_ids": depth}
        moved = {name: value.to(device) for name, value in arguments.items() if name in self._parameters}
        known = {name: value for name, value in extra.items() if name in self._parameters}
        logits: Tensor = self.model(**moved, **known).logits
        return logits


def _pad(rows: Sequence[Sequence[int]], *, left: bool) -> tuple[Tensor, Tensor]:
    """Token ids and 0/1 mask, int [B, T]."""
    length = max(map(len, rows))
    ids = torch.zeros((len(rows), length), dtype=torch.long)
    real = torch.zeros((len(rows), length), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row, dtype=torch.long)
        real[number, place] = 1
    return ids, real


def _scored(numbers: Sequence[int], texts: Sequence[Text], cached: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column of the logits of each scored token, and the token: three int [S]."""
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for row, (number, skip) in enumerate(zip(numbers, cached, strict=True)):
        text = texts[number]
        rows += [row] * (len(text.tokens) - text.start)
        columns += range(text.start - 1 - skip, len(text.tokens) - 1 - skip)
        targets += text.tokens[text.start :]
    return torch.tensor(rows), torch.tensor(columns), torch.tensor(targets)
