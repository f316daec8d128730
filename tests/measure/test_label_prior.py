from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.core.items import Item, Score, Status
from evenhand.core.requests import Choose, Response, Scores, TextScore
from evenhand.data import splits
from evenhand.measure._fold import in_fold
from evenhand.measure.label_prior import CONTENTS, LabelPrior
from evenhand.measure.yes_no import YesNo

Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]
Overall = Callable[..., float]


@pytest.fixture
def asked(fixtures: Path) -> LabelPrior:
    return LabelPrior(questions="strategyqa", file=str(fixtures / "strategyqa.json"))


def prompts(items: tuple[Item, ...], contents: str) -> list[str]:
    return [
        request.prompt
        for item in items
        if item.groups["contents"] == contents
        for request in item.requests
        if isinstance(request, Choose)
    ]


def test_each_question_is_asked_in_three_ways_and_both_orders(asked: LabelPrior, fixtures: Path) -> None:
    items = asked.load().items
    plain = YesNo(questions="strategyqa", file=str(fixtures / "strategyqa.json")).load().items
    assert len(items) == 3 * len(plain)
    assert [item.id for item in items[:3]] == [f"{plain[0].id}/{contents}" for contents in CONTENTS]
    assert prompts(items, "batch") == [item.requests[0].prompt for item in plain]  # type: ignore[union-attr]
    text = "Answer the following question with {} or {}.\n\nQuestion: {}\nAnswer:"
    free = prompts(items, "content_free")
    assert free[:4] == [
        text.format("Yes", "No", "N/A"),
        text.format("No", "Yes", "N/A"),
        text.format("Yes", "No", ""),
        text.format("No", "Yes", ""),
    ]
    assert {item.block for item in items[:6]} == {"strategyqa/a1"}
    assert {item.cluster for item in items[:6]} == {plain[0].cluster}


def test_random_texts_are_made_of_the_questions_words(asked: LabelPrior) -> None:
    items = asked.load().items
    known = {word for item in items if item.texts for word in item.texts["question"].lower().split()}
    drawn = [prompt.split("Question: ")[1].removesuffix("\nAnswer:") for prompt in prompts(items, "in_domain")]
    assert all(set(text.split()) <= known | {"."} for text in drawn)
    assert len(set(drawn)) > 1
    assert drawn == [
        prompt.split("Question: ")[1].removesuffix("\nAnswer:") for prompt in prompts(asked.load().items, "in_domain")
    ]
    other = asked.model_copy(update={"seed": 1}).load().items
    assert prompts(other, "in_domain") != prompts(items, "in_domain")
    assert prompts(other, "content_free") == prompts(items, "content_free")


def test_a_planted_prior_is_found(asked: LabelPrior, respond: Respond, overall: Overall) -> None:
    """Yes in both forms has .3 + .1 of .8; where No stands first, .6."""

    def score(prompt: str, option: str) -> TextScore:
        yes = (0.3, 0.1) if "Yes or No" in prompt else (0.5, 0.1)
        p = {" Yes": yes[0], " yes": yes[1]}.get(option, (0.8 - sum(yes)) / 2)
        return TextScore((1,), (math.log(p),))

    items = asked.load().items
    scores = [asked.score(item, respond(item, score)) for item in items]
    assert overall(asked, items, scores, "prior_distance") == pytest.approx((0.0 + 0.25) / 2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert overall(asked, items, scores, "prior_entropy") == pytest.approx((1 + entropy) / 2)
    assert overall(asked, items, scores, "answer_mass") == pytest.approx(80.0)
    assert [scores[n].values["cell"] for n in range(6)] == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("questions", ["arc", "mmlu"])
def test_letters_of_multiple_choice(questions: str, fixtures: Path, respond: Respond, overall: Overall) -> None:
    """A has .4 of the four letters, the others .2."""
    made = LabelPrior(questions=questions, file=str(fixtures / f"{questions}.csv"))  # type: ignore[arg-type]
    loaded = made.load()
    batch = loaded.items[2]
    (request,) = batch.requests
    assert isinstance(request, Choose)
    assert request.options == (" A", " B", " C", " D")
    assert "\nA. " in request.prompt
    (bare,) = loaded.items[0].requests
    assert isinstance(bare, Choose)
    assert "\nA. N/A\nB. N/A\nC. N/A\nD. N/A\nAnswer:" in bare.prompt
    scores = [
        made.score(item, respond(item, lambda _, option: TextScore((1,), (math.log(0.4 if option == " A" else 0.2),))))
        for item in loaded.items
    ]
    assert overall(made, loaded.items, scores, "prior_distance") == pytest.approx(0.15)
    assert "Right answers: " in loaded.notes[1].text


def test_boolq_has_passage_and_question_taken_out(fixtures: Path) -> None:
    made = LabelPrior(questions="boolq", file=str(fixtures / "boolq.jsonl"))
    (first, *_) = prompts(made.load().items, "content_free")
    assert first == "Answer the following question with Yes or No.\n\nN/A\nQuestion: N/A\nAnswer:"


def test_a_score_that_is_no_number_fails(asked: LabelPrior) -> None:
    item = asked.load().items[0]
    score: Score = asked.score(item, (Scores(tuple(TextScore((1,), (math.nan,)) for _ in range(4))),))
    assert score.status is Status.FAILED


def test_questions_lie_in_the_folds_of_yes_no(tmp_path: Path) -> None:
    """So that a prior that is fitted on yes_no's fold is not tested on the same questions."""
    known = [name for name in splits.fixed()["yes_no"].folds if name.startswith("strategyqa/")][:40]
    rows = [{"qid": name.partition("/")[2], "question": f"Is {name} odd?", "answer": True} for name in known]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    given = {"questions": "strategyqa", "file": str(tmp_path / "rows.json")}
    for fold in splits.FOLDS:
        ours, plain = (
            {item.cluster for item in in_fold(made, made.load().items, fold)}
            for made in (LabelPrior(**given), YesNo(**given))  # type: ignore[arg-type]
        )
        assert ours == plain == {name for name in known if splits.fold("yes_no", name) == fold}


def test_large_sets_are_drawn_from_by_whole_questions(asked: LabelPrior) -> None:
    every, some = asked.load(), asked.model_copy(update={"count": 2}).load()
    assert len(every.items) == 2 * len(some.items) == 24
    assert {item.id for item in some.items} < {item.id for item in every.items}
    assert {item.block for item in some.items} == {item.block for item in some.items if item.groups["order"]}
    assert "2 of 4 questions, drawn at random." in [note.text for note in some.notes]
