"""Estimates put together into panels: the rows that share one table and one axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from evenhand.core.record import Estimate
from evenhand.report import words
from evenhand.report.rows import Row, Standing
from evenhand.report.visible import one_line


@dataclass(frozen=True, slots=True)
class Axis:
    """The stretch of numbers that a panel shows: its ends, round ticks, and the ideal if all rows share one."""

    low: float
    high: float
    ticks: tuple[float, ...]
    ideal: float | None

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows that share a unit and an axis. `axis` is None where no row has both a value and an ideal."""

    title: str
    rows: tuple[Row, ...]
    unit: str
    axis: Axis | None

    @property
    def ideal(self) -> str:
        """The ideal that all rows share, `none` if they share none or have none."""
        ideals = {row.ideal for row in self.rows}
        return ideals.pop() if len(ideals) == 1 else "none"

    @property
    def outside(self) -> tuple[Row, ...]:
        """The rows whose interval leaves out the ideal."""
        return tuple(row for row in self.rows if row.standing in (Standing.ABOVE, Standing.BELOW))

    @property
    def decided(self) -> tuple[Row, ...]:
        """The rows that have an interval and an ideal."""
        return tuple(row for row in self.rows if row.standing in (Standing.ABOVE, Standing.BELOW, Standing.WITHIN))

    @property
    def tally(self) -> str:
        """How many intervals leave out the ideal, and how many would by chance; empty for fewer than two rows."""
        n = len(self.decided)
        if n < 2:
            return ""
        chance = sum(1 - row.estimate.level for row in self.decided)
        return (
            f"The interval leaves out the ideal in {len(self.outside)} of {n} rows; "
            f"by chance alone it would in about {chance:.2g} of them."
        )


def overall(estimates: Sequence[Estimate], benchmark: str) -> tuple[Panel, ...]:
    """The numbers over all items of a benchmark, in the record's order, one panel per scale (unit and range)."""
    rows = _unique(
        Row(words.metric(one_line(e.metric), e.unit).name, e) for e in estimates if _is_overall(e, benchmark)
    )
    scales = dict.fromkeys((row.estimate.unit, row.words.low, row.words.high) for row in rows)
    panels = []
    for unit, low, high in scales:
        shared = tuple(r for r in rows if (r.estimate.unit, r.words.low, r.words.high) == (unit, low, high))
        title = "All items" + (f", in {one_line(unit)}" if unit else "")
        panels.append(_panel(title, shared, one_line(unit)))
    return tuple(panels)


def slices(estimates: Sequence[Estimate], benchmark: str, metric: str) -> tuple[Panel, ...]:
    """The breakdowns of one metric: one panel per set of columns, the largest value first, undefined ones last."""
    found = [e for e in estimates if e.benchmark == benchmark and e.metric == metric and e.by]
    order = list(dict.fromkeys(tuple(e.by) for e in found))
    found.sort(key=lambda e: order.index(tuple(e.by)))
    panels = []
    for columns, group in groupby(found, key=lambda e: tuple(e.by)):
        ranked = sorted(group, key=lambda e: (e.value is None, -(e.value or 0.0)))
        rows = tuple(_unique(Row(_label(e), e) for e in ranked))
        title = words.slice_title(tuple(one_line(column) for column in columns))
        panels.append(_panel(title, rows, one_line(rows[0].estimate.unit)))
    return tuple(panels)


def metrics(estimates: Sequence[Estimate], benchmark: str) -> tuple[str, ...]:
    """Names of a benchmark's metrics in the record's order; the first is the headline."""
    return tuple(dict.fromkeys(e.metric for e in estimates if e.benchmark == benchmark))


def headline(estimates: Sequence[Estimate], benchmark: str) -> Row | None:
    """The first overall estimate of a benchmark."""
    for panel in overall(estimates, benchmark)[:1]:
        return panel.rows[0]
    return None


def _is_overall(estimate: Estimate, benchmark: str) -> bool:
    return estimate.benchmark == benchmark and not estimate.by


def _label(estimate: Estimate) -> str:
    return ", ".join(one_line(value) or "(none)" for value in estimate.by.values())


def _unique(rows: Iterable[Row]) -> list[Row]:
    seen: dict[str, int] = {}
    out = []
    for row in rows:
        seen[row.label] = seen.get(row.label, 0) + 1
        times = seen[row.label]
        out.append(row if times == 1 else Row(f"{row.label} ({times})", row.estimate))
    return out


def _panel(title: str, rows: tuple[Row, ...], unit: str) -> Panel:
    return Panel(title, rows, unit, axis(rows))


def axis(rows: Sequence[Row]) -> Axis | None:
    """All values, interval ends and ideals, rounded outwards; centred on the ideal where it is inside the range."""
    shown = [row for row in rows if row.estimate.value is not None and row.estimate.ideal is not None]
    if not shown:
        return None
    points = [
        point
        for row in shown
        for point in (row.estimate.value, row.estimate.low, row.estimate.high, row.estimate.ideal)
        if point is not None
    ]
    low, high = min(points), max(points)
    ideals = {row.estimate.ideal for row in shown}
    ideal = ideals.pop() if len(ideals) == 1 else None
    floors = [row.words.low for row in shown]
    roofs = [row.words.high for row in shown]
    floor = None if None in floors else min(end for end in floors if end is not None)
    roof = None if None in roofs else max(end for end in roofs if end is not None)
    if ideal is None or ideal in (floor, roof):
        return _rounded(low, high, floor, roof, ideal, origin=0.0)
    reach = max(high - ideal, ideal - low)
    return _rounded(ideal - reach, ideal + reach, floor, roof, ideal, origin=ideal)


def spread(points: Sequence[float], floor: float | None, roof: float | None) -> Axis:
    """An axis with round ends that holds all points and has no ideal."""
    return _rounded(min(points), max(points), floor, roof, None, origin=0.0)


def _rounded(
    low: float, high: float, floor: float | None, roof: float | None, ideal: float | None, origin: float
) -> Axis:
    span = high - low
    if span < 1e-9 * max(1.0, abs(high)):
        span = 0.2 * max(1.0, abs(high))
    step = _step(span * 1.1 / 6)
    first = math.floor((low - span * 0.03 - origin) / step)
    last = math.ceil((high + span * 0.03 - origin) / step)
    ticks = [round(origin + step * i, 12) for i in range(first, last + 1)]
    left, right = ticks[0], ticks[-1]
    if floor is not None:
        left = max(left, min(floor, low))
    if roof is not None:
        right = min(right, max(roof, high))
    return Axis(left, right, tuple(tick for tick in ticks if left <= tick <= right), ideal)


def _step(about: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `about`."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(power * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if power * factor >= about * (1 - 1e-9))
