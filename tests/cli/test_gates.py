"""Gates: their form, their comparison, and numbers that are missing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.report import trials

from evenhand.cli import _gates
from evenhand.core.errors import UsageError
from evenhand.core.record import Estimate, Record
from evenhand.core.trial import Verdict


def record(*estimates: Estimate) -> Record:
    return Record.model_construct(estimates=estimates)


def number(value: float | None, **changed: Any) -> Estimate:
    given = {"benchmark": "stereoset", "metric": "ss", "value": value, "low": None, "high": None, "ideal": 50.0}
    return Estimate.model_validate({**given, "n_items": 1, "n_clusters": 1, "method": "none", **changed})


@pytest.mark.parametrize(
    ("gate", "holds"),
    [
        ("stereoset.ss<=55", True),
        ("stereoset.ss<55", False),
        ("stereoset.ss>=55", True),
        ("stereoset.ss>55", False),
        (" stereoset.ss  <=  +55.0 ", True),
        ("stereoset.ss>-1e2", True),
        ("stereoset.ss<.55e2", False),
    ],
)
def test_a_gate_compares_as_it_reads(gate: str, holds: bool) -> None:
    (one,) = _gates.parse([gate])
    assert (one.failure(record(number(55.0))) == "") is holds


def test_a_gate_is_about_the_number_over_all_items() -> None:
    (one,) = _gates.parse(["stereoset.ss<=55"])
    slices = [number(90.0, by={"domain": "race"}), number(50.0), number(90.0, metric="lms")]
    assert one.failure(record(*slices)) == ""


def test_a_failing_gate_says_the_number_and_the_bound() -> None:
    (one,) = _gates.parse(["stereoset.ss<=55"])
    assert one.failure(record(number(61.237))) == "stereoset.ss is 61.237, the gate asks for <= 55"


def test_a_value_a_hair_beyond_the_bound_is_not_shown_as_the_bound() -> None:
    (one,) = _gates.parse(["stereoset.ss<=55"])
    assert one.failure(record(number(55.0000001))) == "stereoset.ss is 55.0000001, the gate asks for <= 55"


def test_an_undefined_number_fails_with_its_reason() -> None:
    (one,) = _gates.parse(["stereoset.ss<=55"])
    assert one.failure(record(number(None, reason="no item"))) == "stereoset.ss is undefined: no item"


def test_a_number_that_was_not_measured_fails() -> None:
    (one,) = _gates.parse(["bbq.bbq_unknown_rate<=55"])
    assert one.failure(record(number(55.0))) == "bbq.bbq_unknown_rate was not measured"


@pytest.mark.parametrize("gate", ["", "ss<=5", "a.b", "a.b=5", "a.b==5", "a.b<=", "a.b<=x", "a.b<=inf", "a.b<=5 or 6"])
def test_what_is_no_gate_is_refused_with_an_example(gate: str) -> None:
    with pytest.raises(UsageError, match=r"stereoset\.ss<=55"):
        _gates.parse([gate])


def test_no_gates_are_no_gates() -> None:
    assert _gates.parse(None) == []


def test_a_gate_of_a_trial_is_a_verdict_or_a_number_with_the_patch() -> None:
    found = trials.trial()
    verdict, below, above = _gates.parse_for_trial(["improved", "stereoset.ss<=58", "stereoset.ss>58"])
    assert (verdict.failure_with(found), below.failure_with(found)) == ("", "")
    assert above.failure_with(found) == "stereoset.ss is 57.3, the gate asks for > 58 (leace)"
    assert verdict.failure_with(trials.trial(Verdict.HARMED)) == "the verdict is harmed, the gate asks for improved"


def test_a_gate_of_a_trial_must_hold_for_every_seed() -> None:
    (one,) = _gates.parse_for_trial(["stereoset.ss<=58"])
    said = one.failure_with(trials.seeds(Verdict.IMPROVED, Verdict.IMPROVED))
    assert said == "stereoset.ss is 58.3, the gate asks for <= 58 (leace (seed 1))"


def test_a_gate_of_a_trial_on_what_was_not_measured_fails() -> None:
    (one,) = _gates.parse_for_trial(["bbq.bbq_unknown_rate<=1"])
    assert one.failure_with(trials.trial()) == "bbq.bbq_unknown_rate was not measured"


def test_a_gate_of_a_trial_that_is_neither_names_the_verdicts() -> None:
    with pytest.raises(UsageError, match=r"neither a verdict \(improved, no_effect"):
        _gates.parse_for_trial(["better"])
