"""What a page says about each benchmark, put together from a record and its items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evenhand.core.record import BenchmarkRun, ItemRow, Record, RunNote
from evenhand.report import charts, panels, telling, words
from evenhand.report.panels import Panel
from evenhand.report.rows import Row
from evenhand.report.visible import one_line

NOTES = {
    "not measured": "Not measured",
    "excluded": "Left out",
    "convention": "Conventions",
    "warning": "Warnings about the data",
}
"""Kind of note -> heading."""

LONG = 15
"""Panels with more rows are folded."""


@dataclass(frozen=True, slots=True)
class Block:
    """A panel with its chart, None where there is nothing to compare with."""

    panel: Panel
    figure: charts.Figure | None

    @property
    def long(self) -> bool:
        """Whether it has so many rows that the page shows it folded."""
        return len(self.panel.rows) > LONG


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The breakdowns of one metric."""

    row: Row
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark: its headline, all its numbers, its breakdowns and its most telling items."""

    run: BenchmarkRun
    title: str
    about: str
    headline: Row | None
    overall: tuple[Block, ...]
    slices: tuple[Block, ...]
    others: tuple[Breakdown, ...]
    telling: tuple[telling.Group, ...]
    unit: str
    warned: bool

    @property
    def beside(self) -> tuple[Row, ...]:
        """Overall numbers whose ideal is an end of their range: abilities, to be read beside the headline."""
        ends = ((row, (row.words.low, row.words.high)) for row in self.rows if row is not self.headline)
        return tuple(row for row, end in ends if row.estimate.ideal is not None and row.estimate.ideal in end)

    @property
    def counts(self) -> str:
        """Items, clusters and what was left out, in words."""
        return words.counts(self.run)

    @property
    def marked(self) -> bool:
        """Whether a word of the telling items is marked."""
        lines = (line for group in self.telling for item in group.items for line in item.lines)
        return any(differs for line in lines for _, differs in line.runs)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All overall rows."""
        return tuple(row for block in self.overall for row in block.panel.rows)


def sections(record: Record, items: Iterable[ItemRow]) -> tuple[Section, ...]:
    """One section per benchmark of the record, in its order."""
    by_benchmark: dict[str, list[ItemRow]] = {}
    for item in items:
        by_benchmark.setdefault(item.benchmark, []).append(item)
    return tuple(_section(record, run, by_benchmark.get(run.name, [])) for run in record.benchmarks)


def notes(record: Record, kind: str) -> tuple[tuple[str, str], ...]:
    """Benchmark title and text of the notes of one kind; the same text twice is shown once."""
    found = [note for note in record.notes if note.kind == kind]
    return tuple(dict.fromkeys((_title(note), one_line(note.text)) for note in found))


def _title(note: RunNote) -> str:
    return words.benchmark(one_line(note.benchmark)).title


def _section(record: Record, run: BenchmarkRun, items: list[ItemRow]) -> Section:
    named = words.benchmark(one_line(run.name))
    overall = panels.overall(record.estimates, run.name)
    headline, *others = panels.metrics(record.estimates, run.name) or ("",)
    rows = {row.estimate.metric: row for panel in overall for row in panel.rows}
    return Section(
        run=run,
        title=named.title,
        about=named.about,
        headline=panels.headline(record.estimates, run.name),
        overall=tuple(_block(named.title, panel) for panel in overall),
        slices=tuple(_block(named.title, panel) for panel in panels.slices(record.estimates, run.name, headline)),
        others=tuple(
            Breakdown(rows[metric], found)
            for metric in others
            if metric in rows and (found := panels.slices(record.estimates, run.name, metric))
        ),
        telling=telling.groups(run.name, items),
        unit=named.unit,
        warned=any(note.kind == "warning" and note.benchmark == run.name for note in record.notes),
    )


def _block(title: str, panel: Panel) -> Block:
    about = (
        f"{title}, {panel.title.lower()}: interval chart of {len(panel.rows)} rows. The table holds the same numbers."
    )
    return Block(panel, charts.figure(panel, about))
