"""What fitting and measuring found, ready for a page: drawings, and the numbers in a table that folds out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evenhand.core.record import Curve, Finding, Map, Table
from evenhand.report import curves, findings, maps
from evenhand.report.charts import Figure
from evenhand.report.sites_view import Spot
from evenhand.report.visible import one_line


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finding as it is shown.

    Attributes:
        title: one line.
        note: what the reader must know.
        key: mark and name of lines that share a panel.
        figures: a caption ("" = none) with each drawing.
        heads: of the table; the first column names the row.
        rows: its cells.
        folded: the table only repeats the drawing.
    """

    title: str
    note: str
    key: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, Figure], ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool


def drawn(found: Iterable[Finding]) -> tuple[Drawn, ...]:
    """Each finding with its drawing."""
    return tuple(map(_drawn, found))


def _drawn(one: Finding) -> Drawn:
    heads, rows = findings.table(one)
    key: tuple[tuple[str, str], ...] = ()
    figures: tuple[tuple[str, Figure], ...] = ()
    if isinstance(one, Curve):
        figures = tuple(curves.figures(one))
        key = tuple(curves.key(findings.known(one))) if len(figures) == 1 and not one.apart else ()
    elif isinstance(one, Map):
        figures = _map(one)
    return Drawn(one_line(one.title), one_line(one.note), key, figures, heads, rows, not isinstance(one, Table))


def _map(one: Map) -> tuple[tuple[str, Figure], ...]:
    """The map, if it has a cell."""
    if not one.values or not one.values[0]:
        return ()
    cells = spots(one)
    across, down = one_line(one.columns), one_line(one.rows)
    about = (
        f"{one_line(one.title)}: map of {len(cells)} cells, {down} down, {across} across. The table holds the numbers."
    )
    names = (tuple(map(one_line, one.column_names)), tuple(map(one_line, one.row_names)))
    return (("", maps.heat_map(cells, about, (across, down), names)),)


def spots(one: Map) -> list[Spot]:
    """A cell for each value, as a share of the value of the deepest colour."""
    largest = one.largest or max((abs(v) for row in one.values for v in row if v is not None), default=0.0) or 1.0
    return [
        Spot(row, column, None if v is None else max(-1.0, min(1.0, v / largest)), (row, column) in one.chosen)
        for row, values in enumerate(one.values)
        for column, v in enumerate(values)
    ]
