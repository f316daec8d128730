"""Gates: conditions on published numbers that decide the exit code, for use in CI."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evenhand.core.errors import UnknownName, UsageError
from evenhand.core.record import Record
from evenhand.core.trial import Trial, Verdict

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FORM = re.compile(rf"\s*(\w+)\.(\w+)\s*(<=|>=|<|>)\s*({_NUMBER})\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """`benchmark.metric<=number`, about the overall value."""

    benchmark: str
    metric: str
    sign: str
    bound: float

    def failure(self, record: Record) -> str:
        """Why the gate does not hold, "" if it does; a number that is undefined or was not measured fails."""
        for number in record.estimates:
            if (number.benchmark, number.metric, dict(number.by)) == (self.benchmark, self.metric, {}):
                return self._judged(number.value, number.reason)
        return f"{self.benchmark}.{self.metric} was not measured"

    def failure_with(self, trial: Trial) -> str:
        """The same about the model with each patch of the trial's method."""
        ours = [arm.name for arm in trial.arms if arm.role == "method"]
        found = [
            one
            for one in trial.outcomes
            if one.arm in ours
            and (one.change.benchmark, one.change.metric, dict(one.change.by)) == (self.benchmark, self.metric, {})
        ]
        if not found:
            return f"{self.benchmark}.{self.metric} was not measured"
        failures = [
            f"{said} ({one.arm})" for one in found if (said := self._judged(one.change.after, one.change.reason))
        ]
        return "; ".join(failures)

    def _judged(self, value: float | None, reason: str) -> str:
        named = f"{self.benchmark}.{self.metric}"
        if value is None:
            return f"{named} is undefined: {reason}"
        holds = _COMPARE[self.sign](value, self.bound)
        return "" if holds else f"{named} is {value:.10g}, the gate asks for {self.sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class VerdictGate:
    """The trial must have this verdict."""

    verdict: Verdict

    def failure_with(self, trial: Trial) -> str:
        """Why it does not hold, "" if it does."""
        found = trial.judgement.verdict
        return "" if found == self.verdict else f"the verdict is {found.value}, the gate asks for {self.verdict.value}"


def check(gates: Sequence[Gate], metrics: Mapping[str, Sequence[str]]) -> None:
    """See that the gates are about numbers that the run will have; `metrics` are those of each benchmark.

    Raises:
        UnknownName: a benchmark that is not measured, or a metric that it does not have.
    """
    for gate in gates:
        if gate.benchmark not in metrics:
            raise UnknownName("benchmark in this run", gate.benchmark, metrics)
        if gate.metric not in metrics[gate.benchmark]:
            raise UnknownName(f"metric of {gate.benchmark}", gate.metric, metrics[gate.benchmark])


def parse_for_trial(gates: Sequence[str] | None) -> list[Gate | VerdictGate]:
    """Gates of a trial: verdicts, and conditions on numbers.

    Raises:
        UsageError: a gate is neither.
    """
    out: list[Gate | VerdictGate] = []
    for text in gates or ():
        if text.strip() in set(Verdict):
            out.append(VerdictGate(Verdict(text.strip())))
        elif _FORM.fullmatch(text):
            out += parse([text])
        else:
            raise UsageError(
                f"--gate {text!r} is neither a verdict ({', '.join(Verdict)}) nor of the form "
                "benchmark.metric<=number, e.g. 'stereoset.ss<=55'."
            )
    return out


def parse(gates: Sequence[str] | None) -> list[Gate]:
    """Gates from their text.

    Raises:
        UsageError: a gate is not of the form `benchmark.metric<=number`.
    """
    out = []
    for text in gates or ():
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"--gate {text!r} is not of the form benchmark.metric<=number, e.g. 'stereoset.ss<=55'.")
        out.append(Gate(match[1], match[2], match[3], float(match[4])))
    return out
