"""Edits of prompts and of the scores of options."""

from __future__ import annotations

import pytest
from tests.fixtures import tiny
from tests.fixtures.by_hand import made, near, totals
from tests.fixtures.untouched import untouched

from evenhand.core.edits import Edit, PromptEdit, ScoreEdit
from evenhand.core.errors import PatchError
from evenhand.core.requests import Choose, Classify, Compare, Complete, NextToken, Request, Scores
from evenhand.model import Model
from evenhand.model.expand import expand

INSTRUCT = PromptEdit(lambda prompt: f"be good. {prompt}".rstrip())
QUESTION = Choose("is the cat big?", (" Yes", " No", " the dog is"))


def test_a_prompt_is_changed_in_every_request_that_has_one() -> None:
    model = made(tiny.shared("llama"))
    asked: list[Request] = [QUESTION, NextToken("the cat", (" sat",)), Complete("the dog", 4), Complete("", 4)]
    wanted = model.answer(
        [
            Choose("be good. is the cat big?", QUESTION.options),
            NextToken("be good. the cat", (" sat",)),
            Complete("be good. the dog", 4),
            Complete("be good.", 4),
        ]
    )
    with untouched(model.hf), model.install([INSTRUCT]):
        assert model.answer(asked) == wanted
    assert model.answer(asked) != wanted


def test_texts_without_a_prompt_are_scored_after_one() -> None:
    model = made(tiny.shared("gpt2"))
    wanted = model.answer([Choose("be good.", (" the cat", " a dog is bad"))])
    with model.install([INSTRUCT]):
        assert model.answer([Compare(("the cat", "a dog is bad"))]) == wanted


def test_texts_stay_as_they_are_if_the_prompt_stays_empty() -> None:
    model = made(tiny.shared("llama"))
    asked = [Compare(("the cat", "a dog is bad"))]
    plain = model.answer(asked)
    with model.install([PromptEdit(lambda prompt: prompt.upper())]):
        assert model.answer(asked) == plain


def test_the_chat_format_goes_round_the_changed_prompt() -> None:
    model = Model.wrap(tiny.shared("llama"), tiny.tokenizer(chat=tiny.CHAT))
    wanted = model.answer([Choose("be good. is the cat big?", QUESTION.options)], chat=True)
    with model.install([INSTRUCT]):
        assert model.answer([QUESTION], chat=True) == wanted


def test_prompt_edits_act_in_the_order_in_which_they_were_installed() -> None:
    model = made(tiny.shared("llama"))
    wanted = model.answer([NextToken("a the cat", (" sat",))])
    edits = [PromptEdit(lambda prompt: f"the {prompt}"), PromptEdit(lambda prompt: f"a {prompt}")]
    with model.install(edits[:1]), model.install(edits[1:]):
        assert model.answer([NextToken("cat", (" sat",))]) == wanted


def test_a_classification_has_no_prompt() -> None:
    assert expand([Classify("the cat")], [INSTRUCT]).requests == [Classify("the cat")]


def test_scores_change_by_what_further_requests_say() -> None:
    """Contextual calibration by hand: each option's score after an empty context is taken off."""
    model = made(tiny.shared("llama"))
    edit = ScoreEdit(
        lambda request: (Choose("a?", request.options), Choose("", request.options)),
        lambda own, rest: tuple(x - 0.5 * a - 0.25 * b for x, a, b in zip(own, *rest, strict=True)),
    )
    parts = [totals(model.answer([Choose(prompt, QUESTION.options)])) for prompt in (QUESTION.prompt, "a?", "")]
    wanted = [x - 0.5 * a - 0.25 * b for x, a, b in zip(*parts, strict=True)]
    others: list[Request] = [NextToken("the cat", (" sat",)), Compare(("the dog",))]
    plain = model.answer(others)
    with untouched(model.hf), model.install([edit]):
        first, *rest = model.answer([QUESTION, *others])
        assert near(totals([first]), wanted)
        assert near(totals(rest), totals(plain))
        assert near(totals(model.answer([QUESTION, QUESTION])), wanted * 2)


def test_the_change_is_booked_on_the_first_token() -> None:
    model = made(tiny.shared("llama"))
    (plain,) = model.answer([QUESTION])
    with model.install([ScoreEdit(lambda _: (), lambda own, _: tuple(x + 2.0 for x in own))]):
        (found,) = model.answer([QUESTION])
    assert isinstance(plain, Scores)
    assert isinstance(found, Scores)
    for before, after in zip(plain.scores, found.scores, strict=True):
        assert after.tokens == before.tokens
        assert after.logprobs[1:] == before.logprobs[1:]
        assert after.logprobs[0] == pytest.approx(before.logprobs[0] + 2.0)


def test_score_edits_act_one_after_the_other_each_with_its_own_requests() -> None:
    model = made(tiny.shared("llama"))

    def negate(own: tuple[float, ...], rest: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
        assert rest == ()
        return tuple(-x for x in own)

    def add(own: tuple[float, ...], rest: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
        return tuple(x + y for x, y in zip(own, rest[0], strict=True))

    edits: list[Edit] = [ScoreEdit(lambda _: (), negate), ScoreEdit(lambda _: (Choose("a", QUESTION.options),), add)]
    own, other = (totals(model.answer([Choose(prompt, QUESTION.options)])) for prompt in (QUESTION.prompt, "a"))
    with model.install(edits):
        assert near(totals(model.answer([QUESTION])), [y - x for x, y in zip(own, other, strict=True)])


def test_a_score_edit_sees_the_changed_prompt() -> None:
    seen: list[str] = []

    def look(request: Choose) -> tuple[Choose, ...]:
        seen.append(request.prompt)
        return ()

    with made(tiny.shared("llama")).install([ScoreEdit(look, lambda own, _: own), INSTRUCT]) as handle:
        expand([QUESTION], handle.edits)
    assert seen == ["be good. is the cat big?"]


def test_a_score_edit_that_loses_an_option_is_refused() -> None:
    model = made(tiny.shared("llama"))
    with (
        model.install([ScoreEdit(lambda _: (), lambda own, _: own[:-1])]),
        pytest.raises(PatchError, match=r"made 2 scores .* of 3 options"),
    ):
        model.answer([QUESTION])


def test_an_offset_is_added_by_what_the_request_says() -> None:
    model = made(tiny.shared("llama"))

    def offset(request: Choose) -> tuple[float, ...]:
        return tuple(float(len(request.prompt) + number) for number in range(3))

    (plain,) = model.answer([QUESTION])
    with model.install([ScoreEdit(lambda _: (), lambda own, _: tuple(2 * x for x in own), offset)]):
        (found,) = model.answer([QUESTION])
    length = len(QUESTION.prompt)
    assert near(totals([found]), [2 * x + length + n for n, x in enumerate(totals([plain]))])
