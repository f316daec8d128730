"""Several prompts at once: combined logits by hand, in scoring and in writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import Logits, made, near, plainly, scores, totals
from tests.fixtures.untouched import untouched
from torch import Tensor

from evenhand.core.edits import BranchingEdit, LogitsEdit, PromptEdit, ScoreEdit
from evenhand.core.errors import PatchError, UnsupportedRequest
from evenhand.core.requests import Choose, Compare, Complete, Completion, NextToken, Request

FAMILIES = ["llama", "gpt2", "gemma3", "opt", "bloom", "mamba"]
BEFORE = ("the dog is bad. ", "yes. ")
REQUESTS: list[Request] = [
    Choose("the cat sat on", (" the mat", " a house", " no, the big dog is walking")),
    Choose("the dog ran and the cat sat on", (" yes", " no, the dog is bad")),
    NextToken("is the dog big?", (" Yes", " No")),
]


def others(request: Request) -> tuple[Request, ...]:
    """The same after each beginning; texts without a prompt are left alone."""
    match request:
        case Choose() | NextToken() | Complete():
            return tuple(replace(request, prompt=before + request.prompt) for before in BEFORE)
        case _:
            return ()


def combine(own: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
    """Not the same for every branch, so that swapped branches are noticed."""
    return 1.5 * own - 0.4 * rest[0] + 0.2 * rest[1].tanh()


EDIT = BranchingEdit(others, combine)


def together(plain: Logits, prompt: str, begun: Sequence[str], fresh: Sequence[int]) -> Tensor:
    """Combined logits [F + 1, V] at the end of the prompts and after each fresh token."""
    tokenizer = tiny.tokenizer()
    rows: list[Tensor] = []
    for before in ("", *begun):
        ids = list(tokenizer(before + prompt).input_ids)
        rows.append(plain([*ids, *fresh], len(ids) - 1)[len(ids) - 1 :])
    return combine(rows[0], tuple(rows[1:]))


def by_hand(plain: Logits) -> list[float]:
    """Log-probabilities (nats) of `REQUESTS` under the combined logits."""
    tokenizer, found = tiny.tokenizer(), []
    for request in REQUESTS:
        assert isinstance(request, Choose | NextToken)
        for text in request.options if isinstance(request, Choose) else request.words:
            start = len(tokenizer(request.prompt).input_ids)
            fresh = tokenizer(request.prompt + text).input_ids[start:]
            fresh = fresh[:1] if isinstance(request, NextToken) else fresh
            logprobs = together(plain, request.prompt, BEFORE, fresh).double().log_softmax(-1)
            found.append(float(sum(logprobs[place, token] for place, token in enumerate(fresh))))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_combined_logits_whatever_the_batch(family: str) -> None:
    hf = tiny.network(family)
    wanted = by_hand(plainly(hf))
    for batch_tokens in (16, 512):
        model = made(hf, batch_tokens=batch_tokens)
        with untouched(hf), model.install([EDIT]):
            assert near(totals(model.answer(REQUESTS)), wanted)
            assert near([x for one in REQUESTS for x in totals(model.answer([one]))], wanted)
            assert "several prompts at once" in model.prepare(REQUESTS).road
    assert not near(wanted, scores(REQUESTS, plainly(hf)))


@pytest.mark.parametrize("family", FAMILIES)
def test_continuations_are_those_of_a_plain_loop_alone_and_in_a_batch(family: str) -> None:
    hf = tiny.network(family)
    prompts = ["the cat", "the dog ran on a mat. the cat sat", "a"]
    wanted: list[list[int]] = []
    for prompt in prompts:
        fresh: list[int] = []
        for _ in range(6):
            token = int(together(plainly(hf), prompt, BEFORE, fresh)[-1].argmax())
            if token == 2:
                break
            fresh.append(token)
        wanted.append(fresh)
    model = made(hf, batch_tokens=1024)
    asked = [Complete(prompt, 6) for prompt in prompts]
    with untouched(hf), model.install([EDIT]):
        found = model.answer(asked)
        assert found == [model.answer([one])[0] for one in asked]
    assert [list(one.tokens) for one in found if isinstance(one, Completion)] == wanted


def test_sampled_continuations_do_not_depend_on_the_batch() -> None:
    model = made(tiny.network("llama"), batch_tokens=1024)
    asked = [Complete("the cat", 6, temperature=1.0, top_p=0.9, seed=n) for n in range(4)]
    with model.install([EDIT]):
        assert model.answer(asked) == [model.answer([one])[0] for one in asked]


def test_requests_without_further_prompts_are_answered_as_ever() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    asked = [Compare(("the cat is good", "a dog")), *REQUESTS, Compare(("the mat",))]
    plain = totals(model.answer(asked))
    with model.install([EDIT]):
        found = totals(model.answer(asked))
    assert near(found[:2], plain[:2])
    assert near(found[2:-1], by_hand(plainly(hf)))
    assert near(found[-1:], plain[-1:])


def test_some_requests_may_have_more_prompts_than_others() -> None:
    """One, none or two further prompts, in scoring and in writing, each answered as if it were alone."""

    def some(request: Any) -> tuple[Any, ...]:
        return others(request)[: {"the cat": 0, "a": 1}.get(request.prompt, 2)]

    def average(own: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        return torch.stack([own, *rest]).mean(0)

    model = made(tiny.network("llama"), batch_tokens=1024)
    asked: list[Request] = [Complete(prompt, 5) for prompt in ("the cat", "a", "the dog", "the mat")]
    asked += [NextToken(prompt, (" dog",)) for prompt in ("the cat", "a", "the dog", "the mat")]
    with model.install([BranchingEdit(some, average)]):
        assert model.answer(asked)[:4] == [model.answer([one])[0] for one in asked[:4]]
        whole = totals(model.answer(asked)[4:])
        assert near(whole, [totals(model.answer([one]))[0] for one in asked[4:]])


def test_a_compare_may_come_back_as_a_choice_among_its_texts() -> None:
    hf = tiny.network("llama")

    def after_a_prompt(request: Request) -> tuple[Request, ...]:
        assert isinstance(request, Compare)
        return (Choose("yes.", request.texts),)

    def take(_: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        return rest[0]

    texts = (" the cat is good", " a dog")
    model = made(hf)
    wanted = totals(model.answer([Choose("yes.", texts)]))
    with model.install([BranchingEdit(after_a_prompt, take)]):
        assert near(totals(model.answer([Compare(texts)])), wanted)


def test_options_that_are_cut_otherwise_in_a_branch_are_refused() -> None:
    """ "walk" and "ing" become one token, so the places of the two branches do not correspond."""

    def merging(request: Any) -> tuple[Any, ...]:
        return (replace(request, prompt=request.prompt + " walk"),)

    model = made(tiny.network("llama"))
    with (
        model.install([BranchingEdit(merging, lambda own, _: own)]),
        pytest.raises(UnsupportedRequest, match="its first token merges"),
    ):
        model.answer([Choose("the cat is", ("ing",))])


def test_two_edits_that_ask_further_prompts_are_refused() -> None:
    hf = tiny.network("llama")
    model = made(hf)
    with untouched(hf), pytest.raises(PatchError, match="Two edits that ask further prompts"):
        model.install([EDIT, EDIT])
    with model.install([EDIT]), pytest.raises(PatchError, match="Two edits that ask further prompts"):
        model.install([EDIT])


def test_edits_of_prompts_and_scores_and_logits_live_beside_it() -> None:
    """The prompt is changed first and all branches with it; logits change in all; the score edit comes last."""
    hf = tiny.network("llama")
    bias = torch.linspace(-2, 2, tiny.vocabulary_size())
    plain = plainly(hf)

    def shifted(ids: list[int], end: int) -> Tensor:
        return plain(ids, end) + bias

    model = made(hf)
    request = Choose("cat sat on", (" the mat", " no"))
    edits = [
        EDIT,
        LogitsEdit(lambda x: x + bias),
        PromptEdit(lambda prompt: f"the {prompt}"),
        ScoreEdit(lambda _: (), lambda own, _: tuple(x - 1.0 for x in own)),
    ]
    with model.install(edits):
        found = totals(model.answer([request]))
    wanted = []
    for option in request.options:
        start = len(tiny.tokenizer()("the cat sat on").input_ids)
        fresh = tiny.tokenizer()("the cat sat on" + option).input_ids[start:]
        logprobs = together(shifted, "the cat sat on", BEFORE, fresh).double().log_softmax(-1)
        wanted.append(float(sum(logprobs[place, token] for place, token in enumerate(fresh))) - 1.0)
    assert near(found, wanted)
