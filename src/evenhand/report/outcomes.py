"""Outcomes of a trial as they are shown: one number with all its arms, and categories by arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evenhand.core.record import Change, Estimate
from evenhand.core.trial import Arm, Effect, Outcome, Trial
from evenhand.report import numbers, panels, words
from evenhand.report.panels import Axis
from evenhand.report.rows import Row
from evenhand.report.visible import one_line


class Moved(StrEnum):
    """What the interval of an effect says."""

    NEARER = "nearer"
    FURTHER = "further"
    LOWER = "lower"
    HIGHER = "higher"
    SAME = "unchanged"
    UNSURE = "cannot tell"
    NONE = "none"


def moved(change: Change, effect: Effect) -> Moved:
    """Nearer to the ideal or further from it; lower or higher where there is no ideal."""
    if effect.value is None:
        return Moved.NONE
    if change.value == 0 and effect.value == 0:
        return Moved.SAME
    if effect.low is None or effect.high is None or effect.low <= 0 <= effect.high:
        return Moved.UNSURE
    if change.ideal is None:
        return Moved.LOWER if effect.high < 0 else Moved.HIGHER
    return Moved.NEARER if effect.high < 0 else Moved.FURTHER


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm in the table and chart of a number."""

    name: str
    role: str
    outcome: Outcome

    @property
    def label(self) -> str:
        """The arm's name on one line."""
        return one_line(self.name)

    @property
    def change(self) -> Change:
        """The change of the number itself."""
        return self.outcome.change

    @property
    def moved(self) -> Moved:
        """What the interval of the effect says."""
        return moved(self.change, self.outcome.effect)

    @property
    def before(self) -> str:
        """The number of the untouched model."""
        return _shown(self.change, self.change.before)

    @property
    def after(self) -> str:
        """The number with this patch."""
        return _shown(self.change, self.change.after)

    @property
    def difference(self) -> str:
        """After minus before, with its sign."""
        return signed(self.change, self.change.value)

    @property
    def interval(self) -> str:
        """The interval of the change."""
        return interval(self.change, self.change.low, self.change.high)

    @property
    def distance(self) -> str:
        """Nearer to the ideal, further from it, or not to be told; and whether it was crossed."""
        return self.moved.value + (", crossed" if self.outcome.crossed else "")

    @property
    def beyond(self) -> str:
        """Effect minus the mean effect of the shams, with its interval; empty for other arms."""
        return "" if self.outcome.beyond_sham is None else f"{self.beyond_value} ({self.beyond_interval})"

    @property
    def beyond_value(self) -> str:
        """The same without the interval."""
        effect = self.outcome.beyond_sham
        return "" if effect is None else signed(self.change, effect.value)

    @property
    def beyond_interval(self) -> str:
        """The interval alone."""
        effect = self.outcome.beyond_sham
        return "" if effect is None else interval(self.change, effect.low, effect.high)

    @property
    def p(self) -> str:
        """Corrected over the primary numbers where it is one of them."""
        effect = self.outcome.effect
        return p_value(effect.p if effect.p_holm is None else effect.p_holm)

    @property
    def reason(self) -> str:
        """Why there is no value or no interval."""
        return one_line(self.change.reason or self.outcome.effect.reason)

    @property
    def row(self) -> Row:
        """The number with this patch; the interval is that of the change, seen from the value before."""
        change = self.change
        low, high = (
            None if end is None or change.before is None else change.before + end for end in (change.low, change.high)
        )
        return Row(self.label, _estimate(change, change.after, low, high))


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of one benchmark over all items, with all arms."""

    benchmark: str
    metric: str
    role: str
    rows: tuple[ArmRow, ...]

    @property
    def change(self) -> Change:
        """The change of the first arm, which tells what all arms share."""
        return self.rows[0].change

    @property
    def words(self) -> words.MetricWords:
        """The words of the metric."""
        return words.metric(one_line(self.metric), self.change.unit)

    @property
    def name(self) -> str:
        """What the number is called."""
        return self.words.name

    @property
    def home(self) -> str:
        """Title of the benchmark."""
        return words.benchmark(one_line(self.benchmark)).title

    @property
    def title(self) -> str:
        """Benchmark and number."""
        return words.number(one_line(self.benchmark), one_line(self.metric), self.change.unit)

    @property
    def unit(self) -> str:
        """The unit, "" if there is none."""
        return one_line(self.change.unit)

    @property
    def before(self) -> str:
        """The number of the untouched model."""
        return _shown(self.change, self.change.before)

    @property
    def ideal(self) -> str:
        """The ideal, `none` where there is none."""
        return "none" if self.change.ideal is None else numbers.short(self.change.ideal)

    @property
    def detectable(self) -> str:
        """The smallest change that this sample finds; empty if that is not known."""
        return "" if self.change.detectable is None else _shown(self.change, self.change.detectable)

    @property
    def level(self) -> str:
        """`95 %`."""
        return numbers.percent(self.change.level)

    @property
    def counts(self) -> str:
        """Items and clusters."""
        return f"{numbers.count(self.change.n_items)} items in {numbers.count(self.change.n_clusters)} clusters"

    @property
    def compared(self) -> bool:
        """Whether any arm is compared with shams."""
        return any(row.outcome.beyond_sham is not None for row in self.rows)

    @property
    def axis(self) -> Axis | None:
        """Values and intervals of all arms, the value before and the ideal; None where nothing can be drawn."""
        change = self.change
        before = Row("before", _estimate(change, change.before, None, None))
        rows = [before, *(row.row for row in self.rows)]
        if change.ideal is not None:
            return panels.axis(rows)
        ends = [end for row in rows for end in (row.estimate.value, row.estimate.low, row.estimate.high)]
        known = [end for end in ends if end is not None]
        return panels.spread(known, self.words.low, self.words.high) if known else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why values or intervals are missing, each reason once with the arms that it is about."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if row.reason:
                found.setdefault(row.reason, []).append(row.label)
        return tuple(f"{', '.join(names)}: {reason}" for reason, names in found.items())


@dataclass(frozen=True, slots=True)
class Cell:
    """A category under one arm."""

    arm: str
    difference: str
    interval: str
    moved: Moved
    role: str = ""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A category under all arms; `level` is the value before as a number."""

    label: str
    before: str
    items: str
    cells: tuple[Cell, ...]
    level: float | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """The categories of one benchmark by arm."""

    title: str
    measure: str
    unit: str
    ideal: str
    arms: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    tally: str
    level: float | None = None


def measures(trial: Trial, role: str) -> tuple[Measure, ...]:
    """The numbers over all items that play this role, in the trial's order."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for one in trial.outcomes:
        if one.role == role and not one.change.by:
            found.setdefault((one.change.benchmark, one.change.metric), []).append(one)
    roles = {arm.name: arm.role for arm in trial.arms}
    return tuple(
        Measure(benchmark, metric, role, tuple(ArmRow(one.arm, roles.get(one.arm, ""), one) for one in group))
        for (benchmark, metric), group in found.items()
    )


def matrices(trial: Trial) -> tuple[Matrix, ...]:
    """Categories by arm, one table for each benchmark."""
    found: dict[tuple[str, str, tuple[str, ...]], list[Outcome]] = {}
    for one in trial.outcomes:
        if one.role == "collateral":
            key = (one.change.benchmark, one.change.metric, tuple(one.change.by))
            found.setdefault(key, []).append(one)
    return tuple(_matrix(key, group, trial.arms) for key, group in found.items())


def _matrix(key: tuple[str, str, tuple[str, ...]], group: Sequence[Outcome], arms: Sequence[Arm]) -> Matrix:
    benchmark, metric, columns = key
    named = tuple(dict.fromkeys(one.arm for one in group))
    by_slice: dict[tuple[str, ...], dict[str, Outcome]] = {}
    for one in group:
        by_slice.setdefault(tuple(one.change.by.values()), {})[one.arm] = one
    first = group[0].change
    roles = {arm.name: arm.role for arm in arms}
    rows = []
    for values, ours in by_slice.items():
        some = next(iter(ours.values())).change
        label = ", ".join(one_line(value) or "(none)" for value in values)
        cells = tuple(_cell(arm, ours.get(arm), roles.get(arm, "")) for arm in named)
        rows.append(MatrixRow(label, _shown(some, some.before), numbers.count(some.n_items), cells, some.before))
    slices = words.slice_title(tuple(map(one_line, columns))).lower()
    return Matrix(
        title=f"{words.benchmark(one_line(benchmark)).title}, {slices}",
        measure=words.metric(one_line(metric), first.unit).name,
        unit=one_line(first.unit),
        ideal="none" if first.ideal is None else numbers.short(first.ideal),
        arms=tuple(map(one_line, named)),
        rows=tuple(rows),
        tally=_tally(group, [arm.name for arm in arms if arm.role == "method"]),
        level=first.ideal,
    )


def _cell(arm: str, one: Outcome | None, role: str) -> Cell:
    if one is None:
        return Cell(one_line(arm), "none", "", Moved.NONE)
    change = one.change
    within = "" if change.low is None or change.high is None else interval(change, change.low, change.high)
    return Cell(one_line(arm), signed(change, change.value), within, moved(change, one.effect), role, change.after)


def _tally(group: Iterable[Outcome], ours: Sequence[str]) -> str:
    """How many categories moved under the method, and how many would by chance."""
    mine = [one for one in group if one.arm in ours]
    decided = [one for one in mine if one.effect.low is not None]
    if len(decided) < 2:
        return ""
    states = [moved(one.change, one.effect) for one in decided]
    chance = sum(1 - one.change.level for one in decided)
    nearer, further = states.count(Moved.NEARER), states.count(Moved.FURTHER)
    if all(one.change.ideal is None for one in decided):
        gone = states.count(Moved.LOWER) + states.count(Moved.HIGHER)
        return f"With the method {gone} of {len(decided)} rows moved; by chance alone about {chance:.2g} would."
    return (
        f"With the method {nearer} of {len(decided)} rows moved towards the ideal and {further} away from it; "
        f"by chance alone about {chance:.2g} would move."
    )


def signed(change: Change, value: float | None) -> str:
    """A difference in the metric's decimals, with a plus sign where it is above 0."""
    text = _shown(change, value)
    return f"+{text}" if value is not None and value > 0 else text


def interval(change: Change, low: float | None, high: float | None) -> str:
    """`−6.9 to −2.7`, or `none`."""
    return "none" if low is None or high is None else f"{signed(change, low)} to {signed(change, high)}"


def p_value(p: float | None) -> str:
    """`0.012`, `<0.001` or `none`."""
    return "none" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _shown(change: Change, value: float | None) -> str:
    if value is None:
        return "none"
    return numbers.number(value, words.metric(one_line(change.metric), change.unit).digits)


def _estimate(change: Change, value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(
        benchmark=change.benchmark,
        metric=change.metric,
        by=change.by,
        value=value,
        low=low if value is not None else None,
        high=high if value is not None else None,
        level=change.level,
        ideal=change.ideal,
        unit=change.unit,
        n_items=change.n_items,
        n_clusters=change.n_clusters,
        method=change.method,
    )


def facts(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as names and values."""
    return {one_line(key): "none" if value is None else one_line(str(value)) for key, value in settings.items()}
