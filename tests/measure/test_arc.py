from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.core.errors import MalformedRows
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Response, TextScore
from evenhand.measure.arc import Arc

Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]


@pytest.fixture
def asked(fixtures: Path) -> Arc:
    return Arc(file=str(fixtures / "arc.csv"))


def test_options_are_scored_as_text(asked: Arc) -> None:
    items = asked.load().items
    assert [item.id for item in items] == ["arc/1", "arc/2", "arc/3"]
    assert items[0].requests == (
        Choose("Question: What do roots take up from the soil?\nAnswer:", (" water", " light", " sound", " warm air")),
    )
    assert [item.facts["truth"] for item in items] == [0, 1, 2]
    assert items[1].texts["D"] == "a stone, as a rule"
    assert items[1].texts["right answer"] == "milk"


def test_the_norm_is_by_characters_without_the_leading_space(asked: Arc, respond: Respond) -> None:
    # iron, milk, paper, 'a stone, as a rule' (18 characters): the sum takes milk, per character the long option wins
    totals = {" iron": -9.0, " milk": -4.0, " paper": -9.0, " a stone, as a rule": -17.9}
    item = asked.load().items[1]
    score = asked.score(item, respond(item, lambda prompt, option: TextScore((1,), (totals[option],))))
    assert score.values == {"correct": 1.0, "correct_norm": 0.0}
    totals[" a stone, as a rule"] = -18.1  # with the space it would have 19 characters and still win
    score = asked.score(item, respond(item, lambda prompt, option: TextScore((1,), (totals[option],))))
    assert score.values == {"correct": 1.0, "correct_norm": 1.0}


def test_equal_scores_share_the_choice(asked: Arc, respond: Respond) -> None:
    item = asked.load().items[0]
    score = asked.score(item, respond(item, lambda prompt, option: TextScore((1,), (-1.0,))))
    assert score.values["correct"] == pytest.approx(1 / 4)


def test_rows_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("a,b,c,d,e,B\nf,g,h,i\nj,k,l,m,,E\n", encoding="utf-8")
    with pytest.raises(MalformedRows) as raised:
        Arc(file=str(path)).load()
    assert all(word in str(raised.value) for word in ("line 2", "six columns", "line 3", "'D'", "'answer'"))


@pytest.mark.parametrize(
    ("subset", "split", "count"),
    [
        ("challenge", "test", 1_165),
        ("easy", "test", 2_365),
        ("challenge", "validation", 295),
        ("easy", "validation", 567),
    ],
)
def test_the_real_files(subset: str, split: str, count: int, at_hand: Callable[[str], None]) -> None:
    at_hand("arc")
    items = Arc(subset=subset, split=split).load().items  # type: ignore[arg-type]
    assert len(items) == len({item.cluster for item in items}) == count
    assert min(Counter(item.facts["truth"] for item in items).values()) > count / 6


@pytest.mark.slow
def test_prompts_are_the_very_strings_of_lm_eval(asked: Arc) -> None:
    found = importlib.util.find_spec("lm_eval")
    if found is None or found.origin is None:
        pytest.skip("lm-eval is not installed: pip install 'evenhand[referee]'")
    jinja2, yaml = pytest.importorskip("jinja2"), pytest.importorskip("yaml")
    task = yaml.safe_load((Path(found.origin).parent / "tasks" / "arc" / "arc_easy.yaml").read_text("utf-8"))
    assert [metric["metric"] for metric in task["metric_list"]] == ["acc", "acc_norm"]
    compiled = jinja2.Environment().from_string(task["doc_to_text"])
    for item in asked.load().items:
        request = item.requests[0]
        assert isinstance(request, Choose)
        assert request.prompt == compiled.render(question=item.texts["question"])
