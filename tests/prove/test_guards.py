"""Guards: rules, and what passes, fails or stays open."""

from __future__ import annotations

import pytest

from evenhand.core.errors import UnknownName, UsageError
from evenhand.core.record import Change
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate.leace import Leace
from evenhand.mitigate.lqcd import Lqcd
from evenhand.prove import _guards, _tests


def change(before: float, after: float, low: float | None, high: float | None, reason: str = "") -> Change:
    return Change(
        benchmark="perplexity",
        metric="perplexity",
        before=before,
        after=after,
        value=after - before,
        low=low,
        high=high,
        ideal=None,
        towards_ideal=None,
        detectable=None,
        p=None,
        n_items=10,
        n_clusters=10,
        method="paired",
        reason=reason,
    )


@pytest.mark.parametrize(
    ("after", "low", "high", "state"),
    [
        (51.0, 0.5, 1.5, "passed"),  # +2 %, the bad end +3 %
        (52.0, 1.0, 3.0, "undecided"),  # +4 %, the bad end +6 %
        (53.0, 2.0, 4.0, "failed"),  # +6 % itself
        (48.0, -3.0, -1.0, "passed"),  # better than before
        (51.0, None, None, "undecided"),
    ],
)
def test_a_relative_limit_is_a_share_of_the_number_before(
    after: float, low: float | None, high: float | None, state: str
) -> None:
    (guard,) = _guards.parse(["perplexity.perplexity<=+5%"])
    found = guard.judge("leace", change(50.0, after, low, high))
    assert found.state == state
    assert found.limit == pytest.approx(2.5)
    assert (found.reason == "") == (state == "passed")


def test_a_lower_limit_looks_at_the_lower_end() -> None:
    (guard,) = _guards.parse(["stereoset.lms >= -1.5"])
    assert guard.judge("x", change(90.0, 89.5, -1.0, 0.0)).state == "passed"
    assert guard.judge("x", change(90.0, 89.0, -2.0, 0.0)).state == "undecided"
    assert guard.judge("x", change(90.0, 88.0, -3.0, -1.0)).state == "failed"


def test_a_number_that_did_not_move_at_all_passes() -> None:
    (guard,) = _guards.parse(["perplexity.perplexity<=+5%"])
    same = change(50.0, 50.0, None, None, "all 10 clusters agree, so the spread is not known")
    assert guard.judge("x", same).state == "passed"


@pytest.mark.parametrize("rule", ["perplexity<=5", "a.b<5", "a.b==1", "a.b<=five", ""])
def test_what_is_no_rule_is_refused_with_an_example(rule: str) -> None:
    with pytest.raises(UsageError, match=r"perplexity\.perplexity<=\+5%"):
        _guards.parse([rule])


def test_a_guard_on_what_is_not_measured_is_refused() -> None:
    guards = _guards.parse(["perplexty.perplexity<=1"])
    with pytest.raises(UnknownName, match="Did you mean 'perplexity'"):
        _guards.check(guards, {"perplexity": ["perplexity"]})
    with pytest.raises(UnknownName, match="bits_per_byte"):
        _guards.check(_guards.parse(["perplexity.bits<=1"]), {"perplexity": ["bits_per_byte"]})


def test_a_method_has_guards_of_its_own_where_they_are_measured() -> None:
    usual = ["perplexity.perplexity<=+5%", "stereoset.lms>=-2"]
    assert rules(Leace) == usual
    assert rules(Lqcd) == [usual[0], "sycophancy.accuracy>=-2", "yes_no.balanced_accuracy>=-2"]
    assert rules(Lqcd, ["sycophancy"]) == [usual[0], "sycophancy.accuracy>=-2"]
    assert rules(Lqcd, None, ["yes_no.auc>=-1"]) == ["yes_no.auc>=-1"]
    assert rules(Lqcd, None, []) == []


def rules(method: type[Mitigation], test_on: list[str] | None = None, guards: list[str] | None = None) -> list[str]:
    return [guard.rule for guard in _tests.tests_of(method, None, test_on, guards, None, ()).guards]
