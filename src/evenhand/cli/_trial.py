"""What `mitigate` and `prove` share: check, run, show, write the report, judge guards and gates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from evenhand.cli import _gates
from evenhand.cli._model import ModelRequest, loaded
from evenhand.cli._run import GATE_FAILED, STOPPED

if TYPE_CHECKING:
    from evenhand.cli._progress import Bars
    from evenhand.core.trial import Trial
    from evenhand.measure._benchmark import Benchmark
    from evenhand.mitigate._mitigation import Mitigation
    from evenhand.model import Model
    from evenhand.prove._tests import Tests


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """A command line, understood.

    Attributes:
        fitted: names of benchmarks whose fold 'fit' the patches were fitted on already.
        fits: how many fits there are, in words for a dry run, "" if nothing is fitted.
        arms: how many patches are measured, besides the untouched model.
    """

    model: ModelRequest
    method: Mitigation
    fit_on: Benchmark | None
    test_on: Sequence[Benchmark] | None
    guards: tuple[str, ...] | None
    out: Path
    limit: int | None
    seed: int
    chat: Literal["auto", "on", "off"]
    resume: bool
    quiet: bool
    json: bool
    gates: Sequence[_gates.Gate | _gates.VerdictGate]
    fits: str
    arms: str
    fitted: frozenset[str] = frozenset()


def rules(guards: Sequence[str] | None) -> tuple[str, ...] | None:
    """Guards as they are given: repeated, or separated by commas; `none` for none; None for the method's own."""
    if guards is None:
        return None
    found = [rule.strip() for text in guards for rule in text.split(",") if rule.strip()]
    return () if found == ["none"] else tuple(found)


def tests(request: TrialRequest) -> Tests:
    """What the trial will measure; gates must be about it.

    Raises:
        UsageError: a guard or gate is malformed, or about something that is not measured.
    """
    from evenhand.measure import _folder
    from evenhand.prove._tests import tests_of

    found = tests_of(request.method, request.fit_on, request.test_on, request.guards, request.limit, request.fitted)
    numbers = [gate for gate in request.gates if isinstance(gate, _gates.Gate)]
    _gates.check(numbers, {one.name: one.metrics for one in found.benchmarks})
    for benchmark in (*found.benchmarks, *([request.fit_on] if request.fit_on is not None else [])):
        if getattr(benchmark, "file", None) is not None:
            benchmark.load()
    _folder.check(request.out)
    return found


def run(request: TrialRequest, work: Callable[[Model, Bars], Trial]) -> None:
    """Do it. Exit code 3 if a guard fails or a gate does not hold, 130 if it was stopped."""
    from evenhand.cli._progress import bars
    from evenhand.report import html

    try:
        with bars(quiet=request.quiet) as progress:
            found = work(loaded(request.model, progress), progress)
            progress.busy("writing the report")
            html.render_trial(found, request.out / "report.html")
    except KeyboardInterrupt as error:
        begun = request.out.is_dir() and any(request.out.iterdir())
        kept = f"What was done is kept in {request.out}: repeat the command with --resume to go on."
        print(f"\nStopped. {kept if begun else 'Nothing had been done yet.'}", file=sys.stderr)
        raise typer.Exit(STOPPED) from error
    if request.json:
        print(found.model_dump_json(by_alias=True, indent=1))
    elif not request.quiet:
        _show(found, request.out)
    _judge(found, request.gates)


def _show(found: Trial, out: Path) -> None:
    from rich.console import Console

    from evenhand.report import trial_terminal

    console = Console()
    trial_terminal.render(found, console, out)
    console.print(f"\nReport: {out / 'report.html'}", soft_wrap=True, highlight=False)


def _judge(found: Trial, gates: Sequence[_gates.Gate | _gates.VerdictGate]) -> None:
    ours = {arm.name for arm in found.arms if arm.role == "method"}
    failed = [one for one in found.guard_outcomes if one.state == "failed" and one.arm in ours]
    for guard in failed:
        print(f"Guard failed: {guard.rule} ({guard.arm}): {guard.reason}", file=sys.stderr)
    failures = [failure for gate in gates if (failure := gate.failure_with(found))]
    for failure in failures:
        print(f"Gate failed: {failure}", file=sys.stderr)
    if failed or failures:
        raise typer.Exit(GATE_FAILED)


def dry_run(request: TrialRequest, found: Tests, arms: int, grid: int) -> None:
    """Time one pack and say how long measuring would take; fitting cannot be foretold.

    Args:
        request: the command line.
        found: what is measured.
        arms: how many patches are measured on the test, besides the untouched model.
        grid: how many strengths are measured on the choose-fold, 0 without a grid.
    """
    from evenhand.cli._progress import bars
    from evenhand.measure._plan import plan
    from evenhand.measure._run import tokens_per_second

    with bars(quiet=request.quiet) as progress:
        model = loaded(request.model, progress)

        def planned(on: Tests) -> int:
            return plan(
                model, list(on.benchmarks), limit=on.limit, chat=request.chat, seed=request.seed, fold=on.folds
            ).tokens

        whole = plan(
            model,
            list(found.benchmarks),
            limit=found.limit,
            chat=request.chat,
            seed=request.seed,
            fold=found.folds,
        )
        tokens = whole.tokens * (1 + arms) + (planned(found.on("choose")) * (1 + grid) if grid else 0)
        progress.busy("timing one pack")
        rate = tokens_per_second(whole)
    minutes = tokens / rate / 60
    measured = {part.benchmark.name: len(part.items) for part in whole.parts}
    if request.json:
        import json as coder

        document = {"method": request.method.name, "arms": 1 + arms, "fits": request.fits, "items": measured}
        print(coder.dumps({**document, "tokens": tokens, "minutes": round(minutes, 3)}, indent=1))
    elif not request.quiet:
        for name, count in measured.items():
            print(f"{name}: {count:,} items, fold {found.folds.get(name, 'all')}")
        print(
            f"Measured {1 + arms} times: untouched, {request.arms}.\n"
            f"In all {tokens:,} tokens at about {rate:,.0f} tokens/s: {minutes:,.1f} min of measuring."
        )
        if request.fits:
            print(f"Fitting comes on top: {request.fits}.")
        print(f"Nothing was written to {request.out}.")
