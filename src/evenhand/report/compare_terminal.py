"""Trials side by side on the terminal."""

from __future__ import annotations

from rich.console import Console

from evenhand.report.comparison import Comparison, Number
from evenhand.report.terminal import Page
from evenhand.report.trial_terminal import rows_table


def render(found: Comparison, console: Console) -> None:
    """Write verdicts and costs, then a table for each number. Fits 80 columns."""
    page = Page(console)
    page.heading(f"{len(found.entries)} trials")
    rows_table(
        page,
        "",
        ("verdict", "guards", "to fit", "numbers", "mergeable"),
        [(e.label, e.verdict, e.guards, e.cost.fit, e.cost.size, e.cost.mergeable) for e in found.entries],
    )
    for number in found.bias:
        _number(page, number, claims=True)
    for number in found.guards:
        _number(page, number, claims=False)
    if found.warnings:
        page.heading("Mind")
        page.points(found.warnings)


def _number(page: Page, number: Number, *, claims: bool) -> None:
    unit = f", in {number.unit}" if number.unit else ""
    page.heading(f"{number.title}{unit}, ideal {number.ideal}")
    shown = [
        (line.label, "not measured", "", "", "")
        if line.row is None
        else (
            line.label + ("" if line.claimed or not claims else " (not claimed)"),
            line.row.after,
            line.row.difference,
            line.row.interval,
            line.row.moved.value,
        )
        for line in number.lines
    ]
    rows_table(page, "", ("after", "change", "interval", "that is"), shown)
    page.points(
        f"{line.label}, beyond its sham: {line.row.beyond}" for line in number.lines if line.row and line.row.beyond
    )
