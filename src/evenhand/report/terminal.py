"""A record on the terminal: tables with bars, one plain sentence per headline, and the warnings."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evenhand.core.record import BenchmarkRun, Record
from evenhand.report import numbers, panels, words
from evenhand.report.bar import ASCII, UNICODE, Marks, bar, scale
from evenhand.report.panels import Panel
from evenhand.report.visible import one_line

_LABEL, _BAR_LEAST, _BAR_MOST = 22, 11, 41


def render(record: Record, console: Console) -> None:
    """Write tables, sentences and warnings to the console.

    Fits 80 columns; writes ASCII only where the console's encoding is not a Unicode one.
    """
    page = Page(console)
    page.heading(f"{one_line(record.model.name)}: {_what(record)}")
    for run in record.benchmarks:
        _benchmark(page, record, run)
    page.line(page.marks.legend)
    for kind, title in (("warning", "Warnings"), ("not measured", "Not measured")):
        notes = [note for note in record.notes if note.kind == kind]
        if notes:
            page.heading(title)
            page.points(f"{words.benchmark(one_line(note.benchmark)).title}: {one_line(note.text)}" for note in notes)


class Page:
    """A console with the marks that it can show; no text is ever read as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.marks: Marks = ASCII if console.options.ascii_only else UNICODE

    def text(self, content: str, style: str = "") -> Text:
        """The content in what the console's encoding can hold; other characters are written out as escapes."""
        if self.console.options.ascii_only:
            content = content.replace(numbers.MINUS, "-").encode("ascii", "backslashreplace").decode("ascii")
        return Text(content, style=style)

    def heading(self, content: str) -> None:
        """A bold line with a blank line before it."""
        self.console.print()
        self.console.print(self.text(content, "bold"), highlight=False)

    def line(self, content: str) -> None:
        """A line, wrapped between words."""
        self.console.print(self.text(content), highlight=False)

    def points(self, contents: Iterable[str]) -> None:
        """A list with hanging indents."""
        for content in contents:
            grid = Table.grid(padding=(0, 1))
            grid.add_row(self.text("-"), self.text(content))
            self.console.print(Padding(grid, (0, 0, 0, 2)), highlight=False)

    def panel(self, panel: Panel) -> None:
        """One table: label, value, interval, ideal, items and clusters, bar."""
        level = numbers.percent(panel.rows[0].estimate.level)
        columns = [
            [row.bare_value for row in panel.rows],
            [row.interval for row in panel.rows],
            [row.ideal for row in panel.rows],
            [f"{row.estimate.n_items}/{row.estimate.n_clusters}" for row in panel.rows],
        ]
        heads = ["value", f"{level} interval", "ideal", "n/clusters"]
        widths = [max(len(head), *map(len, cells)) for head, cells in zip(heads, columns, strict=True)]
        room = self.console.width - _LABEL - sum(widths) - len(widths) - 1
        width = min(_BAR_MOST, room)
        axis = panel.axis if width >= _BAR_LEAST else None
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        table.add_column(self.text(panel.title), width=_LABEL, overflow="fold")
        for head, least in zip(heads, widths, strict=True):
            table.add_column(self.text(head), justify="right", width=least, overflow="fold")
        table.add_column(self.text(scale(axis, width) if axis else ""), no_wrap=True)
        for row, *cells in zip(panel.rows, *columns, strict=True):
            picture = bar(row, axis, width, self.marks) if axis else ""
            table.add_row(self.text(row.label), *map(self.text, cells), Text(picture))
        self.console.print(table, highlight=False)
        self.points(f"{row.label}: {row.reason}" for row in panel.rows if row.reason)


def _benchmark(page: Page, record: Record, run: BenchmarkRun) -> None:
    page.heading(f"{words.benchmark(one_line(run.name)).title}: {words.counts(run)}")
    names = panels.metrics(record.estimates, run.name)
    for panel in panels.overall(record.estimates, run.name):
        page.panel(panel)
    headline = panels.headline(record.estimates, run.name)
    if headline is None:
        page.line("The record holds no number over all items of this benchmark.")
        return
    page.line(headline.sentence)
    page.console.print()
    breakdowns = panels.slices(record.estimates, run.name, names[0])
    for panel in breakdowns[:1]:
        page.line(f"{headline.label}:")
        page.panel(panel)
        page.line(panel.tally)
        if len(breakdowns) > 1:
            more = ", ".join(other.title.lower() for other in breakdowns[1:])
            page.line(f"The report also shows it {more}.")


def _what(record: Record) -> str:
    suite = f"suite {one_line(record.suite)} version {record.suite_version}, " if record.suite else ""
    patch = "" if record.patch is None else f"with the patch {one_line(record.patch.get('method', ''))}, "
    return f"{suite}{patch}{numbers.duration(record.seconds)} of measuring on {one_line(record.environment.device)}"
