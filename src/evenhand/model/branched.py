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
    """One job per batch of groups, and which groups it scores."""
    lengths = [sum(len(text.tokens) for text in group) for group in branched.groups]
    cut = batches(lengths, min(budget.pack, budget.scored))

    def job(numbers: Sequence[int]) -> Job:
        def run() -> list[list[float]]:
            try:
                return _scored(hf, [branched.groups[n] for n in numbers], branched.combine)
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    "A batch of branches does not fit into memory: use a smaller --batch-tokens."
                ) from error

        return Job(run, sum(lengths[n] for n in numbers))

    return [job(numbers) for numbers in cut], cut


def _scored(hf: PreTrainedModel, groups: Sequence[tuple[Text, ...]], combine: Combine) -> list[list[float]]:
    """Log-probabilities (nats) of the scored tokens of each group under the combined logits."""
    device = input_device(hf)
    texts = [text for group in groups for text in group]
    length = max(len(text.tokens) for text in texts) - 1
    ids = torch.zeros((len(texts), length), dtype=torch.long)
    real = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text.tokens) - 1] = torch.tensor(text.tokens[:-1])
        real[row, : len(text.tokens) - 1] = 1
    with torch.inference_mode(), prompts_end(hf, [text.start - 1 for text in texts], [text.segments for text in texts]):
        logits = hf(input_ids=ids.to(device), attention_mask=real.to(device), use_cache=False).logits
        out: list[list[float]] = []
        row = 0
        for group in groups:
            own, *others = (
                logits[row + branch, text.start - 1 : len(text.tokens) - 1].float() for branch, text in enumerate(group)
            )
            made: Any = combine(own, tuple(others))
            targets = torch.tensor(group[0].tokens[group[0].start :], device=device)
            values = token_logprobs(made, torch.arange(len(targets), device=device), targets)
            out.append([round(value, DECIMALS) for value in values.tolist()])
            row += len(group)
    return out
