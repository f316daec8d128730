"""A method that reads the inputs of the test gets them without answers, is not refused, and the trial says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import evenhand as eh
from evenhand.core.errors import Leakage, UsageError
from evenhand.core.items import Item
from evenhand.core.trial import Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.mitigate.batch_calibration import BatchCalibration
from evenhand.mitigate.domain_context import DomainContext
from evenhand.model import Model, Patch
from evenhand.prove import _trial


@pytest.fixture
def questions(tmp_path: Path) -> Benchmark:
    """Forty-eight questions that share no runs of words."""
    rows = [
        {"qid": f"q{number}", "question": " ".join(f"{31 * number + step}" for step in range(16)), "answer": True}
        for number in range(48)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    return configured("yes_no", {"questions": "strategyqa", "file": str(tmp_path / "rows.json")})


def run(model: Model, questions: Benchmark, out: Path | None, method: Any, **changed: Any) -> Trial:
    given: dict[str, Any] = {"fit_on": questions, "test_on": [questions], "guards": [], "rivals": [], "draws": 200}
    return eh.trial(model, method, out=out, **{**given, **changed})


def test_it_reads_the_items_that_are_measured_without_their_answers(
    model: Model, questions: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Sequence[Item]] = []
    plain = _trial.fit

    def watched(model: Model, method: Any, items: Sequence[Item], **given: Any) -> Patch:
        read.append(items)
        return plain(model, method, items, **given)

    monkeypatch.setattr(_trial, "fit", watched)
    found = run(model, questions, tmp_path / "trial", BatchCalibration(inputs="test"), rivals=["logit_offset"])
    assert found.transductive
    assert "fold 'test'" in found.fitted_on
    ours, sham, rival = read
    measured = {
        json.loads(line)["id"]
        for line in (tmp_path / "trial" / found.before / "items.jsonl").read_text("utf-8").splitlines()
    }
    assert {item.id for item in ours} == {item.id for item in sham} == measured
    assert not {item.id for item in rival} & measured
    assert all(not item.facts and "right answer" not in item.texts for item in ours)


def test_by_default_it_reads_other_items(model: Model, questions: Benchmark) -> None:
    found = run(model, questions, None, DomainContext())
    assert not found.transductive
    assert "fold 'fit'" in found.fitted_on


def test_what_is_not_set_to_read_the_test_is_refused_there(model: Model, questions: Benchmark) -> None:
    tested = eh.items(questions, fold="test").items
    patch = eh.fit(model, DomainContext(), tested, benchmark="yes_no", fold="test")
    with pytest.raises(Leakage):
        eh.prove(model, [patch], test_on=[questions], guards=[])


def test_nothing_can_be_chosen_before_the_test(model: Model, questions: Benchmark) -> None:
    with pytest.raises(UsageError, match="read the inputs of the test"):
        run(model, questions, None, DomainContext(inputs="test"), grid=True)
