"""The work of masked language models and of classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from evenhand.core.errors import UsageError
from evenhand.core.requests import Classify, Compare, Response, Scores, TextScore
from evenhand.model import jobs, masked
from evenhand.model.encode import Counts, fitted_ids
from evenhand.model.packed import input_device
from evenhand.model.plan import Budget
from evenhand.model.work import Work


def masked_work(hf: PreTrainedModel, tokenizer: Any, requests: Sequence[Compare], budget: Budget) -> Work:
    """Pseudo-log-likelihoods, a job for each text."""
    texts = list(dict.fromkeys(text for request in requests for text in request.texts))
    counts = Counts()
    ids = fitted_ids(tokenizer, hf.config, texts, counts)
    scored = [
        tuple(t for t, special in zip(row, masked.special_mask(tokenizer, row), strict=True) if not special)
        for row in ids
    ]
    if not all(scored):
        raise UsageError("A text without any token cannot be scored.")

    def job(row: Sequence[int]) -> jobs.Job:
        def run() -> list[float]:
            values = masked.pseudo_logprobs(hf, tokenizer, row, budget.pack)
            return [round(value, jobs.DECIMALS) for value in values]

        return jobs.Job(run, len(row) * len(row))

    def assemble(results: list[Any]) -> list[Response]:
        made = {t: TextScore(s, tuple(r)) for t, s, r in zip(texts, scored, results, strict=True)}
        return [Scores(tuple(made[text] for text in request.texts)) for request in requests]

    work = [job(row) for row in ids]
    tokens = sum(job.tokens for job in work)
    plan = jobs.combined([repr(ids), repr(budget.pack)])
    return Work(work, plan, tokens, tokens, "one mask at a time", counts, assemble)


def classified_work(hf: PreTrainedModel, tokenizer: Any, requests: Sequence[Classify], budget: Budget) -> Work:
    """Class probabilities, a job for each batch."""
    counts = Counts()
    ids = fitted_ids(tokenizer, hf.config, [request.text for request in requests], counts)
    groups = jobs.batches([len(row) for row in ids], budget.pack)
    names: Any = hf.config.id2label
    labels = [str(names[number]) for number in sorted(names)]

    def job(group: Sequence[int]) -> jobs.Job:
        def run() -> list[dict[str, Any]]:
            padded = tokenizer.pad({"input_ids": [ids[n] for n in group]}, return_tensors="pt")
            with torch.inference_mode():
                logits = hf(**padded.to(input_device(hf))).logits.float()
            rows = torch.log_softmax(logits, dim=-1).tolist()
            return [{"labels": labels, "logprobs": [round(v, jobs.DECIMALS) for v in row]} for row in rows]

        return jobs.Job(run, sum(len(ids[n]) for n in group))

    def assemble(results: list[Any]) -> list[Response]:
        made: dict[int, Response] = {}
        for group, result in zip(groups, results, strict=True):
            made.update(zip(group, map(jobs.classes_of, result), strict=True))
        return [made[number] for number in range(len(requests))]

    work = [job(group) for group in groups]
    tokens = sum(job.tokens for job in work)
    plan = jobs.combined([repr(ids), repr(groups)])
    return Work(work, plan, tokens, tokens, "batches of texts", counts, assemble)
