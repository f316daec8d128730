"""What a locator found, on the terminal: how many sites, a map in characters, and the largest of them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from evenhand.core.record import Sites
from evenhand.report import numbers, sites_view
from evenhand.report.sites_view import Group, SiteRow, View
from evenhand.report.terminal import Page
from evenhand.report.visible import one_line

_SHOWN = 12
_DEEP, _DEEP_ASCII = " ·▁▂▃▄▅▆▇█", " .:-=+*%@#"


def render(found: Sites, console: Console) -> None:
    """Write what was found to the console.

    Fits 80 columns; writes ASCII only where the console's encoding is not a Unicode one.
    """
    page, view = Page(console), sites_view.view(found)
    unit = f", in {one_line(found.unit)}" if found.unit else ""
    page.heading(
        f"{one_line(found.locator)} on {one_line(found.model.name)}: {numbers.count(found.n_items)} items{unit}"
    )
    page.line(view.headline)
    page.line(view.meaning)
    for group in view.groups:
        if group.by_unit:
            _map(page, group)
    _top(page, view)
    page.line(f"Compared with: {one_line(found.null)}")
    page.line(f"Corrected by: {one_line(found.correction)}")
    if found.notes:
        page.heading("Notes")
        page.points(map(one_line, found.notes))


def _map(page: Page, group: Group) -> None:
    """Layers from top to bottom, units from left to right: one character each, deeper for further from the null."""
    spots = {(spot.layer, spot.unit): spot for spot in sites_view.spots(group)}
    columns = 1 + max(unit for _, unit in spots)
    if columns > page.console.width - 8:
        return
    wide = 2 * columns <= page.console.width - 8
    deep = _DEEP_ASCII if page.console.options.ascii_only else _DEEP
    page.heading(f"{group.title.capitalize()}: distance from the null; layers down, heads across")
    for layer in sorted({layer for layer, _ in spots}):
        cells = []
        for unit in range(columns):
            spot = spots.get((layer, unit))
            share = 0.0 if spot is None or spot.share is None else abs(spot.share)
            mark = deep[min(len(deep) - 1, round(share * (len(deep) - 1)))]
            cells.append(mark + ("*" if spot is not None and spot.found else " ") * wide)
        page.console.print(page.text(f"{layer:>4}  {''.join(cells).rstrip()}"), highlight=False)
    if wide and any(row.found for row in group.rows):
        page.line("* beyond chance after correction")


def _top(page: Page, view: View) -> None:
    """The sites that were found, or the largest ones if none was."""
    rows = [row for row in view.top if row.found][:_SHOWN] or list(view.top[:_SHOWN])
    if not rows:
        return
    page.heading("Found" if view.found else "The largest values, none of them beyond chance")
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(page.text("site"), overflow="fold")
    for head in ("value", "95 % interval", "null", "p", "corrected"):
        table.add_column(page.text(head), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(page.text, _cells(row)))
    page.console.print(table, highlight=False)
    more = len(view.found) - len(rows)
    if view.found and more > 0:
        page.line(f"... and {numbers.count(more)} more, in sites.json.")


def _cells(row: SiteRow) -> tuple[str, ...]:
    return row.site, row.value, row.interval, row.null, row.p, row.p_corrected
