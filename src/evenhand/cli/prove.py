"""`evenhand prove`: patches against the untouched model, with the shams and rivals that lie beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import _options as options
from evenhand.cli._model import ModelRequest
from evenhand.cli._run import command_line, default_out

if TYPE_CHECKING:
    from evenhand.cli._patches import Found
    from evenhand.cli._progress import Bars
    from evenhand.core.trial import Trial
    from evenhand.mitigate._mitigation import Mitigation
    from evenhand.model import Model


def prove(
    model: options.ModelName,
    with_: Annotated[
        Path,
        typer.Option(
            "--with",
            metavar="FOLDER",
            help="Folder of a trial, or of a patch; shams and rivals beside the patch are used.",
            show_default=False,
        ),
    ],
    on: options.TestOn = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SETTING",
            help="NAME.KEY=VALUE for a benchmark of --on. May be repeated.",
            show_default=False,
        ),
    ] = None,
    guards: options.Guards = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder for the trial.", show_default="trials/MODEL-METHOD-again"),
    ] = None,
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
    """Measure the model before and after a patch that is already fitted, with its shams and rivals, and judge.

    Nothing is fitted. Without a sham beside the patch the report says that there is none.

    Examples:

      evenhand prove smollm2 --with trials/smollm2-leace --on yes_no

      evenhand prove smollm2 --with trials/smollm2-leace/patch --on bbq,emission --limit 400 --gate no_effect
    """
    from evenhand.cli import _gates, _patches, _settings, _trial
    from evenhand.core import registry

    found = _patches.all_of(with_)
    content = _patches.content(found.patches[0])
    method: Mitigation = registry.get(content.kind, content.method)(**content.settings)
    for rival in found.rivals:
        registry.kind_of(_patches.content(rival).method)
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
        fit_on=None,
        test_on=_settings.benchmarks(on, set_ or []),
        guards=_trial.rules(guards),
        out=out or default_out(model, f"{content.method}-again", "trials"),
        limit=limit,
        seed=seed,
        chat=chat.value,
        resume=resume,
        quiet=quiet,
        json=json,
        gates=_gates.parse_for_trial(gate),
        fits="",
        arms=_arms(found),
        fitted=_fitted(found),
    )
    tests = _trial.tests(request)
    if dry_run:
        _trial.dry_run(request, tests, len(found.patches) + len(found.shams) + len(found.rivals), 0)
        return

    def work(loaded: Model, progress: Bars) -> Trial:
        from evenhand.model import Patch
        from evenhand.prove._prove import prove as compare

        patches, shams, rivals = (
            [Patch.load(folder) for folder in group] for group in (found.patches, found.shams, found.rivals)
        )
        return compare(
            loaded,
            patches,
            shams=shams,
            rivals=rivals,
            test_on=request.test_on,
            guards=request.guards,
            limit=limit,
            seed=seed,
            chat=chat.value,
            out=request.out,
            resume=resume,
            progress=progress.proving,
            command=command_line(),
        )

    _trial.run(request, work)


def _fitted(found: Found) -> frozenset[str]:
    """Benchmarks whose fold `fit` any of the patches was fitted on: they are tested on their fold `test`."""
    from evenhand.cli import _patches

    kept = (_patches.content(folder) for folder in (*found.patches, *found.shams, *found.rivals))
    sources = (one.provenance.fitted_on for one in kept)
    return frozenset(one.benchmark for one in sources if one is not None and one.fold == "fit")


def _arms(found: Found) -> str:
    counts = {"patches": found.patches, "shams": found.shams, "rivals": found.rivals}
    said = [f"{len(folders)} {name}" for name, folders in counts.items() if folders]
    return ", ".join(said).replace("1 patches", "1 patch").replace("1 shams", "1 sham").replace("1 rivals", "1 rival")
