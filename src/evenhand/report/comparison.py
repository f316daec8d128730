"""Trials side by side: what each did to the same numbers, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.record import Change
from evenhand.core.trial import Outcome, Trial
from evenhand.report import numbers, words
from evenhand.report.outcomes import ArmRow
from evenhand.report.trial_view import Cost
from evenhand.report.verdicts import VERDICTS
from evenhand.report.visible import one_line


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial of a comparison."""

    label: str
    trial: Trial

    @property
    def verdict(self) -> str:
        """Name of the verdict."""
        return VERDICTS[self.trial.judgement.verdict].title

    @property
    def cost(self) -> Cost:
        """What the method's first arm cost."""
        return Cost(next(arm for arm in self.trial.arms if arm.role == "method"))

    @property
    def arms(self) -> str:
        """Seeds, shams and rivals, counted."""
        roles = [arm.role for arm in self.trial.arms]
        return f"{roles.count('method')} / {roles.count('sham')} / {roles.count('rival')}"

    @property
    def guards(self) -> str:
        """How many guards passed, failed and are undecided."""
        states = [one.state for one in self.trial.guard_outcomes]
        said = [f"{states.count(s)} {s}" for s in ("passed", "failed", "undecided") if s in states]
        return ", ".join(said) or "none set"

    def outcome(self, number: str) -> Outcome | None:
        """What the method did to 'benchmark.metric' over all items: over all seeds if that is judged."""
        ours = [arm.name for arm in self.trial.arms if arm.role == "method"]
        found = [*self.trial.judgement.primary, *(one for one in self.trial.outcomes if one.arm in ours)]
        return next((one for one in found if _number(one.change) == number and not one.change.by), None)


@dataclass(frozen=True, slots=True)
class Line:
    """One trial in the table of a number; `row` is None where it was not measured."""

    label: str
    row: ArmRow | None
    claimed: bool


@dataclass(frozen=True, slots=True)
class Number:
    """One number in all trials."""

    number: str
    title: str
    unit: str
    ideal: str
    lines: tuple[Line, ...]

    @property
    def compared(self) -> bool:
        """Whether any trial compares it with shams."""
        return any(line.row is not None and line.row.beyond for line in self.lines)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Trials with the numbers that at least one of them is about."""

    entries: tuple[Entry, ...]
    bias: tuple[Number, ...]
    guards: tuple[Number, ...]
    warnings: tuple[str, ...]


def of(trials: Sequence[tuple[Path, Trial]]) -> Comparison:
    """Put trials side by side; each is called after its folder."""
    entries = tuple(Entry(label, trial) for label, (_, trial) in zip(_labels(trials), trials, strict=True))
    primary = dict.fromkeys(number for entry in entries for number in entry.trial.primary)
    guarded = dict.fromkeys(f"{one.benchmark}.{one.metric}" for entry in entries for one in entry.trial.guard_outcomes)
    return Comparison(
        entries,
        tuple(_across(entries, number) for number in primary),
        tuple(_across(entries, number) for number in guarded if number not in primary),
        tuple(_warnings(entries)),
    )


def plain(found: Comparison) -> dict[str, object]:
    """The comparison as plain data."""

    def line(one: Line) -> dict[str, object]:
        outcome = None if one.row is None else one.row.outcome.model_dump(mode="json")
        return {"trial": one.label, "claimed": one.claimed, "outcome": outcome}

    return {
        "trials": [
            {
                "name": entry.label,
                "method": entry.trial.method,
                "settings": dict(entry.trial.settings),
                "model": entry.trial.model.fingerprint,
                "verdict": entry.trial.judgement.verdict.value,
                "why": entry.trial.judgement.why,
                "seconds_fit": entry.cost.arm.seconds_fit,
                "tensors": entry.cost.arm.tensors,
                "mergeable": entry.cost.arm.mergeable,
            }
            for entry in found.entries
        ],
        "bias": {number.number: [line(one) for one in number.lines] for number in found.bias},
        "guards": {number.number: [line(one) for one in number.lines] for number in found.guards},
        "warnings": list(found.warnings),
    }


def _across(entries: Sequence[Entry], number: str) -> Number:
    found = [(entry, entry.outcome(number)) for entry in entries]
    change = next((one.change for _, one in found if one is not None), None)
    benchmark, _, metric = number.partition(".")
    unit = change.unit if change is not None else ""
    named = words.number(one_line(benchmark), one_line(metric), unit)
    ideal = "none"
    lines = []
    for entry, one in found:
        row = None if one is None else ArmRow(entry.label, "method", one)
        lines.append(Line(entry.label, row, number in entry.trial.primary))
    if change is not None and change.ideal is not None:
        ideal = numbers.short(change.ideal)
    return Number(number, named, one_line(unit), ideal, tuple(lines))


def _labels(trials: Sequence[tuple[Path, Trial]]) -> list[str]:
    """Names of the folders, with as much of their paths as tells them apart."""
    places = [folder.absolute().parts for folder, _ in trials]
    for depth in range(1, max(map(len, places)) + 1):
        names = ["/".join(parts[-depth:]) for parts in places]
        if len(set(names)) == len(names):
            return [one_line(name) for name in names]
    return [f"{one_line(parts[-1])} ({number})" for number, parts in enumerate(places, start=1)]


def _warnings(entries: Sequence[Entry]) -> list[str]:
    """What keeps the trials from being compared like with like."""
    out = []
    models = {entry.trial.model.fingerprint: one_line(entry.trial.model.name) for entry in entries}
    if len(models) > 1:
        said = ", ".join(f"{name} ({fingerprint})" for fingerprint, name in models.items())
        out.append(f"The trials are about different models: {said}.")
    names = dict.fromkeys(name for entry in entries for name in entry.trial.tested_on)
    for name in names:
        ways = {str(dict(entry.trial.tested_on[name])) for entry in entries if name in entry.trial.tested_on}
        if len(ways) > 1:
            title = words.benchmark(one_line(name)).title
            out.append(f"{title} was measured on other items or with other settings in some of them.")
    if len({entry.trial.seed for entry in entries}) > 1:
        out.append("The samples were drawn with different seeds.")
    lacking = [entry.label for entry in entries if not any(arm.role == "sham" for arm in entry.trial.arms)]
    if lacking:
        out.append(f"No sham was measured in {', '.join(lacking)}.")
    return out


def _number(change: Change) -> str:
    return f"{change.benchmark}.{change.metric}"
