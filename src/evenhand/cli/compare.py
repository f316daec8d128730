"""`evenhand compare`: trials side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import _options as options
from evenhand.core.errors import UsageError


def compare(
    trials: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of finished trials.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the comparison as a page, FILE.html.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Show trials side by side: what each did to the bias, beyond its sham, and what it cost. Nothing is measured.

    Examples:

      evenhand compare trials/smollm2-leace trials/smollm2-cda

      evenhand compare trials/smollm2-leace trials/smollm2-cda --out comparison.html
    """
    from evenhand.report import compare_terminal, comparison, load

    if len(trials) < 2:
        raise UsageError(
            "There is only one folder, so there is nothing to compare it with. `evenhand report` shows it."
        )
    if out is not None and (out.is_dir() or out.suffix.lower() not in (".html", ".htm")):
        raise UsageError(f"--out {out}: expected the name of a file that ends in .html.")
    found = comparison.of([(folder, load.trial(folder)) for folder in trials])
    if out is not None:
        from evenhand.report import html

        html.render_comparison(found, out)
    if json:
        import json as coder

        print(coder.dumps(comparison.plain(found), indent=1))
    elif not quiet:
        from rich.console import Console

        console = Console()
        compare_terminal.render(found, console)
        if out is not None:
            console.print(f"\nReport: {out}", soft_wrap=True, highlight=False)
