"""What fitting and measuring found, in words and as tables: curves, maps and tables of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from evenhand.core.record import Curve, Finding, Map, Series, Table
from evenhand.report import numbers
from evenhand.report.visible import one_line

_ROWS = 40
_TOLD = 4

Rows = tuple[tuple[str, ...], ...]


def told(found: Iterable[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    """Title of each finding and what it says in a few short lines."""
    return [(one_line(one.title), _lines(one)) for one in found]


def table(one: Finding) -> tuple[tuple[str, ...], Rows]:
    """Heads and rows with the numbers written out; the first column names the row."""
    match one:
        case Curve():
            return (one_line(one.x), *(one_line(series.name) for series in one.series)), _curve_rows(one)
        case Map():
            return _map_table(one)
        case Table():
            return tuple(map(one_line, one.columns)), tuple(tuple(map(one_line, row)) for row in one.rows)
        case _:
            assert_never(one)


def known(curve: Curve) -> list[Series]:
    """The lines that have a value."""
    return [one for one in curve.series if any(y is not None for y in one.y)]


def _lines(one: Finding) -> tuple[str, ...]:
    match one:
        case Curve():
            return _curve_told(one)
        case Map():
            return _map_told(one)
        case Table():
            rows = tuple(tuple(map(one_line, row)) for row in one.rows)
            more = (f"and {len(rows) - _TOLD} more",) if len(rows) > _TOLD else ()
            return (*(", ".join(filter(None, row)) for row in rows[:_TOLD]), *more)
        case _:
            assert_never(one)


def _curve_rows(curve: Curve) -> Rows:
    """A row for each x; of a long curve some rows, evenly spaced, with the first and the last."""
    places = sorted({x for one in curve.series for x in one.x})
    if len(places) > _ROWS:
        places = [places[round(n * (len(places) - 1) / (_ROWS - 1))] for n in range(_ROWS)]
    held = [dict(zip(one.x, one.y, strict=True)) for one in curve.series]
    digits = [_digits([y for y in one.values() if y is not None]) for one in held]
    return tuple(
        (numbers.short(x), *(_shown(one.get(x), n) for one, n in zip(held, digits, strict=True))) for x in places
    )


def _curve_told(curve: Curve) -> tuple[str, ...]:
    """Each line at what was chosen, or from its first to its last value."""
    told = []
    for one in curve.series:
        points = [(x, y) for x, y in zip(one.x, one.y, strict=True) if y is not None]
        if not points:
            continue
        digits = _digits([y for _, y in points])
        chosen = [f"{_shown(y, digits)} at {numbers.short(x)}" for x, y in points if x in curve.chosen]
        ends = f"from {_shown(points[0][1], digits)} to {_shown(points[-1][1], digits)}"
        told.append(f"{one_line(one.name)}: {', '.join(chosen) or ends}")
    return tuple(told)


def _map_table(one: Map) -> tuple[tuple[str, ...], Rows]:
    width = len(one.values[0]) if one.values else 0
    digits = _digits([v for row in one.values for v in row if v is not None])
    heads = (f"{one_line(one.rows)} / {one_line(one.columns)}", *(_column(one, n) for n in range(width)))
    rows = tuple((_row(one, n), *(_shown(v, digits) for v in values)) for n, values in enumerate(one.values))
    return heads, rows


def _map_told(one: Map) -> tuple[str, ...]:
    """The framed cells, or the largest."""
    digits = _digits([v for row in one.values for v in row if v is not None])
    cells = [(r, c, v) for r, row in enumerate(one.values) for c, v in enumerate(row) if v is not None]
    kept = [cell for cell in cells if cell[:2] in one.chosen] or sorted(cells, key=lambda cell: -abs(cell[2]))[:_TOLD]
    unit = f" {one_line(one.unit)}" if one.unit else ""
    down, across = one_line(one.rows), one_line(one.columns)
    shown = [
        f"{down} {_row(one, r)}, {across} {_column(one, c)}: {_shown(v, digits)}{unit}" for r, c, v in kept[:_TOLD]
    ]
    return (*shown, *((f"and {len(kept) - _TOLD} more",) if len(kept) > _TOLD else ()))


def _row(one: Map, number: int) -> str:
    return one_line(one.row_names[number]) if one.row_names else str(number)


def _column(one: Map, number: int) -> str:
    return one_line(one.column_names[number]) if one.column_names else str(number)


def _digits(values: Sequence[float]) -> int:
    """Decimals that tell the values apart."""
    largest = max(map(abs, values), default=1.0)
    return 0 if largest >= 1000 else 1 if largest >= 100 else 2 if largest >= 1 else 3 if largest >= 0.1 else 4


def _shown(value: float | None, digits: int) -> str:
    return "none" if value is None else numbers.number(value, digits)
