"""Logit offsets: medians by hand, and even answers afterwards."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.edits import ScoreEdit
from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose, Scores
from evenhand.data.concepts import concepts
from evenhand.mitigate.controls.logit_offset import LogitOffset, _answers, _constants, _key

OPTIONS = (" Yes", " yes", " No", " no")
NOUNS = ("cat", "dog", "mat", "house", "cats", "dogs", "small cat", "big mat", "good dog")


def asked(first: str = "Yes", second: str = "No") -> list[Item]:
    """Questions that name the answers in one order."""
    return [
        Item(f"{first}{n}", f"c{n}", Origin("own", "own", n), (Choose(f"Say {first} or {second}. Is a {x}?", OPTIONS),))
        for n, x in enumerate(NOUNS, start=1)
    ]


def test_constants_by_hand() -> None:
    """Two forms of a, one of b. s_a - s_b = ln 3, 0, ln 2: the median is ln 2, half of which goes to each side."""
    totals = np.log([[0.2, 0.4, 0.2], [0.1, 0.2, 0.3], [0.1, 0.3, 0.2]])
    half = math.log(2) / 2
    assert _constants(totals, ["a", "a", "b"]) == pytest.approx([-half, -half, half])


def yes_rate(responses: list[object]) -> float:
    """Share of answers where yes, in both forms, is likelier than no."""
    says = []
    for response in responses:
        assert isinstance(response, Scores)
        yes, upper, no, lower = (math.exp(score.total) for score in response.scores)
        says.append(yes + upper > no + lower)
    return sum(says) / len(says)


def test_afterwards_half_of_the_answers_are_yes_in_each_order() -> None:
    model = gendered.model()
    forward, backward = asked(), asked("No", "Yes")
    patch = fit(model, LogitOffset(), [*forward, *backward])
    assert {tuple(json.loads(name)[1] for name in patch.tensors)} == {("no", "yes")}
    with model.install(patch):
        for items in (forward, backward):
            rate = yes_rate(list(model.answer([item.requests[0] for item in items])))
            assert rate == pytest.approx(0.5, abs=0.5 / len(NOUNS) + 1e-9)


def test_only_the_difference_of_answers_moves_and_by_the_same_amount_in_each_question() -> None:
    model = gendered.model()
    patch = fit(model, LogitOffset(amount=0.5), asked())
    requests = [item.requests[0] for item in asked()]
    before = model.answer(requests)
    with model.install(patch):
        after = model.answer(requests)
    (constants,) = patch.tensors.values()
    for one, two in zip(before, after, strict=True):
        moved = [b.total - a.total for a, b in zip(one.scores, two.scores, strict=True)]
        assert moved == pytest.approx([0.5 * value for value in constants.tolist()], abs=1e-5)
    assert constants[0] == constants[1] == -constants[2]


def test_other_options_stay_as_they_are() -> None:
    model = gendered.model()
    (edit,) = LogitOffset().edits(fit(model, LogitOffset(), asked()).tensors, model)
    assert isinstance(edit, ScoreEdit)
    assert edit.offset is not None
    assert edit.offset(Choose("Say Yes or No. Is it?", (" a", " b"))) == (0.0, 0.0)
    assert edit.offset(Choose("Say No or Yes. Is it?", OPTIONS)) == (0.0, 0.0, 0.0, 0.0)
    assert edit.offset(Choose("Say Yes or No. Is it?", OPTIONS)) != (0.0, 0.0, 0.0, 0.0)


def test_the_order_is_that_of_whole_words_and_needs_all_of_them() -> None:
    assert _key(Choose("nothing: No or Yes?", OPTIONS))[1] == "no"
    assert _key(Choose("Answer Yes or No. No doubt?", OPTIONS))[1] == "yes"
    assert _key(Choose("Yes, it is", OPTIONS))[1] == ""
    assert _key(Choose("It is a cat. B or A?", (" A", " B")))[1] == "b"


def test_forms_of_a_group_share_a_constant() -> None:
    found = concepts("gender")
    answers = _answers([f" {form}" for form in found.forms])
    assert answers == [group.id for group in found.groups for _ in group.forms]
    assert _answers([" Yes", " yes", " No"]) == ["yes", "yes", "no"]


def test_groups_are_even_on_the_whole_afterwards() -> None:
    model = gendered.model()
    found = concepts("gender")
    options = tuple(f" {form}" for form in found.forms)
    items = [
        Item(f"e{n}", f"c{n}", Origin("own", "own", n), (Choose(f"the {x} is", options),))
        for n, x in enumerate(NOUNS, 1)
    ]
    with model.install(fit(model, LogitOffset(), items)):
        responses = model.answer([item.requests[0] for item in items])
    half = len(options) // 2
    odds = [
        np.logaddexp.reduce([s.total for s in one.scores[:half]])
        - np.logaddexp.reduce([s.total for s in one.scores[half:]])
        for one in responses
    ]
    assert float(np.median(odds)) == pytest.approx(0.0, abs=1e-4)


def test_items_without_common_options_are_refused() -> None:
    with pytest.raises(DataError, match="choose among the same options"):
        fit(gendered.model(), LogitOffset(), gendered.snippets())


def test_it_reads_items_that_share_their_options() -> None:
    method = LogitOffset()
    assert method.can_read(asked())
    assert not method.can_read(asked()[:1])
    assert not method.can_read(gendered.snippets())


def test_a_patch_survives_saving() -> None:
    patch = fit(gendered.model(), LogitOffset(), asked())
    assert all(tensor.dtype == torch.float32 and tensor.shape == (4,) for tensor in patch.tensors.values())
