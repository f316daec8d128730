"""`evenhand audit`: from a model's name to a report."""

from __future__ import annotations

from typing import Annotated

import typer

from evenhand.cli import _options as options
from evenhand.cli._model import ModelRequest
from evenhand.cli._run import Request, default_out, run
from evenhand.measure._suites import SUITES


def audit(
    model: options.ModelName,
    suite: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(SUITES)}: see `evenhand list suites`.")
    ] = "quick",
    with_: options.WithPatch = None,
    out: options.Out = None,
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
    gate: options.Gate = None,
) -> None:
    """Measure a model on a suite of benchmarks; writes record.json, items.jsonl and report.html.

    Examples:

      evenhand audit smollm2

      evenhand audit HuggingFaceTB/SmolLM2-1.7B-Instruct --suite standard --device cuda

      evenhand audit smollm2 --with trials/smollm2-leace

      evenhand audit ./my-model --gate 'stereoset.ss<=55' --quiet
    """
    from evenhand.cli import _patches
    from evenhand.measure._plan import known_suite

    patch = None if with_ is None else _patches.one(with_)
    named = suite if patch is None else f"{suite}-with-{_patches.label(patch)}"
    run(
        Request(
            model=ModelRequest(
                name=model,
                device=device,
                device_map=device_map,
                dtype=dtype.value,
                batch_tokens=batch_tokens,
                revision=revision,
                trust_remote_code=trust_remote_code,
                accept_licence=accept_licence,
                patch=patch,
            ),
            benchmarks=known_suite(suite),
            out=out or default_out(model, named),
            limit=limit,
            seed=seed,
            chat=chat.value,
            resume=resume,
            quiet=quiet,
            json=json,
            dry_run=dry_run,
            gate=gate,
        )
    )
