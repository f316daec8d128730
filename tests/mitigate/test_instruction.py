"""Instructions: what the model is really asked."""

from __future__ import annotations

import pytest
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.edits import PromptEdit
from evenhand.core.errors import UsageError
from evenhand.core.requests import Choose, Compare, Scores
from evenhand.mitigate.instruction import _WORDINGS, Instruction


def test_a_question_stands_after_the_instruction() -> None:
    (edit,) = Instruction(text="Be good.").edits({}, gendered.model())
    assert isinstance(edit, PromptEdit)
    assert edit.fn("Is it so?") == "Be good.\n\nIs it so?"
    assert edit.fn("") == "Be good."


def test_scores_are_those_after_the_instruction() -> None:
    model = gendered.model()
    with model.install(fit(model, Instruction(text="the good dog"))):
        found = model.answer([Choose("a cat", (" sat",)), Compare(("no dog", "a mat"))])
    expected = model.answer([Choose("the good dog\n\na cat", (" sat",)), Choose("the good dog", (" no dog", " a mat"))])
    assert found == expected
    assert isinstance(found[1], Scores)


@pytest.mark.parametrize("wording", list(_WORDINGS))
def test_every_wording_has_a_sham_as_long_that_says_nothing_of_people(wording: str) -> None:
    method = Instruction.model_validate({"wording": wording})
    (sham,) = method.shams([], {}, gendered.rng())
    assert isinstance(sham.method, Instruction)
    assert len(sham.method._said.split()) == len(_WORDINGS[wording].split())
    assert not {"people", "person", "stereotypes", "group"} & set(sham.method._said.lower().split())


def test_a_blank_instruction_is_refused() -> None:
    with pytest.raises(UsageError, match="blank"):
        fit(gendered.model(), Instruction(text="  "))
