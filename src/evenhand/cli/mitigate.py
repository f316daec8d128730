"""`evenhand mitigate`: fit a method and its shams, and prove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import _options as options
from evenhand.cli._model import ModelRequest
from evenhand.cli._run import command_line, default_out
from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from evenhand.cli._progress import Bars
    from evenhand.core.trial import Trial
    from evenhand.mitigate._mitigation import Mitigation
    from evenhand.model import Model


def mitigate(
    model: options.ModelName,
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="METHOD",
            help="Mitigation or control: see `evenhand list mitigations`.",
            show_default=False,
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SETTING",
            help="KEY=VALUE for the method, NAME.KEY=VALUE for a benchmark of --on. @sites.json:K as value: the K top "
            "sites of a locator. May be repeated.",
            show_default=False,
        ),
    ] = None,
    fit_on: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What it is fitted on, its fold `fit`: NAME, NAME:FILE or a CSV of pairs.",
            show_default="the method's own",
        ),
    ] = None,
    on: options.TestOn = None,
    guards: options.Guards = None,
    rivals: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Controls for the same table, separated by commas; none for none.",
            show_default="the method's own",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="How many times the method is fitted.")] = 1,
    shams: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="How many times each sham is fitted per seed; without one nothing is `improved`."
        ),
    ] = 1,
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Choose the strength on the fold `choose`, then test it once on `test`."),
    ] = False,
    out: options.TrialOut = None,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    device_map: options.DeviceMap = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    batch_tokens: options.BatchTokens = None,
    chat: options.ChatOption = options.Chat.auto,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    accept_licence: options.AcceptLicence = False,
    resume: options.Resume = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
    gate: options.TrialGate = None,
) -> None:
    """Fit a mitigation and its shams, and prove: before, after, sham and rivals on items that nothing was fitted on.

    Writes patch/, sham-*/, rival-*/, trial.json and report.html.

    Examples:

      evenhand mitigate smollm2 --with leace

      evenhand mitigate smollm2 --with self_debias --grid --seeds 3

      evenhand mitigate smollm2 --with head_mask --set heads=@audits/smollm2-head_patching/sites.json:10

      evenhand mitigate ./my-model --with cda --fit-on my_pairs.csv --on stereoset,crows_pairs --dry-run

      evenhand mitigate smollm2 --with leace --guards 'perplexity.perplexity<=+2%' --gate improved
    """
    from evenhand.cli import _gates, _settings, _trial
    from evenhand.core import registry

    cls: type[Mitigation] = registry.get(registry.kind_of(with_), with_)
    own, dotted = _settings.split(set_ or [])
    method = _settings.configured(cls, own, with_)
    if grid and not cls.grid:
        raise UsageError(f"--grid: {with_} has no strength to vary. Leave it out.")
    default = None if cls.fit_on is None else (cls.fit_on.benchmark, cls.fit_on.settings)
    of_fit, dotted = _settings.apart(dotted, fit_on, on)
    fitted = _settings.material(fit_on, "--fit-on", default, of_fit)
    named = cls.rivals if rivals is None else _controls(rivals)
    request = _trial.TrialRequest(
        model=ModelRequest(
            name=model,
            device=device,
            device_map=device_map,
            dtype=dtype.value,
            batch_tokens=batch_tokens,
            revision=revision,
            trust_remote_code=trust_remote_code,
            accept_licence=accept_licence,
        ),
        method=method,
        fit_on=fitted,
        test_on=_settings.benchmarks(on, dotted),
        guards=_trial.rules(guards),
        out=out or default_out(model, with_, "trials"),
        limit=limit,
        seed=seed,
        chat=chat.value,
        resume=resume,
        quiet=quiet,
        json=json,
        gates=_gates.parse_for_trial(gate),
        fits=_fits(method, seeds, shams, named, grid),
        arms=_arms(seeds, shams, named),
    )
    tests = _trial.tests(request)
    if dry_run:
        count = seeds * (1 + shams) + len(named)
        _trial.dry_run(request, tests, count, len(cls.grid) if grid else 0)
        return

    def work(loaded: Model, progress: Bars) -> Trial:
        from evenhand.prove._trial import trial

        return trial(
            loaded,
            method,
            fit_on=fitted if fit_on is not None else None,
            test_on=request.test_on,
            guards=request.guards,
            rivals=named,
            seeds=seeds,
            shams=shams,
            grid=grid,
            limit=limit,
            seed=seed,
            chat=chat.value,
            out=request.out,
            resume=resume,
            progress=progress.proving,
            command=command_line(),
        )

    _trial.run(request, work)


def _controls(rivals: str) -> tuple[str, ...]:
    """Names of controls or other mitigations.

    Raises:
        UnknownName: there is no such method.
    """
    from evenhand.core import registry

    names = tuple(name for part in rivals.split(",") if (name := part.strip()))
    if names == ("none",):
        return ()
    for name in names:
        registry.kind_of(name)
    return names


def _fits(method: Mitigation, seeds: int, shams: int, rivals: tuple[str, ...], grid: bool) -> str:
    parts = [f"{method.name} {seeds} times" if seeds > 1 else f"{method.name} once"]
    if shams:
        parts.append(f"each sham {seeds * shams} times" if seeds * shams > 1 else "each sham once")
    if grid:
        parts.append(f"{len(method.grid)} strengths")
    return ", ".join([*parts, *rivals])


def _arms(seeds: int, shams: int, rivals: tuple[str, ...]) -> str:
    parts = [f"{seeds} seeds" if seeds > 1 else "patched"]
    if shams:
        parts.append(f"{seeds * shams} shams" if seeds * shams > 1 else "sham")
    return ", ".join([*parts, *rivals])
