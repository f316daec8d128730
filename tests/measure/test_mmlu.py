from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.core.errors import UnknownName
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Response, TextScore
from evenhand.measure._mmlu_subjects import FIELD_OF, FIELDS, SUBJECTS
from evenhand.measure.mmlu import Mmlu

Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]


@pytest.fixture
def asked(fixtures: Path) -> Mmlu:
    return Mmlu(file=str(fixtures / "mmlu.csv"))


def test_letters_are_scored_after_the_listed_options(asked: Mmlu) -> None:
    items = asked.load().items
    assert items[0].requests == (
        Choose(
            "The following are multiple choice questions (with answers) about mmlu.\n\n"
            "How many legs has a spider, in all?\nA. six\nB. eight\nC. ten\nD. four\nAnswer:",
            (" A", " B", " C", " D"),
        ),
    )
    assert items[1].texts["B"] == "that, too"
    assert [item.origin.row for item in items] == [1, 2, 3]  # a question of two lines is one row


@pytest.mark.parametrize("letter", "ABCD")
def test_a_model_that_likes_one_letter_is_right_where_it_is_the_answer(
    letter: str, asked: Mmlu, respond: Respond
) -> None:
    items = asked.load().items
    scorer = saying(letter)
    right = [asked.score(item, respond(item, scorer)).values["correct"] for item in items]
    assert right == [float(answer == letter) for answer in "BDC"]


def saying(letter: str) -> Callable[[str, str], TextScore]:
    return lambda prompt, option: TextScore((1,), (0.0 if option == f" {letter}" else -3.0,))


def test_a_subject_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'anatomy'"):
        Mmlu(subjects=("anatomi",)).load()


def test_every_subject_has_one_field() -> None:
    assert len(SUBJECTS) == len(FIELD_OF) == sum(map(len, FIELDS.values())) == 57


def test_the_real_files(at_hand: Callable[[str], None]) -> None:
    at_hand("mmlu")
    assert len(Mmlu(split="validation").load().items) == 1_531
    items = Mmlu().load().items
    assert len(items) == len({item.id for item in items}) == 14_042
    fields = Counter(item.groups["field"] for item in items)
    assert fields == {"humanities": 4_705, "other": 3_107, "social_sciences": 3_077, "stem": 3_153}
    some = Mmlu(subjects=("virology", "anatomy")).load()
    assert [len([item for item in some.items if item.stratum == name]) for name in ("virology", "anatomy")] == [
        166,
        135,
    ]


@pytest.mark.slow
def test_prompts_are_the_very_strings_of_lm_eval(at_hand: Callable[[str], None]) -> None:
    at_hand("mmlu")
    found = importlib.util.find_spec("lm_eval")
    if found is None or found.origin is None:
        pytest.skip("lm-eval is not installed: pip install 'evenhand[referee]'")
    jinja2, yaml = pytest.importorskip("jinja2"), pytest.importorskip("yaml")
    folder = Path(found.origin).parent / "tasks" / "mmlu" / "default"
    template = yaml.safe_load((folder / "_default_template_yaml").read_text("utf-8"))
    task_of = {
        task["dataset_name"]: task
        for task in (yaml.safe_load(path.read_text("utf-8")) for path in folder.glob("mmlu_*.yaml"))
    }
    assert sorted(task_of) == sorted(SUBJECTS)
    compiled = jinja2.Environment().from_string(template["doc_to_text"])
    for item in Mmlu(split="validation").load().items[::10]:
        task = task_of[item.stratum]
        doc = {"question": item.texts["question"], "choices": [item.texts[letter] for letter in "ABCD"]}
        request = item.requests[0]
        assert isinstance(request, Choose)
        assert request.prompt == task["description"] + compiled.render(doc)
        assert request.options == tuple(f" {letter}" for letter in template["doc_to_choice"])
        assert task["tag"] == f"mmlu_{FIELD_OF[item.stratum]}_tasks"
