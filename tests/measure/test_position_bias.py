from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from evenhand.core.errors import MalformedRows
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Response, TextScore
from evenhand.core.segments import plain, split
from evenhand.measure import _placed
from evenhand.measure.position_bias import MARGIN, PositionBias

Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]


@pytest.fixture
def file(fixtures: Path) -> str:
    return str(fixtures / "arc.csv")


def listed(prompt: str) -> list[str]:
    return [part.removeprefix("- ").strip() for part in split(prompt)[1]]


def test_every_right_answer_stands_in_every_place_once(file: str) -> None:
    items = PositionBias(file=file).load().items
    assert [item.id for item in items[:5]] == ["arc/1/1", "arc/1/2", "arc/1/3", "arc/1/4", "arc/2/1"]
    assert {item.block for item in items[:4]} == {"arc/1"} == {item.cluster for item in items[:4]}
    for place, item in enumerate(items[:4]):
        own = [listed(item.requests[n].prompt) for n in item.facts["own"]]  # type: ignore[attr-defined]
        assert [order.index("water") for order in own] == [place]
        assert item.groups == {"place": str(place + 1)}
    assert len({request.prompt for request in items[0].requests}) == 4  # type: ignore[union-attr]
    assert all(len(item.requests) == 1 for item in items[1:4])


def test_what_is_asked(file: str) -> None:
    request = PositionBias(file=file).load().items[0].requests[0]
    assert isinstance(request, Choose)
    assert plain(request.prompt) == (
        "Question: What do roots take up from the soil?\nPossible answers:\n"
        "- water\n- light\n- sound\n- warm air\nAnswer:"
    )
    assert request.options == (" water", " light", " sound", " warm air")
    lettered = PositionBias(file=file, form="letters").load().items[1].requests[0]
    assert lettered == Choose(
        "Question: What do roots take up from the soil?\nA. warm air\nB. water\nC. light\nD. sound\nAnswer:",
        (" A", " B", " C", " D"),
    )


def test_all_orders_are_all_orders(file: str) -> None:
    item = PositionBias(file=file, orders="all").load().items[0]
    asked = [tuple(listed(request.prompt)) for request in item.requests if isinstance(request, Choose)]
    assert sorted(asked) == sorted(permutations(("water", "light", "sound", "warm air")))
    assert len(item.facts["own"]) == 6  # type: ignore[arg-type]
    assert len(set(_placed.orders(5, every=False))) == 5
    assert _placed.orders(3, every=False)[0] == (0, 1, 2)


@pytest.mark.parametrize("form", ["segments", "letters"])
def test_a_model_that_takes_the_first_option(file: str, respond: Respond, form: str) -> None:
    """It is right only where the right answer stands first, and no two of the four orders agree."""
    benchmark = PositionBias(file=file, form=form)

    def first(prompt: str, option: str) -> TextScore:
        best = listed(prompt)[0] if form == "segments" else "A"
        return TextScore((1,), (-1.0 if option.strip() == best else -9.0,))

    items = benchmark.load().items[:4]
    scores = [benchmark.score(item, respond(item, first)).values for item in items]
    assert [score["correct"] for score in scores] == [1.0, 0.0, 0.0, 0.0]
    assert [score["place"] for score in scores] == [1.0, 2.0, 3.0, 4.0]
    assert [score["changed"] for score in scores] == [1.0, None, None, None]


def test_a_model_that_knows_the_answer_is_right_everywhere(file: str, respond: Respond) -> None:
    benchmark = PositionBias(file=file, orders="all")
    for item in benchmark.load().items[:4]:
        known = lambda prompt, option: TextScore((1,), (-1.0 if option == " water" else -9.0,))  # noqa: E731
        score = benchmark.score(item, respond(item, known)).values
        assert (score["correct"], score["changed"]) == (1.0, None if item.groups["place"] != "1" else 0.0)


def test_pairs_of_orders_by_hand_and_orders_that_are_nearly_tied(file: str, respond: Respond) -> None:
    """Choices 0, 0, 1, 1 in the four orders: four of six pairs differ; a near tie counts as either."""
    benchmark = PositionBias(file=file)
    item = benchmark.load().items[0]
    prompts = [request.prompt for request in item.requests if isinstance(request, Choose)]

    def scorer(near: float) -> Callable[[str, str], TextScore]:
        def score(prompt: str, option: str) -> TextScore:
            late = prompts.index(prompt) > 1
            value = {" water": -2.0 if late else -1.0, " light": -1.0 if late else -2.0}.get(option, -9.0)
            if prompts.index(prompt) == 3 and option == " water":
                value = -1.0 - near
            return TextScore((1,), (value,))

        return score

    assert benchmark.score(item, respond(item, scorer(1.0))).values["changed"] == pytest.approx(4 / 6)
    assert benchmark.score(item, respond(item, scorer(MARGIN / 2))).values["changed"] == pytest.approx(2 / 6)


def test_no_number_no_score(file: str, respond: Respond) -> None:
    item = PositionBias(file=file).load().items[0]
    score = PositionBias(file=file).score(item, respond(item, lambda p, o: TextScore((1,), (float("nan"),))))
    assert score.status == "failed"


def test_commonsense_qa_rows(tmp_path: Path) -> None:
    choices = [
        {"label": letter, "text": text}
        for letter, text in zip("ABCDE", ("bank", "mall", "shop", "park", "lake"), strict=True)
    ]
    row = {"answerKey": "B", "id": "x", "question": {"stem": "Where?", "choices": choices, "question_concept": "door"}}
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    items = PositionBias(questions="commonsense_qa", file=str(path)).load().items
    assert len(items) == 5
    assert items[0].texts["right answer"] == "mall"
    assert len(items[0].requests) == 5
    path.write_text(
        json.dumps({**row, "answerKey": "F"}) + "\n" + json.dumps({**row, "question": {"stem": ""}}), "utf-8"
    )
    with pytest.raises(MalformedRows) as raised:
        PositionBias(questions="commonsense_qa", file=str(path)).load()
    assert all(word in str(raised.value) for word in ("line 1", "'answerKey'", "line 2", "'question.choices'"))


@pytest.mark.parametrize(("questions", "count"), [("arc", 4 * 2365), ("commonsense_qa", 5 * 1221)])
def test_real_questions(questions: str, count: int, at_hand: Callable[[str], None]) -> None:
    at_hand(questions)
    assert len(PositionBias(questions=questions).load().items) == count
