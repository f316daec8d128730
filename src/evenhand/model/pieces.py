"""The pieces of a decoder's work: scoring, scoring under several prompts, and continuing. Each a list of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from evenhand.core.edits import BranchingEdit
from evenhand.core.requests import Complete, NextToken, Request, Response, Scores, TextScore, WordScores
from evenhand.model import branched, generate, jobs
from evenhand.model.check import Choice
from evenhand.model.encode import Encoded, Encoder
from evenhand.model.plan import Budget


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the requests, as jobs.

    Attributes:
        work: the jobs.
        digest: of the texts and how they are cut.
        asked: tokens that answering one by one would send through the model, equal requests once.
        finish: results of the jobs to responses, by the number of the request.
    """

    work: list[jobs.Job]
    digest: str
    asked: int
    finish: Callable[[list[Any]], dict[int, Response]]


def scoring(
    numbers: Sequence[int], requests: Sequence[Request], encoded: Encoded, road: Choice, budget: Budget
) -> Piece:
    """Score the texts of these requests on a road."""
    work, packs, digest = jobs.scoring_jobs(road.road, encoded.texts, budget)

    def finish(results: list[Any]) -> dict[int, Response]:
        scores = jobs.text_scores(packs, results, encoded.texts)
        return dict(zip(numbers, jobs.assemble(requests, encoded, scores), strict=True))

    once = dict(zip(requests, encoded.parts, strict=True))  # yes_no asks some requests for two of its items
    asked = sum(len(encoded.texts[n].tokens) - 1 for parts in once.values() for part in parts for n in part)
    return Piece(work, digest, asked, finish)


def branching(
    hf: PreTrainedModel,
    numbers: Sequence[int],
    requests: Sequence[Request],
    encoder: Encoder,
    edit: BranchingEdit,
    budget: Budget,
) -> Piece:
    """Score these requests under their own prompt and those of the edit."""
    found, options = branched.encoded(encoder, requests, edit)
    work, cut = branched.jobs_of(hf, found, budget)

    def finish(results: list[Any]) -> dict[int, Response]:
        values = {
            n: value for group, rows in zip(cut, results, strict=True) for n, value in zip(group, rows, strict=True)
        }
        made: dict[int, Response] = {}
        for number, request, mine in zip(numbers, requests, options, strict=True):
            if isinstance(request, NextToken):
                made[number] = WordScores(tuple(values[n][0] for n in mine))
            else:
                texts = [found.groups[n][0] for n in mine]
                scores = zip(texts, mine, strict=True)
                made[number] = Scores(tuple(TextScore(t.tokens[t.start :], tuple(values[n])) for t, n in scores))
        return made

    tokens = sum(job.tokens for job in work)
    return Piece(work, jobs.combined([repr(found.groups), repr(cut)]), tokens, finish)


def writing(
    hf: PreTrainedModel,
    tokenizer: Any,
    numbers: Sequence[int],
    requests: Sequence[Complete],
    prompts: Sequence[Sequence[int]],
    others: Sequence[Sequence[Sequence[int]]],
    edit: BranchingEdit | None,
    budget: Budget,
) -> Piece:
    """Continue prompts (token ids); with an edit, `others` are its prompts, as many for each request."""
    branches = [list(branch) for branch in zip(*others, strict=True)] if others else []
    longest = [
        max(map(len, (prompt, *extra))) for prompt, extra in zip(prompts, others or [()] * len(prompts), strict=True)
    ]
    sizes = [(length + request.max_new_tokens) for length, request in zip(longest, requests, strict=True)]
    groups = jobs.batches(sizes, max(1, budget.pack // (1 + len(branches))))

    def job(group: Sequence[int]) -> jobs.Job:
        def run() -> list[dict[str, Any]]:
            own = [[b[n] for n in group] for b in branches]
            branch = generate.Branches(own, edit.written or edit.combine, edit.moves) if edit else None
            done = generate.complete(hf, tokenizer, [requests[n] for n in group], [prompts[n] for n in group], branch)
            return [{"text": c.text, "tokens": list(c.tokens), "finished": c.finished} for c in done]

        return jobs.Job(run, sum(sizes[n] for n in group) * (1 + len(branches)))

    def finish(results: list[Any]) -> dict[int, Response]:
        made: dict[int, Response] = {}
        for group, rows in zip(groups, results, strict=True):
            made.update((numbers[n], jobs.completion_of(row)) for n, row in zip(group, rows, strict=True))
        return made

    work = [job(group) for group in groups]
    return Piece(work, jobs.combined([repr(groups), repr(others)]), sum(job.tokens for job in work), finish)
