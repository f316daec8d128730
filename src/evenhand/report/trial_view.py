"""What a page and a terminal say about a trial: verdict first, then numbers, guards, costs, examples."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from evenhand.core.trial import Arm, Example, GuardOutcome, Trial
from evenhand.report import numbers, outcomes, telling, words
from evenhand.report.outcomes import Matrix, Measure
from evenhand.report.telling import Line
from evenhand.report.verdicts import ARMS, VERDICTS, VerdictWords
from evenhand.report.visible import one_line


@dataclass(frozen=True, slots=True)
class GuardRow:
    """A guard as it is shown."""

    outcome: GuardOutcome

    @property
    def name(self) -> str:
        """Benchmark and number."""
        one = self.outcome
        return words.number(one_line(one.benchmark), one_line(one.metric), one.change.unit)

    @property
    def before(self) -> str:
        """The untouched model's number."""
        return _plain(self.outcome, self.outcome.change.before)

    @property
    def after(self) -> str:
        """With the patch."""
        return _plain(self.outcome, self.outcome.change.after)

    @property
    def change(self) -> str:
        """After minus before."""
        return outcomes.signed(self.outcome.change, self.outcome.change.value)

    @property
    def interval(self) -> str:
        """The interval of the change."""
        return outcomes.interval(self.outcome.change, self.outcome.change.low, self.outcome.change.high)

    @property
    def limit(self) -> str:
        """The largest allowed change."""
        return outcomes.signed(self.outcome.change, self.outcome.limit)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one arm cost."""

    arm: Arm

    @property
    def name(self) -> str:
        """The arm's name on one line."""
        return one_line(self.arm.name)

    @property
    def role(self) -> str:
        """Method, sham or rival."""
        return ARMS[self.arm.role]

    @property
    def fit(self) -> str:
        """Time to fit."""
        return numbers.duration(self.arm.seconds_fit) if self.arm.seconds_fit >= 1 else "below 1 s"

    @property
    def size(self) -> str:
        """Numbers in the patch."""
        return numbers.count(self.arm.tensors)

    @property
    def mergeable(self) -> str:
        """Whether it can become part of the weights."""
        return "yes" if self.arm.mergeable else "no"


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as it is shown: texts with differences marked, and its first values before and after."""

    home: str
    id: str
    lines: tuple[Line, ...]
    values: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class View:
    """A trial, ready to be shown."""

    trial: Trial
    primary: tuple[Measure, ...]
    transfer: tuple[Measure, ...]
    other: tuple[Measure, ...]
    matrices: tuple[Matrix, ...]
    guards: tuple[GuardRow, ...]
    costs: tuple[Cost, ...]
    examples: tuple[Shown, ...]

    @property
    def verdict(self) -> VerdictWords:
        """Name and meaning of the verdict."""
        return VERDICTS[self.trial.judgement.verdict]

    @property
    def by_seed(self) -> tuple[tuple[str, str, str], ...]:
        """Seed, verdict and reason of each seed."""
        return tuple((str(one.seed), VERDICTS[one.verdict].title, one_line(one.why)) for one in self.trial.by_seed)

    @property
    def ours(self) -> tuple[Arm, ...]:
        """The arms of the method."""
        return tuple(arm for arm in self.trial.arms if arm.role == "method")

    @property
    def shams(self) -> tuple[Arm, ...]:
        """The arms that are shams."""
        return tuple(arm for arm in self.trial.arms if arm.role == "sham")

    @property
    def statements(self) -> tuple[str, ...]:
        """What must be said plainly beside the numbers."""
        trial = self.trial
        said = []
        if not self.shams:
            why = one_line(trial.no_sham)
            said.append(
                f"There is no sham: {why}"
                if why
                else "No sham was measured, so nothing here tells the claimed mechanism from what any change of this "
                "size does."
            )
        if len({one.verdict for one in trial.by_seed}) > 1:
            said.append("The seeds do not agree; see their verdicts one by one.")
        if trial.transductive:
            said.append("The method reads the inputs of the test (without their answers), which others do not.")
        if not self.guards:
            said.append("No guard was set: what it cost elsewhere is not limited by a rule.")
        small = [m for m in self.primary if m.change.n_clusters < 30]
        if small:
            names = ", ".join(f"{m.home} ({m.change.n_clusters} clusters)" for m in small)
            said.append(f"Small samples: {names}.")
        return tuple(said)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The primary numbers of the judgement in words."""
        return tuple(_sentence(self.trial, measure) for measure in self.primary)

    @property
    def headline(self) -> str:
        """Method and model."""
        return f"{one_line(self.trial.method)} on {one_line(self.trial.model.name)}"

    @property
    def fitted_on(self) -> str:
        """What it was fitted on, in words."""
        return one_line(self.trial.fitted_on) or "nothing; it needs no data"

    @property
    def tested_on(self) -> tuple[tuple[str, str], ...]:
        """Benchmark, and its items, fold and settings in words."""
        return tuple((_home(name), _tested(facts)) for name, facts in self.trial.tested_on.items())

    @property
    def settings(self) -> dict[str, str]:
        """The method's settings."""
        return outcomes.facts(self.trial.settings)


def view(trial: Trial) -> View:
    """A trial with everything that is shown of it."""
    return View(
        trial=trial,
        primary=outcomes.measures(trial, "primary"),
        transfer=outcomes.measures(trial, "transfer"),
        other=outcomes.measures(trial, "other"),
        matrices=outcomes.matrices(trial),
        guards=tuple(map(GuardRow, trial.guard_outcomes)),
        costs=tuple(map(Cost, trial.arms)),
        examples=tuple(_shown(example) for example in trial.examples),
    )


def attach(trial: Trial, folder: str) -> tuple[str, str, str]:
    """Lines that use the patch: on the command line, in Python, and as a merged folder ("" if it cannot be merged)."""
    ours = next((arm for arm in trial.arms if arm.role == "method"), None)
    place = f"{folder}/{ours.patch}" if ours is not None and ours.patch else _given(trial.command)
    name = trial.model.name
    model, folder = shlex.quote(name), shlex.quote(place)
    shell = f"evenhand audit {model} --with {folder}"
    python = (
        "import evenhand as eh\n\n"
        f"model = eh.Model.load({name!r})\n"
        f"with model.install(eh.Patch.load({place!r})):\n"
        "    ..."
    )
    merged = f"evenhand export {model} --with {folder} --to models/{trial.method}"
    return shell, python, merged if ours is not None and ours.mergeable else ""


def _given(command: str) -> str:
    """The folder that a command line names after `--with`, where the trial did not write the patch itself."""
    parts = shlex.split(command) if command.count("'") % 2 == 0 and command.count('"') % 2 == 0 else []
    after = [right for left, right in pairwise(parts) if left == "--with"]
    return after[0] if after else "PATCH"


def _sentence(trial: Trial, measure: Measure) -> str:
    """What the method did to a number, what its sham did, and what could have been found."""
    judged = {(one.change.benchmark, one.change.metric): one for one in trial.judgement.primary}
    one = judged.get((measure.benchmark, measure.metric), measure.rows[0].outcome)
    row = outcomes.ArmRow(one.arm, "method", one)
    named = measure.title
    if one.change.value is None:
        return f"{named}: no change can be given, because {row.reason or 'there is no value'}."
    unit = f" {measure.unit}" if measure.unit else ""
    within = f"no interval: {row.reason}" if one.change.low is None else f"{measure.level} interval {row.interval}"
    parts = [f"{named} went from {measure.before} to {row.after}{unit}, a change of {row.difference} ({within})."]
    match row.moved:
        case outcomes.Moved.NEARER:
            parts.append(f"That is nearer to the ideal of {measure.ideal}{', on its other side' * one.crossed}.")
        case outcomes.Moved.FURTHER:
            parts.append(f"That is further from the ideal of {measure.ideal}{', on its other side' * one.crossed}.")
        case outcomes.Moved.UNSURE if one.change.low is None:
            parts.append("Without an interval nothing can be said about it.")
        case outcomes.Moved.UNSURE:
            parts.append("The interval includes no change: these items cannot tell.")
        case outcomes.Moved.SAME:
            parts.append("Nothing changed.")
        case _:
            pass
    shams = [other for other in measure.rows if other.role == "sham"]
    if len(shams) == 1:
        parts.append(f"The sham changed it by {shams[0].difference}.")
    elif shams:
        parts.append(f"The {len(shams)} shams changed it by {', '.join(other.difference for other in shams)}.")
    if measure.detectable:
        parts.append(f"A change of {measure.detectable} would be found in 4 of 5 such samples.")
    return " ".join(parts)


def _shown(example: Example) -> Shown:
    values = [
        (one_line(name).replace("_", " "), _value(value), _value(example.after.get(name)))
        for name, value in example.before.items()
        if value != example.after.get(name)
    ]
    return Shown(
        _home(example.benchmark), one_line(example.id), telling.lines(example.texts, example.before), tuple(values[:3])
    )


def _home(name: str) -> str:
    return words.benchmark(one_line(name)).title


def _tested(facts: object) -> str:
    if not isinstance(facts, dict):
        return one_line(str(facts))
    parts = []
    if isinstance(facts.get("n_items"), int):
        parts.append(f"{numbers.count(facts['n_items'])} items")
    parts.append(f"fold {one_line(str(facts['fold']))}" if facts.get("fold") else "all folds")
    settings = facts.get("settings")
    given = settings.items() if isinstance(settings, dict) else ()
    parts += [f"{one_line(str(key))} {one_line(str(value))}" for key, value in given if value is not None]
    return ", ".join(parts)


def _plain(guard: GuardOutcome, value: float | None) -> str:
    if value is None:
        return "none"
    return numbers.number(value, words.metric(one_line(guard.metric), guard.change.unit).digits)


def _value(value: float | None) -> str:
    return "none" if value is None else numbers.number(value, 2)


def bias_numbers(trial: Trial) -> Sequence[str]:
    """'benchmark.metric' of the numbers that a grid tried to better."""
    return tuple(dict.fromkeys(name for point in trial.grid for name in point.bias))
