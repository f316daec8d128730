"""Edits of requests: prompts that are changed, further requests whose scores correct a choice.

They act before requests become tokens and after tokens became responses, so they need nothing of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evenhand.core.edits import Edit, PromptEdit, ScoreEdit
from evenhand.core.errors import PatchError
from evenhand.core.requests import (
    Choose,
    Compare,
    Complete,
    NextToken,
    Request,
    Response,
    Scores,
    TextScore,
)


@dataclass(frozen=True, slots=True)
class Expansion:
    """What is really asked, and how its responses become those of the requests that were made."""

    requests: list[Request]
    collapse: Callable[[list[Response]], list[Response]]


def expand(requests: Sequence[Request], edits: Sequence[Edit]) -> Expansion:
    """Apply the edits of requests in their order; the score edit that was installed last acts last."""
    asked = [_prompted(request, edits) for request in requests]
    extras: list[list[list[Choose]]] = [
        [list(edit.extra_requests(request)) for edit in edits if isinstance(edit, ScoreEdit)]
        if isinstance(request, Choose)
        else []
        for request in asked
    ]
    flat: list[Request] = [*asked, *(one for per_edit in extras for group in per_edit for one in group)]
    scorers = [edit for edit in edits if isinstance(edit, ScoreEdit)]

    def collapse(responses: list[Response]) -> list[Response]:
        rest = iter(responses[len(asked) :])
        out: list[Response] = []
        for request, response, per_edit in zip(asked, responses, extras, strict=False):
            for edit, group in zip(scorers, per_edit, strict=False):
                others = [next(rest) for _ in group]
                response = _scored(edit, request, response, others)
            out.append(response)
        return out

    return Expansion(flat, collapse)


def _prompted(request: Request, edits: Sequence[Edit]) -> Request:
    for edit in edits:
        if not isinstance(edit, PromptEdit):
            continue
        match request:
            case Choose() | NextToken() | Complete():
                request = replace(request, prompt=edit.fn(request.prompt))
            case Compare(texts):
                prompt = edit.fn("")
                if prompt.strip():
                    request = Choose(prompt.rstrip(), tuple(" " + text for text in texts))
            case _:
                pass
    return request


def _scored(edit: ScoreEdit, request: Request, response: Response, others: Sequence[Response]) -> Scores:
    assert isinstance(request, Choose)
    assert isinstance(response, Scores)
    totals = tuple(score.total for score in response.scores)
    further = tuple(tuple(score.total for score in other.scores) for other in others if isinstance(other, Scores))
    made = edit.fn(totals, further) if edit.by_request is None else edit.by_request(request, totals, further)
    added = edit.offset(request) if edit.offset is not None else (0.0,) * len(totals)
    if not len(made) == len(added) == len(totals):
        raise PatchError(f"A score edit made {len(made)} scores and {len(added)} offsets of {len(totals)} options.")
    return Scores(
        tuple(
            TextScore(score.tokens, (score.logprobs[0] + new + more - old, *score.logprobs[1:]))
            for score, new, more, old in zip(response.scores, made, added, totals, strict=True)
        )
    )
