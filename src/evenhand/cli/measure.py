"""`evenhand measure`: some benchmarks, with settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import _options as options
from evenhand.cli._model import ModelRequest
from evenhand.cli._run import Request, default_out, run
from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from evenhand.measure._benchmark import Benchmark


def measure(
    model: options.ModelName,
    on: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Benchmarks, separated by commas: see `evenhand list`. pairs:FILE.csv takes your own sentence pairs; "
            "NAME:FILE another file in a benchmark's own layout (other languages).",
            show_default=False,
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SETTING",
            help="NAME.FIELD=VALUE, e.g. stereoset.task=both. May be repeated.",
            show_default=False,
        ),
    ] = None,
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
    """Measure a model on the benchmarks that you name; writes record.json, items.jsonl and report.html.

    Examples:

      evenhand measure smollm2 --on crows_pairs,stereoset

      evenhand measure smollm2 --on bbq --limit 400 --seed 1

      evenhand measure smollm2 --on pairs:my_pairs.csv

      evenhand measure smollm2 --on stereoset --with trials/smollm2-leace

      evenhand measure smollm2 --on bbq --set bbq.categories=Age,Religion
    """
    from evenhand.cli import _patches

    benchmarks = chosen(on, set_ or [])
    patch = None if with_ is None else _patches.one(with_)
    named = "-".join(benchmark.name for benchmark in benchmarks)
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
            benchmarks=benchmarks,
            out=out or default_out(model, named if patch is None else f"{named}-with-{_patches.label(patch)}"),
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


def chosen(on: str, settings: Sequence[str]) -> list[Benchmark]:
    """Benchmarks from `--on NAME[:FILE],...` and `--set NAME.FIELD=VALUE`.

    Raises:
        UsageError: a part is malformed or names something that does not exist.
    """
    from evenhand.core import registry
    from evenhand.measure._plan import configured

    wanted: dict[str, dict[str, object]] = {}
    for part in filter(None, (part.strip() for part in on.split(","))):
        name, colon, file = part.partition(":")
        registry.get("benchmarks", name)
        if name in wanted:
            raise UsageError(f"--on {on!r} names {name} twice; make two runs with two folders.")
        if colon and not file:
            raise UsageError(f"--on {on!r}: a file must follow {part!r}.")
        wanted[name] = {"file": file} if file else {}
    if not wanted:
        raise UsageError(f"--on {on!r} names no benchmark. Example: --on crows_pairs,stereoset")
    for setting in settings:
        target, equals, value = setting.partition("=")
        name, dot, field = target.partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {setting!r} is not of the form NAME.FIELD=VALUE, e.g. stereoset.task=both.")
        if name not in wanted:
            raise UsageError(f"--set {setting!r}: {name!r} is not among the benchmarks of --on {on!r}.")
        listed = isinstance(getattr(registry.get("benchmarks", name).model_fields.get(field), "default", None), tuple)
        wanted[name][field] = tuple(value.split(",")) if listed else value
    return [configured(name, fields) for name, fields in wanted.items()]
