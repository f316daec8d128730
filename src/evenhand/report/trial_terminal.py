"""A trial on the terminal: the verdict, the primary numbers with bars, transfer, collateral, guards, costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evenhand.core.trial import Trial
from evenhand.report import findings, trial_view
from evenhand.report.bar import bar, scale
from evenhand.report.outcomes import Matrix, Measure, Moved
from evenhand.report.terminal import Page
from evenhand.report.trial_view import View
from evenhand.report.visible import one_line

_LABEL, _BAR_LEAST, _BAR_MOST = 22, 11, 31


def render(trial: Trial, console: Console, folder: Path) -> None:
    """Write the trial to the console; `folder` is where it lies, for the lines that use the patch.

    Fits 80 columns; writes ASCII only where the console's encoding is not a Unicode one.
    """
    page, view = Page(console), trial_view.view(trial)
    page.heading(f"{view.headline}: {view.verdict.title.lower()}")
    page.line(one_line(trial.judgement.why))
    page.line(view.verdict.means)
    page.points(view.statements)
    page.points(f"seed {seed}: {verdict.lower()}. {why}" for seed, verdict, why in view.by_seed)
    if view.primary:
        page.heading("Primary numbers")
    for measure, sentence in zip(view.primary, view.sentences, strict=True):
        _measure(page, measure)
        page.line(sentence)
        console.print()
    _transfer(page, view)
    _collateral(page, view.matrices)
    _guards(page, view)
    _found(page, view)
    _costs(page, view)
    if trial.notes:
        page.heading("Notes")
        page.points(map(one_line, trial.notes))
    page.heading("Use it")
    for line in trial_view.attach(trial, str(folder))[::2]:
        if line:
            console.print(page.text(line), soft_wrap=True, highlight=False)


def _measure(page: Page, measure: Measure) -> None:
    """Arms of one number: value, change with interval, and a bar."""
    rows = measure.rows
    columns = [[row.after for row in rows], [row.difference for row in rows], [row.interval for row in rows]]
    heads = ["after", "change", f"{measure.level} interval"]
    widths = [max(len(head), *map(len, cells)) for head, cells in zip(heads, columns, strict=True)]
    width = min(_BAR_MOST, page.console.width - _LABEL - sum(widths) - len(widths) - 1)
    axis = measure.axis if width >= _BAR_LEAST else None
    unit = f", in {measure.unit}" if measure.unit else ""
    page.line(f"{measure.title}{unit}; before {measure.before}, ideal {measure.ideal}; {measure.counts}")
    table = _table(page, "", [*zip(heads, widths, strict=True)])
    table.add_column(page.text(scale(axis, width) if axis else ""), no_wrap=True)
    for number, row in enumerate(rows):
        picture = bar(row.row, axis, width, page.marks) if axis else ""
        table.add_row(page.text(row.label), *(page.text(cells[number]) for cells in columns), Text(picture))
    page.console.print(table, highlight=False)
    page.points(measure.reasons)
    if measure.compared:
        page.points(f"{row.label}, beyond the sham: {row.beyond}" for row in rows if row.beyond)


def _transfer(page: Page, view: View) -> None:
    """The first number of each other benchmark, with the method's first arm."""
    first: dict[str, Measure] = {}
    for measure in view.transfer:
        first.setdefault(measure.benchmark, measure)
    if not first:
        return
    page.heading("Other benchmarks, with the method")
    rows = []
    for measure in first.values():
        row = next((row for row in measure.rows if row.role == "method"), measure.rows[0])
        rows.append((measure.title, measure.before, row.difference, row.interval, row.moved.value))
    rows_table(page, "", ("before", "change", f"{next(iter(first.values())).level} interval", "that is"), rows)


def _collateral(page: Page, matrices: Sequence[Matrix]) -> None:
    """The categories that moved; how many there are, and how many would by chance."""
    if not matrices:
        return
    page.heading("Categories, with the method")
    for matrix in matrices:
        page.line(f"{matrix.title}: {matrix.tally or f'{len(matrix.rows)} rows'}")
        page.points(
            f"{row.label}: {cell.difference} ({cell.interval}), {cell.moved.value}"
            for row in matrix.rows
            for cell in row.cells[:1]
            if cell.moved in (Moved.NEARER, Moved.FURTHER, Moved.LOWER, Moved.HIGHER)
        )


def _guards(page: Page, view: View) -> None:
    if not view.guards:
        return
    page.heading("Guards")
    rows = [(row.name, row.change, row.interval, row.limit, row.outcome.state) for row in view.guards]
    rows_table(page, "", ("change", "interval", "allowed", ""), rows)
    page.points(f"{row.name}: {one_line(row.outcome.reason)}" for row in view.guards if row.outcome.reason)


def _found(page: Page, view: View) -> None:
    """What fitting the first seed found, and what measuring did, in a few lines; the report draws all of it."""
    fitted = view.ours[0].findings if view.ours else ()
    for heading, found in (("What fitting found", fitted), ("What measuring found", view.trial.findings)):
        if found:
            page.heading(heading)
        for title, told in findings.told(found):
            page.line(f"{title}:")
            page.points(told)


def _costs(page: Page, view: View) -> None:
    page.heading("What it cost")
    rows = [(cost.name, cost.fit, cost.size, cost.mergeable) for cost in view.costs]
    rows_table(page, "", ("to fit", "numbers", "mergeable"), rows)


def rows_table(page: Page, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: a label that may wrap, and cells that may not."""
    widths = [max(len(head), *(len(row[i + 1]) for row in rows)) for i, head in enumerate(heads)]
    room = page.console.width - sum(widths) - len(widths) - 1
    table = _table(page, title, [*zip(heads, widths, strict=True)], max(12, min(40, room)))
    for label, *cells in rows:
        table.add_row(page.text(label), *map(page.text, cells))
    page.console.print(table, highlight=False)


def _table(page: Page, title: str, columns: Iterable[tuple[str, int]], label: int = _LABEL) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(page.text(title), width=label, overflow="fold")
    for head, width in columns:
        table.add_column(page.text(head), justify="right", width=width, overflow="fold")
    return table
