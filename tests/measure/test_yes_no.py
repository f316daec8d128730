from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evenhand.core.errors import DataError, MalformedRows, UsageError
from evenhand.core.items import Item, Score, ScoreTable, Status
from evenhand.core.requests import Choose, Response, TextScore
from evenhand.data import splits
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._fold import in_fold
from evenhand.measure._plan import configured
from evenhand.measure._run import measure
from evenhand.measure.yes_no import ORDERS, YesNo

if TYPE_CHECKING:
    from evenhand.model import Model

Row = Callable[..., dict[str, object]]
Write = Callable[[Sequence[object]], str]
Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]
Overall = Callable[..., float]


@pytest.fixture
def asked(fixtures: Path) -> YesNo:
    """Four questions, half of them with the answer Yes."""
    return YesNo(questions="strategyqa", file=str(fixtures / "strategyqa.json"))


def saying(yes: Callable[[str], float]) -> Callable[[str, str], TextScore]:
    """A scorer with the given probability of Yes for a prompt, all of it on the forms as given."""

    def score(prompt: str, option: str) -> TextScore:
        p = yes(prompt)
        return TextScore((1,), (math.log({" Yes": p, " No": 1 - p}.get(option, 1e-12)),))

    return score


def scored(benchmark: YesNo, respond: Respond, yes: Callable[[str], float]) -> tuple[tuple[Item, ...], list[Score]]:
    items = benchmark.load().items
    return items, [benchmark.score(item, respond(item, saying(yes))) for item in items]


def test_each_question_is_asked_in_both_orders(asked: YesNo) -> None:
    first, second = asked.load().items[:2]
    text = "Answer the following question with {} or {}.\n\nQuestion: Can an oak outlive a mayfly?\nAnswer:"
    options = (" Yes", " yes", " No", " no")
    assert second.requests == (Choose(text.format("No", "Yes"), options),)
    assert first.requests == (Choose(text.format("Yes", "No"), options), *second.requests)
    assert (first.id, second.id) == ("strategyqa/a1/yes_first", "strategyqa/a1/no_first")
    assert first.cluster == second.cluster == splits.strategyqa_cluster("strategyqa", "a1")
    assert first.texts == {"context": "", "question": "Can an oak outlive a mayfly?", "right answer": "Yes"}
    assert [item.groups["order"] for item in (first, second)] == ["yes_first", "no_first"]


def test_training_questions_have_clusters_of_their_own(fixtures: Path) -> None:
    items = YesNo(questions="strategyqa_train", file=str(fixtures / "strategyqa.json")).load().items
    assert items[0].cluster == splits.strategyqa_cluster("strategyqa_train", "a1")


def test_boolq_has_its_passage_as_context_and_leaves_out_long_ones(fixtures: Path) -> None:
    loaded = YesNo(questions="boolq", file=str(fixtures / "boolq.jsonl"), passage_words=10).load()
    assert [item.id for item in loaded.items[::2]] == ["boolq/1/yes_first", "boolq/2/yes_first"]
    assert {item.cluster for item in loaded.items} == {splits.boolq_cluster("Clay")}
    request = loaded.items[0].requests[0]
    assert isinstance(request, Choose)
    assert request.prompt.endswith(
        "Yes or No.\n\nClay is a fine-grained soil.\nQuestion: is clay a kind of soil?\nAnswer:"
    )
    assert any("2 of 3 questions have a passage of at most 10 words." in note.text for note in loaded.notes)
    with pytest.raises(UsageError, match="0 of 3 questions"):
        YesNo(questions="boolq", file=str(fixtures / "boolq.jsonl"), passage_words=1).load()


def test_of_two_rows_about_the_same_persons_one_names_the_right_one(bbq_file: Write, row: Row) -> None:
    rows = []
    for block in range(40):
        for example, (polarity, label) in enumerate((("neg", 2), ("neg", 0), ("nonneg", 2), ("nonneg", 1))):
            condition = "ambig" if label == 2 else "disambig"
            change = {"question_polarity": polarity, "context_condition": condition, "label": label}
            rows.append(row(example_id=4 * block + example, **change))
    items = YesNo(file=bbq_file(rows)).load().items[::2]
    assert len(items) == 80  # ambiguous rows have no yes/no answer
    named = []
    for negative, other in zip(items[::2], items[1::2], strict=True):
        assert negative.facts["truth"] != other.facts["truth"]
        ends = {item.texts["question"].split(" Is the answer ")[1] for item in (negative, other)}
        assert len(ends) == 1  # both questions name the same person
        named.append(ends.pop())
        right = negative if negative.facts["truth"] else other
        assert right.texts["question"].endswith(
            'Is the answer "The grandmother"?' if right is negative else 'Is the answer "The niece"?'
        )
    assert 8 < named.count('"The grandmother"?') < 32  # by the toss of a hash
    assert (items[0].cluster, items[0].block, items[0].stratum) == ("Age/1", "Age/1/0", "Age")


def test_a_model_that_knows_and_does_not_lean_has_ideal_numbers(
    asked: YesNo, respond: Respond, overall: Overall
) -> None:
    items, scores = scored(asked, respond, lambda prompt: 0.999999 if "oak" in prompt or "salt" in prompt else 1e-6)
    ideal = {
        "yes_rate_gap": 0,
        "precision_recall_gap": 0,
        "yes_precision": 100,
        "yes_recall": 100,
        "yes_f1": 100,
        "order_kappa": 1,
        "auc": 1,
        "accuracy": 100,
        "balanced_accuracy": 100,
        "ece_width": 0,
        "ece_mass": 0,
        "negative_confidence": 0.5,
        "answer_mass": 100,
    }
    for name, value in ideal.items():
        assert overall(asked, items, scores, name) == pytest.approx(value, abs=1e-4), name


def test_a_model_that_repeats_the_first_word_has_the_least_agreement(
    asked: YesNo, respond: Respond, overall: Overall
) -> None:
    # Yes to all when Yes stands first and No to all otherwise: half of all answers are Yes, as is right
    items, scores = scored(asked, respond, lambda prompt: 0.9 if " Yes or" in prompt else 0.1)
    assert overall(asked, items, scores, "yes_rate_gap") == pytest.approx(0)
    assert overall(asked, items, scores, "accuracy") == pytest.approx(50)
    assert overall(asked, items, scores, "order_kappa") == 0.0  # constant answers agree by chance only
    assert overall(asked, items, scores, "auc") == pytest.approx(0.5)
    assert overall(asked, items, scores, "ece_width") == pytest.approx(0.4)
    table = ScoreTable.of(items, scores)
    assert list(table["said_yes"]) == [1.0, 0.0] * 4
    assert list(table["no_first"]) == [0.0, 1.0] * 4
    other = table["said_yes_other"]
    assert list(other[::2]) == [0.0] * 4
    assert np.isnan(other[1::2]).all()


def test_values_are_normalised_over_both_words_in_both_forms(asked: YesNo, respond: Respond) -> None:
    item = asked.load().items[1]
    mass = {" Yes": 0.1, " yes": 0.2, " No": 0.15, " no": 0.05}
    score = asked.score(item, respond(item, lambda prompt, option: TextScore((1,), (math.log(mass[option]),))))
    assert score.values["p_yes"] == pytest.approx(0.3 / 0.5)
    assert score.values["answer_mass"] == pytest.approx(0.5)
    assert score.values["said_yes"] == 1.0  # though No is the likelier of the words as given


def test_a_tie_is_half_a_yes_and_extremes_do_not_overflow(asked: YesNo, respond: Respond) -> None:
    item = asked.load().items[0]
    tie = asked.score(item, respond(item, lambda prompt, option: TextScore((1,), (-1.0,))))
    assert (tie.values["said_yes"], tie.values["correct"], tie.values["said_yes_other"]) == (0.5, 0.5, 0.5)
    far = asked.score(
        item, respond(item, lambda prompt, option: TextScore((1,), (-5000.0 if "es" in option else -1.0,)))
    )
    assert far.values["p_yes"] == pytest.approx(0.0)
    lost = asked.score(item, respond(item, lambda prompt, option: TextScore((1,), (-math.inf,))))
    assert lost.status is Status.FAILED


def test_other_words_than_yes_and_no(asked: YesNo) -> None:
    item = asked.model_copy(update={"yes": "True", "no": "false"}).load().items[0]
    request = item.requests[0]
    assert isinstance(request, Choose)
    assert "True or false." in request.prompt
    assert request.options == (" True", " true", " false")


@pytest.mark.parametrize("settings", [{"yes": "No"}, {"yes": "no"}, {"no": " "}, {"yes": ""}, {"no": "yes "}])
def test_words_that_do_not_differ_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"yes_no: setting 'no'.*must differ"):
        configured("yes_no", settings)


def test_rows_that_do_not_fit_are_named(tmp_path: Path, bbq_file: Write) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"qid": "a", "question": "", "answer": 1}, 7]', encoding="utf-8")
    with pytest.raises(MalformedRows, match=r"(?s)item 1, field 'question'.*field 'answer': expected true or false"):
        YesNo(questions="strategyqa", file=str(path)).load()
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="expected a JSON list"):
        YesNo(questions="strategyqa", file=str(path)).load()
    with pytest.raises(MalformedRows, match="field 'passage'"):
        YesNo(questions="boolq", file=bbq_file([{"question": "a?", "title": "b", "answer": True}])).load()


@pytest.mark.parametrize(
    ("questions", "count", "yes"),
    [("strategyqa", 229, 107), ("strategyqa_train", 2_061, 964), ("boolq", 973, 597), ("bbq", 29_246, 14_623)],
)
def test_the_real_questions_and_how_many_have_the_answer_yes(
    questions: str, count: int, yes: int, at_hand: Callable[[str], None]
) -> None:
    at_hand(questions.removesuffix("_train"))
    items: tuple[Item, ...] = configured("yes_no", {"questions": questions}).load().items
    assert len(items) == len({item.id for item in items}) == 2 * count
    assert sum(item.facts["truth"] is True for item in items) == 2 * yes
    benchmark = "bbq" if questions == "bbq" else "yes_no"
    assert {splits.fold(benchmark, cluster) for cluster in {item.cluster for item in items}} == set(splits.FOLDS)


def test_questions_made_of_bbq_lie_in_the_folds_of_bbq(at_hand: Callable[[str], None]) -> None:
    at_hand("bbq")
    benchmark = YesNo()
    kept = in_fold(benchmark, benchmark.load().items, "test")
    assert {item.cluster for item in kept} == {c for c, fold in splits.fixed()["bbq"].folds.items() if fold == "test"}


def test_a_random_scorer_lands_near_chance_on_real_questions(
    at_hand: Callable[[str], None], respond: Respond, overall: Overall
) -> None:
    at_hand("strategyqa")
    benchmark: Benchmark = YesNo(questions="strategyqa_train")
    rng = np.random.default_rng(2)
    items = benchmark.load().items
    scores = [
        benchmark.score(item, respond(item, lambda prompt, option: TextScore((1,), (float(-rng.exponential()),))))
        for item in items
    ]
    spread = 0.5 / len(items) ** 0.5
    assert overall(benchmark, items, scores, "yes_rate") == pytest.approx(50, abs=400 * spread)
    assert overall(benchmark, items, scores, "yes_precision") == pytest.approx(100 * 964 / 2061, abs=600 * spread)
    assert overall(benchmark, items, scores, "auc") == pytest.approx(0.5, abs=6 * spread)
    assert overall(benchmark, items, scores, "accuracy") == pytest.approx(50, abs=400 * spread)


def test_a_run_has_numbers_by_order_and_compares_each_question_once(
    model: Model, bbq_file: Write, row: Row, tmp_path: Path
) -> None:
    disambiguated = {"context_condition": "disambig"}
    rows = [
        row(question_index=str(n // 2), example_id=n, label=n % 2, **disambiguated)
        | {"question_polarity": ("neg", "nonneg")[n % 2]}
        for n in range(24)
    ]
    record = measure(model, [YesNo(file=bbq_file(rows))], draws=100, out=tmp_path / "out")
    found = {(one.metric, one.by.get("order", "")): one for one in record.estimates}
    assert found["yes_rate_gap", ""].n_items == 48
    assert found["order_kappa", ""].n_items == found["yes_rate_gap", "no_first"].n_items == 24
    assert ("order_kappa", "yes_first") not in found
    assert record.environment.chat == "on"
    mean = sum(found["negative_confidence", order].value or 0.0 for order in ORDERS) / 2
    assert found["negative_confidence", ""].value == pytest.approx(mean)
    (summary,) = record.benchmarks
    once = {request for item in YesNo(file=bbq_file(rows)).load().items for request in item.requests}
    assert summary.tokens_asked == model.prepare(list(once), chat=True).asked  # not those of the other order again
