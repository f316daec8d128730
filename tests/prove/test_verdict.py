"""Verdicts, each from the smallest set of outcomes that gives it."""

from __future__ import annotations

import numpy as np
import pytest

from evenhand.core.record import Change
from evenhand.core.trial import Effect, GuardOutcome, Outcome, Verdict
from evenhand.prove._verdict import corrected, judge


def outcome(
    value: float | None,
    low: float | None,
    high: float | None,
    p: float | None,
    *,
    beyond: tuple[float, float] | None = None,
    detectable: float | None = 2.0,
    before: float = 65.0,
    metric: str = "ss",
) -> Outcome:
    change = Change(
        benchmark="stereoset",
        metric=metric,
        before=before,
        after=None if value is None else before + value,
        value=value,
        low=low,
        high=high,
        ideal=50.0,
        towards_ideal=None,
        detectable=detectable,
        p=p,
        n_items=100,
        n_clusters=30,
        method="paired",
    )
    effect = Effect(value=value, low=low, high=high, p=p, detectable=detectable)
    against = None if beyond is None else Effect(value=sum(beyond) / 2, low=beyond[0], high=beyond[1])
    return Outcome(arm="m", role="primary", change=change, effect=effect, beyond_sham=against)


def guard(state: str) -> GuardOutcome:
    change = outcome(0.0, -1.0, 1.0, 1.0).change
    return GuardOutcome.model_validate(
        {
            "arm": "m",
            "benchmark": "stereoset",
            "metric": "lms",
            "rule": "stereoset.lms>=-2",
            "limit": -2.0,
            "change": change,
            "state": state,
        }
    )


GOOD = outcome(-5.0, -7.0, -3.0, 0.001, beyond=(-6.0, -1.0))
WEAK = outcome(-5.0, -7.0, -3.0, 0.001, beyond=(-3.0, 1.0))


def verdict(outcomes: list[Outcome], guards: list[GuardOutcome] | None = None, no_sham: str = "") -> Verdict:
    return judge(corrected(outcomes), guards or [], seed=None, level=0.95, no_sham=no_sham).verdict


def test_nearer_beyond_the_sham_and_guarded_is_improved() -> None:
    assert verdict([GOOD], [guard("passed")]) is Verdict.IMPROVED


def test_what_a_sham_does_too_is_not_beyond_it() -> None:
    assert verdict([WEAK]) is Verdict.NOT_BEYOND_SHAM


def test_guards_are_not_forgiven() -> None:
    assert verdict([GOOD], [guard("passed"), guard("failed")]) is Verdict.GUARD_FAILED
    assert verdict([GOOD], [guard("undecided")]) is Verdict.UNDECIDED


def test_one_number_that_got_worse_outweighs_one_that_got_better() -> None:
    assert verdict([GOOD, outcome(4.0, 2.0, 6.0, 0.001, metric="icat")]) is Verdict.HARMED


def test_a_number_that_got_worse_without_an_interval_is_not_overlooked() -> None:
    """Kappa falls from 1 to .14 and is undefined in some draws: nobody knows that this is chance."""
    fallen = outcome(0.86, None, None, None, metric="icat")
    assert verdict([GOOD, fallen]) is Verdict.UNDECIDED
    told = judge(corrected([GOOD, fallen]), [], seed=None, level=0.95, no_sham="").why
    assert "stereoset.icat moved away from it, or was lost, and has no interval" in told
    assert verdict([GOOD, outcome(-0.86, None, None, None, metric="icat")]) is Verdict.IMPROVED
    assert verdict([GOOD, outcome(None, None, None, None, metric="icat")]) is Verdict.UNDECIDED


def test_without_a_sham_nothing_is_improved_unless_the_method_says_why_there_is_none() -> None:
    bare = outcome(-5.0, -7.0, -3.0, 0.001)
    assert verdict([bare]) is Verdict.UNDECIDED
    assert verdict([bare], no_sham="it is a constant") is Verdict.IMPROVED


def test_no_change_in_a_sample_that_would_have_seen_one_is_no_effect() -> None:
    assert verdict([outcome(-0.5, -2.0, 1.0, 0.6, detectable=2.0)]) is Verdict.NO_EFFECT


def test_no_change_in_a_sample_that_is_too_small_is_undecided() -> None:
    assert verdict([outcome(-0.5, -12.0, 11.0, 0.6, detectable=16.0)]) is Verdict.UNDECIDED
    assert verdict([outcome(None, None, None, None)]) is Verdict.UNDECIDED


def test_two_primary_numbers_share_the_error_rate() -> None:
    edge = outcome(-5.0, -9.0, -1.0, 0.03, beyond=(-6.0, -1.0))
    assert verdict([edge]) is Verdict.IMPROVED
    assert verdict([edge, outcome(0.0, -1.0, 1.0, 0.9, metric="icat")]) is Verdict.NO_EFFECT


def test_an_interval_that_does_not_agree_with_the_test_is_told() -> None:
    edge = outcome(-5.0, -9.0, -1.0, 0.03, beyond=(-6.0, -1.0))
    pair = [edge, outcome(0.0, -1.0, 1.0, 0.9, metric="icat")]
    told = judge(corrected(pair), [], seed=0, level=0.95, no_sham="").why
    assert "Intervals alone leave out 0 for stereoset.ss (p = 0.06)" in told
    assert "corrected for 2 numbers" in told
    none = [outcome(-0.5, -2.0, 1.0, 0.6, detectable=2.0)]
    assert "Intervals" not in judge(corrected(none), [], seed=0, level=0.95, no_sham="").why


@pytest.mark.parametrize("seed", range(3))
def test_holm_never_makes_a_p_value_smaller(seed: int) -> None:
    p = np.random.default_rng(seed).random(4)
    found = corrected([outcome(-1.0, -2.0, 0.0, float(x)) for x in p])
    assert all(one.effect.p_holm is not None and one.effect.p_holm >= x for one, x in zip(found, p, strict=True))
