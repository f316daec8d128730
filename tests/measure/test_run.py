"""The runner on a tiny real model: numbers, folders, resuming, notes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import tiny, tiny_data

from evenhand.core.errors import (
    MalformedRows,
    UnknownName,
    UnsupportedRequest,
    UsageError,
)
from evenhand.core.record import Record
from evenhand.core.requests import Compare
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.model import Model

Measured = Callable[..., Record]


def overall(record: Record, benchmark: str, metric: str) -> float | None:
    (found,) = (e.value for e in record.estimates if (e.benchmark, e.metric, dict(e.by)) == (benchmark, metric, {}))
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").splitlines()]


def test_the_rate_of_sentence_pairs_is_that_of_plain_forward_passes(
    finished: Record, model: Model, tmp_path: Path
) -> None:
    differences = []
    for row in rows(tmp_path / "out")[:12]:
        more, less = (
            tiny.total(model.hf, [1, *model.tokenizer(row["texts"][key], add_special_tokens=False)["input_ids"]], 1)
            for key in ("stereotype", "anti-stereotype")
        )
        assert row["values"]["difference"] == pytest.approx(more - less, abs=1e-3)
        differences.append(more - less)
    assert 0 < sum(d > 0 for d in differences) < 12, "a rate that could be anything"
    assert overall(finished, "pairs", "stereotype_rate") == pytest.approx(100 * sum(d > 0 for d in differences) / 12)
    assert overall(finished, "pairs", "log_ratio") == pytest.approx(sum(differences) / 12, abs=1e-3)


@pytest.mark.usefixtures("finished")
def test_a_choice_among_answers_is_that_of_plain_forward_passes(model: Model, tmp_path: Path) -> None:
    unknown = []
    for row in rows(tmp_path / "out")[28:]:
        texts = row["texts"]
        prompt = model.tokenizer(f"{texts['context']}\n\nQ: {texts['question']}\nA:")["input_ids"]
        means = []
        for number in (1, 2, 3):
            answer = model.tokenizer(f" {texts[f'answer {number}']}", add_special_tokens=False)["input_ids"]
            means.append(tiny.total(model.hf, [*prompt, *answer], len(prompt)) / len(answer))
        assert row["values"]["unknown"] == float(means[2] == max(means))
        unknown.append(means[2] == max(means))
    assert len(unknown) == 24


def test_the_folder_holds_the_record_and_every_item_in_order_with_its_origin(finished: Record, tmp_path: Path) -> None:
    found = rows(tmp_path / "out")
    assert [one["benchmark"] for one in found] == ["pairs"] * 12 + ["stereoset"] * 16 + ["bbq"] * 24
    assert [one["origin"] for one in found[:12]] == [f"file/pairs.csv:{number}" for number in range(1, 13)]
    assert [one.n_items for one in finished.benchmarks] == [12, 16, 24]
    assert [one.n_available for one in finished.benchmarks] == [12, 16, 24]
    assert sum(one.tokens for one in finished.benchmarks) == finished.tokens
    assert all(one.tokens < one.tokens_asked for one in finished.benchmarks)


def test_numbers_do_not_depend_on_whether_there_is_a_folder(finished: Record, run: Measured) -> None:
    assert run(out=None).estimates == finished.estimates


def test_progress_goes_from_nothing_to_all_tokens_of_each_benchmark(run: Measured) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    record = run(progress=lambda name, done, total: seen.setdefault(name, []).append((done, total)))
    assert list(seen) == ["pairs", "stereoset", "bbq"]
    for one in record.benchmarks:
        done = [done for done, _ in seen[one.name]]
        assert done == sorted(set(done))
        assert (done[0], done[-1]) == (0, one.tokens)
        assert {total for _, total in seen[one.name]} == {one.tokens}


@pytest.mark.usefixtures("finished")
def test_a_sample_is_stated_and_is_part_of_the_full_run(run: Measured, tmp_path: Path) -> None:
    full = {(row["benchmark"], row["id"]): row["values"] for row in rows(tmp_path / "out")}
    record = run(limit=8, out=tmp_path / "sampled")
    assert [one.n_items for one in record.benchmarks] == [8, 8, 8]
    for row in rows(tmp_path / "sampled"):
        whole = full[row["benchmark"], row["id"]]
        assert row["values"] == {name: pytest.approx(value, abs=2e-5) for name, value in whole.items()}
    texts = [note.text for note in record.notes if note.kind == "not measured"]
    assert texts[1:] == [f"8 of {n} items were measured: a seeded sample of all strata." for n in (16, 24)]


def test_estimates_carry_the_seed_level_and_draws_of_the_run(run: Measured, benchmarks: list[Benchmark]) -> None:
    record = run(seed=7, level=0.9, draws=150, benchmarks=benchmarks[:2])
    assert {(number.seed, number.level) for number in record.estimates} == {(7, 0.9)}
    assert {number.draws for number in record.estimates} <= {0, 150}
    assert record.environment.seed == 7


def test_a_number_without_value_is_null_with_a_reason_and_no_file_holds_nan(finished: Record, tmp_path: Path) -> None:
    assert all((number.value is None) <= bool(number.reason) for number in finished.estimates)
    assert any(number.low is None and number.reason for number in finished.estimates)
    for name in ("record.json", "items.jsonl"):
        assert "NaN" not in (tmp_path / "out" / name).read_text("utf-8")


def test_an_item_without_a_finite_score_is_counted_and_left_out(
    finished: Record,
    run: Measured,
    model: Model,
    benchmarks: list[Benchmark],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model.prepare([Compare(("a",))])
    assert model._choice is not None
    road = type(model._choice.road)
    score = road.score

    def broken(self: Any, pack: Any, texts: Sequence[Any]) -> list[list[float]]:
        scored = score(self, pack, texts)
        return [[math.nan] * len(v) if number == 0 else v for number, v in zip(pack.texts, scored, strict=True)]

    monkeypatch.setattr(road, "score", broken)
    record = run(benchmarks=benchmarks[:1], out=tmp_path / "broken")
    assert [row["id"] for row in rows(tmp_path / "broken") if row["status"] == "failed"] == ["p0", "p5"], (
        "the two pairs that share the text"
    )
    assert record.benchmarks[0].n_unscored == 2
    assert next(number.n_unscored for number in record.estimates if not number.by) == 2
    assert overall(record, "pairs", "log_ratio") != overall(finished, "pairs", "log_ratio")
    (note,) = (note.text for note in record.notes if note.kind == "excluded")
    assert note.startswith("2 of 12 items were not scored")


def test_texts_that_are_longer_than_the_context_are_stated(run: Measured, own: list[Benchmark], tmp_path: Path) -> None:
    content = (tmp_path / "bbq.jsonl").read_text("utf-8")
    (tmp_path / "bbq.jsonl").write_text(content.replace('"ans2": "Unknown"', '"ans2": "' + "so " * 200 + '"'), "utf-8")
    record = run(benchmarks=own[2:], limit=8)
    warnings = [note.text for note in record.notes if note.kind == "warning"]
    assert any("texts are longer than the model's context" in text for text in warnings)


def test_answers_that_the_tokenizer_merges_with_the_prompt_are_scored_right_and_stated(
    run: Measured, model: Model, own: list[Benchmark], tmp_path: Path
) -> None:
    """The tokenizer merges "." and " ", so the context's last token is no token of context and sentence together."""
    out = tmp_path / "merged"
    record = run(benchmarks=[own[1]], out=out)
    (note,) = (note.text for note in record.notes if "merges characters" in note.text)
    assert note.startswith("In 8 requests the tokenizer merges characters across prompt and answer")
    for row in rows(out)[8:]:
        contexts = [f"{row['texts']['context']} {row['texts'][key]}" for key in ("stereotype", "anti-stereotype")]
        ids = [model.tokenizer(text)["input_ids"] for text in contexts]
        start = len(model.tokenizer(row["texts"]["context"])["input_ids"]) - 1
        assert ids[0][start] != model.tokenizer(row["texts"]["context"])["input_ids"][-1], "the border is merged"
        means = [tiny.total(model.hf, one, start) / (len(one) - start) for one in ids]
        assert row["values"]["difference"] == pytest.approx(means[0] - means[1], abs=1e-3)


def test_a_model_of_another_kind_is_noted_for_what_it_cannot_answer(run: Measured) -> None:
    masked = Model.wrap(tiny.encoder("masked"), tiny.tokenizer(encoder=True), name="bert")
    record = run(model=masked)
    assert [one.name for one in record.benchmarks] == ["pairs"]
    assert [(note.benchmark, note.kind) for note in record.notes if "needs a model" in note.text] == [
        ("stereoset", "not measured"),
        ("bbq", "not measured"),
    ]


def test_a_model_that_can_answer_nothing_is_one_clear_error(run: Measured) -> None:
    bare = Model.wrap(tiny.encoder("encoder"), tiny.tokenizer(encoder=True), name="bert")
    with pytest.raises(UnsupportedRequest, match="pairs needs a model of kind decoder or masked; bert is of kind enc"):
        run(model=bare)


@pytest.mark.parametrize(("chat", "used"), [("auto", "on"), ("on", "on"), ("off", "off")])
def test_the_chat_format_is_used_where_the_benchmark_is_a_conversation(
    run: Measured, data: Path, chat: str, used: str
) -> None:
    letters = configured("bbq_letters", {"file": str(data / "bbq.jsonl")})
    record = run(benchmarks=[letters], chat=chat, limit=8)
    assert record.environment.chat == used
    assert record.benchmarks[0].settings["chat"] is (used == "on")


def test_two_files_of_the_same_name_are_both_named_as_data(run: Measured, data: Path, tmp_path: Path) -> None:
    files = [tiny_data.bbq(tmp_path / "bbq.jsonl", 1), data / "bbq.jsonl"]
    names = ("bbq", "bbq_lm_eval")
    chosen = [configured(name, {"file": str(file)}) for name, file in zip(names, files, strict=True)]
    assert len({use.sha256 for use in run(benchmarks=chosen).data}) == 2


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"benchmarks": []}, UsageError, "No benchmark was named"),
        ({"benchmarks": "pears"}, UnknownName, "no suite 'pears'"),
        ({"benchmarks": "pairs"}, UsageError, "is a benchmark, not a suite"),
        ({"benchmarks": ["pears"]}, UnknownName, "Did you mean 'pairs'"),
        ({"benchmarks": ["pairs"]}, UsageError, "needs the setting 'file'"),
        ({"seed": -1}, UsageError, "seed=-1"),
        ({"draws": 0}, UsageError, "draws=0"),
        ({"level": 1.0}, UsageError, "level=1.0"),
        ({"level": math.nan}, UsageError, "level=nan"),
        ({"limit": 0}, UsageError, "at least 1"),
        ({"limit": 1}, UsageError, "less than one block of bbq"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    run: Measured, tmp_path: Path, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        run(**given)
    assert not (tmp_path / "out").exists()


def test_a_benchmark_named_twice_is_refused(run: Measured, benchmarks: list[Benchmark]) -> None:
    with pytest.raises(UsageError, match="pairs is asked for twice"):
        run(benchmarks=[benchmarks[0], benchmarks[0]])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tusk": "both"}, "no setting of stereoset 'tusk'. Did you mean 'task'"),
        ({"task": "none"}, "setting 'task': input should be 'intrasentence', 'intersentence' or 'both', found 'none'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        configured("stereoset", settings)


def test_malformed_rows_leave_no_folder(run: Measured, own: list[Benchmark], tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("more,less\nall cats,\n,all dogs\n", "utf-8")
    with pytest.raises(MalformedRows, match=r"line 2, field 'less'.*\n.*line 3, field 'more'"):
        run(benchmarks=own[:1])
    assert not (tmp_path / "out").exists()
