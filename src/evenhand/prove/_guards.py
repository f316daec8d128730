"""Guards: numbers that must not get worse than a limit. Non-inferiority: the interval's bad end must lie inside it.

    perplexity.perplexity<=+5%      may rise by at most 5 % of the untouched model's value
    stereoset.lms>=-1.5             may fall by at most 1.5 points

A guard passes if the bad end of the change's interval is inside the limit, fails if the change itself is outside it,
and is undecided in between: the sample is too small to exclude a loss of that size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core.errors import UnknownName, UsageError
from evenhand.core.record import Change
from evenhand.core.trial import GuardOutcome

_RULE = re.compile(r"\s*(\w+)\.(\w+)\s*(<=|>=)\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*")


@dataclass(frozen=True, slots=True)
class Guard:
    """A limit on the change of one number.

    Attributes:
        rule: as it was written.
        limit: with its sign; per cent of the value before if `relative`, else in the metric's unit.
        upper: whether the change may be at most (or else at least) the limit.
    """

    rule: str
    benchmark: str
    metric: str
    limit: float
    relative: bool
    upper: bool

    @property
    def number(self) -> str:
        """'benchmark.metric'."""
        return f"{self.benchmark}.{self.metric}"

    def allowed(self, before: float) -> float:
        """The largest allowed change in the metric's unit."""
        return self.limit / 100.0 * abs(before) if self.relative else self.limit

    def inside(self, change: float, before: float) -> bool:
        """Whether a change keeps the limit."""
        limit = self.allowed(before)
        return change <= limit if self.upper else change >= limit

    def judge(self, arm: str, change: Change) -> GuardOutcome:
        """Passed, failed or undecided, with the reason."""
        state: Literal["passed", "failed", "undecided"]
        if change.value is None or change.before is None:
            return self._outcome(arm, change, 0.0, "undecided", f"the number is undefined: {change.reason}")
        limit = self.allowed(change.before)
        bad = change.high if self.upper else change.low
        if not self.inside(change.value, change.before):
            state, reason = "failed", f"changed by {change.value:+.3g}, allowed is {limit:+.3g}"
        elif bad is None:
            agree = change.value == 0 and change.reason.endswith("the spread is not known")
            state = "passed" if agree else "undecided"
            reason = "not a single item changed" if agree else f"there is no interval: {change.reason}"
        elif self.inside(bad, change.before):
            state, reason = "passed", ""
        else:
            state, reason = (
                "undecided",
                f"the interval reaches {bad:+.3g}, allowed is {limit:+.3g}: the sample is too small",
            )
        return self._outcome(arm, change, limit, state, reason)

    def _outcome(
        self, arm: str, change: Change, limit: float, state: Literal["passed", "failed", "undecided"], reason: str
    ) -> GuardOutcome:
        return GuardOutcome(
            arm=arm,
            benchmark=self.benchmark,
            metric=self.metric,
            rule=self.rule,
            limit=limit,
            change=change,
            state=state,
            reason=reason,
        )


def parse(rules: Sequence[str]) -> tuple[Guard, ...]:
    """Guards from their rules.

    Raises:
        UsageError: a rule has another form, or a sign that cannot be meant.
    """
    found = []
    for rule in rules:
        match = _RULE.fullmatch(rule)
        if match is None:
            raise UsageError(
                f"--guards {rule!r} is no guard. Expected BENCHMARK.METRIC, <= or >=, and the allowed change, e.g. "
                "'perplexity.perplexity<=+5%' or 'stereoset.lms>=-2'."
            )
        benchmark, metric, comparison, limit, relative = match.groups()
        found.append(Guard(rule.strip(), benchmark, metric, float(limit), bool(relative), comparison == "<="))
    return tuple(found)


def check(guards: Sequence[Guard], metrics: Mapping[str, Sequence[str]]) -> None:
    """Make sure that all guards are about numbers that are measured.

    Raises:
        UnknownName: a benchmark is not measured, or has no such metric.
    """
    for guard in guards:
        if guard.benchmark not in metrics:
            raise UnknownName("measured benchmark", guard.benchmark, metrics)
        if guard.metric not in metrics[guard.benchmark]:
            raise UnknownName(f"metric of {guard.benchmark}", guard.metric, metrics[guard.benchmark])
