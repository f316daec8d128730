"""`evenhand report`: render the records again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import _options as options


def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of a finished run, locator or trial.", show_default=False),
    ],
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Render report.html and the table again from what a folder holds; nothing is measured.

    Examples:

      evenhand report audits/smollm2-quick

      evenhand report trials/smollm2-leace
    """
    from rich.console import Console

    from evenhand.core.record import Frozen
    from evenhand.report import html, load, sites_terminal, terminal, trial_terminal

    page, console = folder / "report.html", Console(quiet=quiet or json)
    kept: Frozen
    match load.kind(folder):
        case "trial":
            kept = trial = load.trial(folder)
            html.render_trial(trial, page)
            trial_terminal.render(trial, console, folder)
        case "sites":
            kept = sites = load.sites(folder / load.SITES)
            html.render_sites(sites, page)
            sites_terminal.render(sites, console)
        case "run":
            record, items = load.read(folder)
            kept = record
            html.render(record, items, page)
            terminal.render(record, console)
    if json:
        print(kept.model_dump_json(by_alias=True, indent=1))
    console.print(f"\nReport: {page}", soft_wrap=True, highlight=False)
