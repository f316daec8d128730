"""What `audit` and `measure` share: check, load the model, plan, run, show, write the report, judge the gates."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from evenhand.cli._model import ModelRequest, patched

if TYPE_CHECKING:
    from rich.console import Console

    from evenhand.cli._gates import Gate
    from evenhand.core.record import Record
    from evenhand.measure._benchmark import Benchmark
    from evenhand.measure._suites import Suite

GATE_FAILED, STOPPED = 3, 130
_LONGEST = 80  # characters of a model's name that name its folder


@dataclass(frozen=True, slots=True)
class Request:
    """A command line, understood."""

    model: ModelRequest
    benchmarks: Sequence[Benchmark] | Suite
    out: Path
    limit: int | None
    seed: int
    chat: Literal["auto", "on", "off"]
    resume: bool
    quiet: bool
    json: bool
    dry_run: bool
    gate: list[str] | None


def default_out(model: str, what: str, home: str = "audits") -> Path:
    """`HOME/MODEL-WHAT` with a name that any file system takes."""
    plain = os.path.basename(os.path.abspath(model)) if os.path.exists(model) else model[:_LONGEST]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")
    return Path(home) / f"{name or 'model'}-{what}"


def command_line() -> str:
    """The command line as it was given, for the record."""
    return shlex.join(["evenhand", *sys.argv[1:]])


def run(request: Request) -> None:
    """Do it. Exit code 3 if a gate does not hold, 130 if it was stopped."""
    from evenhand.cli import _gates

    gates = _gates.parse(request.gate)
    _check(request, gates)
    try:
        if request.dry_run:
            _dry_run(request)
        else:
            _judge(_measure(request), gates)
    except KeyboardInterrupt as error:
        begun = not request.dry_run and (request.out / "run.json").exists()
        kept = f"What was done is kept in {request.out}: repeat the command with --resume to go on."
        print(f"\nStopped. {kept if begun else 'Nothing had been measured yet.'}", file=sys.stderr)
        raise typer.Exit(STOPPED) from error


def _check(request: Request, gates: Sequence[Gate]) -> None:
    """Find what is wrong with the command before a model is loaded: gates, folder, and files of the user's own."""
    from evenhand.cli import _gates
    from evenhand.core import registry
    from evenhand.measure import _folder
    from evenhand.measure._suites import SUITES

    if isinstance(request.benchmarks, str):
        _gates.check(
            gates, {e.benchmark: registry.get("benchmarks", e.benchmark).metrics for e in SUITES[request.benchmarks]}
        )
    else:
        _gates.check(gates, {benchmark.name: benchmark.metrics for benchmark in request.benchmarks})
        for benchmark in request.benchmarks:
            if getattr(benchmark, "file", None) is not None:
                benchmark.load()
    if not request.dry_run:
        _folder.check(request.out)


def _dry_run(request: Request) -> None:
    from evenhand.cli._dry_run import show
    from evenhand.cli._progress import bars
    from evenhand.measure._plan import plan

    with bars(quiet=request.quiet) as progress, patched(request.model, progress) as model:
        planned = plan(model, request.benchmarks, limit=request.limit, chat=request.chat, seed=request.seed)
        progress.busy("timing one pack")
        show(planned, request.out, quiet=request.quiet, json=request.json)


def _measure(request: Request) -> Record:
    """Measure, write the report, show the record."""
    from evenhand.cli._progress import bars
    from evenhand.measure._folder import finished
    from evenhand.measure._run import measure
    from evenhand.report import html
    from evenhand.report.load import read

    before, begun = finished(request.out), (request.out / "run.json").exists()
    with bars(quiet=request.quiet) as progress:
        with patched(request.model, progress) as model:
            record = measure(
                model,
                request.benchmarks,
                limit=request.limit,
                chat=request.chat,
                seed=request.seed,
                out=request.out,
                resume=request.resume,
                progress=progress.measuring,
                command=command_line(),
            )
        progress.busy("writing the report")
        page = request.out / "report.html"
        html.render(*read(request.out), page)
    if request.json:
        print(record.model_dump_json(by_alias=True, indent=1))
    elif not request.quiet:
        _show(record, page, "finished before" if before else "went on" if begun else "new")
    return record


def _show(record: Record, page: Path, state: Literal["new", "went on", "finished before"]) -> None:
    from rich.console import Console

    from evenhand.report import terminal

    console = Console()
    terminal.render(record, console)
    console.print()
    match state:
        case "new":
            _rates(record, console)
        case "went on":
            console.print("This went on with an unfinished run, so the times above are of its last part only.")
        case "finished before":
            console.print(f"The folder already held this run, finished {record.created}: nothing was measured again.")
    console.print(f"Report: {page}", soft_wrap=True, highlight=False)


def _judge(record: Record, gates: Sequence[Gate]) -> None:
    failures = [failure for gate in gates if (failure := gate.failure(record))]
    for failure in failures:
        print(f"Gate failed: {failure}", file=sys.stderr)
    if failures:
        raise typer.Exit(GATE_FAILED)


def _rates(record: Record, console: Console) -> None:
    for one in record.benchmarks:
        speed = f"{one.n_items / one.seconds:,.1f} items/s" if one.seconds > 0 else ""
        saved = f", {one.tokens_asked / one.tokens:.1f} times fewer tokens than one by one" if one.tokens else ""
        console.print(f"{one.name}: {one.n_items:,} items in {one.seconds:,.0f} s, {speed}{saved}", highlight=False)
