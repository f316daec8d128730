"""The typer application and what is the same for all commands: errors, exit codes, Ctrl-C."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from evenhand import __version__
from evenhand.cli import audit, compare, diff, doctor, export, listing, locate, measure, mitigate, prove, report
from evenhand.core.errors import EvenhandError, UsageError

DONE, FAILED, BAD_USAGE, GATE_FAILED, STOPPED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="evenhand",
    help="Measure bias in language models, find where it comes from, change it, and prove that the change helped.\n\n"
    "Start with:  evenhand audit smollm2",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"evenhand {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def _guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors of ours into one clear message and an exit code; anything else is a bug and keeps its traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except EvenhandError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise typer.Exit(BAD_USAGE if isinstance(error, UsageError) else FAILED) from error
        except KeyboardInterrupt as error:
            print("\nStopped.", file=sys.stderr)
            raise typer.Exit(STOPPED) from error

    return run


_COMMANDS: dict[str, Callable[..., Any]] = {
    "audit": audit.audit,
    "measure": measure.measure,
    "locate": locate.locate,
    "mitigate": mitigate.mitigate,
    "prove": prove.prove,
    "compare": compare.compare,
    "export": export.export,
    "diff": diff.diff,
    "report": report.report,
    "list": listing.listing,
    "doctor": doctor.doctor,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_guarded(_command))
