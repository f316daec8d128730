"""Scoring under several prompts at once: the logits of all branches meet at every scored place.

Every option of a request is a group of sequences, its own and one per branch, which go through the model in one batch,
padded on the right. The branches must have the same scored tokens as the request, else their places do not correspond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from evenhand.core.edits import BranchingEdit
from evenhand.core.errors import ModelError, UnsupportedRequest
from evenhand.core.requests import Request
from evenhand.model.encode import Encoder
from evenhand.model.jobs import DECIMALS, Job, batches
from evenhand.model.packed import input_device, token_logprobs
from evenhand.model.plan import Budget, Text
from evenhand.model.positions import prompts_end

Combine = Callable[[Tensor, tuple[Tensor, ...]], Tensor]
Read = tuple[tuple[int, ...], int, tuple[int, ...]]
"""Token ids of a row, the place of the first scored token, segments."""


@dataclass(frozen=True, slots=True)
class Branched:
    """Options to score: for each its own text and those of the branches, and how their logits are combined."""

    groups: list[tuple[Text, ...]]
    combine: Combine


def encoded(encoder: Encoder, requests: Sequence[Request], edit: BranchingEdit) -> tuple[Branched, list[list[int]]]:
    """Groups of all requests, and for each request the numbers of its options' groups.

    Raises:
        UnsupportedRequest: a text is longer than the context, or the tokenizer splits an option otherwise in a branch.
    """
    groups: list[tuple[Text, ...]] = []
    numbers: list[list[int]] = []
    for request in requests:
        found = encoder.encode([request, *edit.prompts(request)])
        mine: list[int] = []
        for parts in zip(*found.parts, strict=True):
            texts = tuple(found.texts[part[0]] for part in parts)
            if any(len(part) != 1 for part in parts) or len({text.tokens[text.start :] for text in texts}) != 1:
                raise UnsupportedRequest(
                    "A text cannot be scored under several prompts: it is longer than the model's context, or its "
                    "first token merges with the end of one of the prompts."
                )
            mine.append(len(groups))
            groups.append(texts)
        numbers.append(mine)
    return Branched(groups, edit.combine), numbers


def jobs_of(hf: PreTrainedModel, branched: Branched, budget: Budget) -> tuple[list[Job], list[list[int]]]:
    """One job per batch of groups, and which groups it scores.

    Groups that read the same (options of one token after the same prompts) share their rows.
    """
    alike: dict[tuple[Read, ...], list[int]] = {}
    for number, group in enumerate(branched.groups):
        alike.setdefault(tuple(map(_read, group)), []).append(number)
    units = list(alike.values())
    lengths = [sum(len(text.tokens) for text in branched.groups[unit[0]]) for unit in units]
    batched = batches(lengths, min(budget.pack, budget.scored))
    cut = [[number for place in batch for number in units[place]] for batch in batched]

    def job(numbers: Sequence[int], tokens: int) -> Job:
        def run() -> list[list[float]]:
            try:
                return _scored(hf, [branched.groups[n] for n in numbers], branched.combine)
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    "A batch of branches does not fit into memory: use a smaller --batch-tokens."
                ) from error

        return Job(run, tokens)

    sizes = [sum(lengths[place] for place in batch) for batch in batched]
    return [job(numbers, tokens) for numbers, tokens in zip(cut, sizes, strict=True)], cut


def _read(text: Text) -> Read:
    """What the model reads to score a text: its last token is only looked up."""
    return text.tokens[:-1], text.start, text.segments


def _scored(hf: PreTrainedModel, groups: Sequence[tuple[Text, ...]], combine: Combine) -> list[list[float]]:
    """Log-probabilities (nats) of the scored tokens of each group under the combined logits."""
    device = input_device(hf)
    rows: dict[Read, int] = {}
    for group in groups:
        for text in group:
            rows.setdefault(_read(text), len(rows))
    length = max(len(tokens) for tokens, _, _ in rows)
    first = min(start for _, start, _ in rows) - 1  # logits from here on are needed
    ids = torch.zeros((len(rows), length), dtype=torch.long)
    real = torch.zeros_like(ids)
    for (tokens, _, _), row in rows.items():
        ids[row, : len(tokens)] = torch.tensor(tokens)
        real[row, : len(tokens)] = 1
    with torch.inference_mode(), prompts_end(hf, [start - 1 for _, start, _ in rows], [parts for _, _, parts in rows]):
        logits = hf(
            input_ids=ids.to(device), attention_mask=real.to(device), use_cache=False, logits_to_keep=length - first
        ).logits
        out: list[list[float]] = []
        for group in groups:
            own, *others = (
                logits[rows[_read(text)], text.start - 1 - first : len(text.tokens) - 1 - first].float()
                for text in group
            )
            made: Any = combine(own, tuple(others))
            targets = torch.tensor(group[0].tokens[group[0].start :], device=device)
            values = token_logprobs(made, torch.arange(len(targets), device=device), targets)
            out.append([round(value, DECIMALS) for value in values.tolist()])
    return out
