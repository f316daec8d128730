"""`evenhand locate`: which parts of a model a bias goes through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evenhand.cli import _options as options
from evenhand.cli._model import ModelRequest, patched
from evenhand.cli._run import command_line, default_out
from evenhand.core.errors import DataError, PlanMismatch

if TYPE_CHECKING:
    from evenhand.cli._progress import Bars
    from evenhand.core.record import Sites
    from evenhand.data.splits import Fold
    from evenhand.locate._locator import Locator
    from evenhand.measure._benchmark import Benchmark, Loaded
    from evenhand.model import Model

_TRIED = 12
"""Items of a trial run that the minutes of a dry run are estimated from, at least."""


class FoldName(StrEnum):
    """Which items are read."""

    fit = "fit"
    choose = "choose"
    test = "test"
    final = "final"
    all = "all"


_FOLDS: Mapping[FoldName, Fold | None] = {
    FoldName.fit: "fit",
    FoldName.choose: "choose",
    FoldName.test: "test",
    FoldName.final: "final",
    FoldName.all: None,
}


@dataclass(frozen=True, slots=True)
class _Request:
    """A command line, understood."""

    model: ModelRequest
    locator: Locator
    benchmark: Benchmark
    fold: Fold | None
    out: Path
    limit: int | None
    seed: int
    chat: Literal["auto", "on", "off"]

    def talks(self, model: Model) -> bool:
        """Whether prompts are put into the chat format."""
        return self.chat == "on" or (self.chat == "auto" and self.benchmark.chat and model.has_chat_template)


def locate(
    model: options.ModelName,
    by: Annotated[str, typer.Option(metavar="NAME", help="Locator: see `evenhand list locators`.", show_default=False)],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SETTING",
            help="KEY=VALUE for the locator, NAME.KEY=VALUE for the benchmark. May be repeated.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Items to read: NAME, NAME:FILE or a CSV of pairs.", show_default="the locator's own"
        ),
    ] = None,
    fold: Annotated[
        FoldName,
        typer.Option(
            help="Part of the items. What is found on `fit` may be handed to a mitigation that is tested on `test`."
        ),
    ] = FoldName.fit,
    with_: options.WithPatch = None,
    out: options.LocateOut = None,
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
) -> None:
    """Score the heads or layers of a model against a null; writes sites.json and report.html.

    What was found is handed on with `evenhand mitigate ... --set heads=@FOLDER/sites.json:10`.

    A folder that holds the same run shows it again; a run that was stopped begins anew.

    Examples:

      evenhand locate smollm2 --by negative_attention

      evenhand locate smollm2 --by head_patching --on stereoset --limit 200 --dry-run

      evenhand locate smollm2 --by stereotype_probe --with trials/smollm2-leace
    """
    from evenhand.cli import _patches, _settings
    from evenhand.core import registry
    from evenhand.measure import _folder

    cls: type[Locator] = registry.get("locators", by)
    own, dotted = _settings.split(set_ or [])
    benchmark = _settings.material(on, "--on", (cls.locate_on.benchmark, cls.locate_on.settings), dotted)
    assert benchmark is not None
    patch = None if with_ is None else _patches.one(with_)
    named = by if patch is None else f"{by}-with-{_patches.label(patch)}"
    request = _Request(
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
        locator=_settings.configured(cls, own, by),
        benchmark=benchmark,
        fold=_FOLDS[fold],
        out=out or default_out(model, named),
        limit=limit,
        seed=seed,
        chat=chat.value,
    )
    if dry_run:
        _dry_run(request, quiet=quiet, json=json)
        return
    _folder.check(request.out)
    _run(request, quiet=quiet, json=json)


def _run(request: _Request, *, quiet: bool, json: bool) -> None:
    from evenhand.cli._progress import bars
    from evenhand.core.journal import write_atomic
    from evenhand.report import html

    with bars(quiet=quiet) as progress, patched(request.model, progress) as model:
        loaded = _items(request)
        before = _before(request, model, loaded)
        found = before or _located(request, model, loaded, progress)
        if before is None:
            write_atomic(request.out / "sites.json", found.model_dump_json(by_alias=True, indent=1) + "\n")
        progress.busy("writing the report")
        page = request.out / "report.html"
        html.render_sites(found, page)
    if json:
        print(found.model_dump_json(by_alias=True, indent=1))
    elif not quiet:
        _show(found, page, again=before is not None)


def _items(request: _Request) -> Loaded:
    from evenhand.measure._items import items

    return items(request.benchmark, fold=request.fold, limit=request.limit, seed=request.seed)


def _located(request: _Request, model: Model, loaded: Loaded, progress: Bars) -> Sites:
    from evenhand.locate._run import locate as run

    progress.busy(f"{request.locator.name}: {len(loaded.items):,} items")
    return run(
        model,
        request.locator,
        loaded.items,
        seed=request.seed,
        chat=request.talks(model),
        data=loaded.data,
        fold=request.fold or "",
        command=command_line(),
    )


def _before(request: _Request, model: Model, loaded: Loaded) -> Sites | None:
    """What the folder holds, if it is this run; None if it holds nothing.

    Raises:
        PlanMismatch: it holds another one.
    """
    from evenhand.report import load

    file = request.out / load.SITES
    if not file.is_file():
        return None
    there = load.sites(file)
    pairs = {
        "model": (there.model.fingerprint, model.identity.fingerprint),
        "patch": ((there.patch or {}).get("fingerprint"), model.patches[-1].fingerprint if model.patches else None),
        "locator": (there.locator, request.locator.name),
        "settings": (dict(there.settings), request.locator.model_dump(mode="json")),
        "fold": (there.fold, request.fold or ""),
        "seed": (there.seed, request.seed),
        "items": (there.n_items, len(loaded.items)),
        "data": ([use.sha256 for use in there.data], [use.sha256 for use in loaded.data]),
    }
    differ = "; ".join(f"{name}: {old} -> {new}" for name, (old, new) in pairs.items() if old != new)
    if differ:
        raise PlanMismatch(
            f"{request.out} holds other sites. What differs (there -> now): {differ}. Choose another --out."
        )
    return there


def _show(found: Sites, page: Path, *, again: bool) -> None:
    from rich.console import Console

    from evenhand.report import sites_terminal

    console = Console()
    sites_terminal.render(found, console)
    console.print()
    if again:
        console.print(f"The folder already held this, made {found.created}: nothing was computed again.")
    console.print(f"Sites:  {page.with_name('sites.json')}", soft_wrap=True, highlight=False)
    console.print(f"Report: {page}", soft_wrap=True, highlight=False)


def _dry_run(request: _Request, *, quiet: bool, json: bool) -> None:
    """Run the locator on a few items and say how long all of them would take."""
    from evenhand.cli._progress import bars
    from evenhand.locate._run import locate as run

    with bars(quiet=quiet) as progress, patched(request.model, progress) as model:
        loaded = _items(request)
        count = len(loaded.items)
        tried = loaded.items[: max(_TRIED, count // 20)]
        progress.busy(f"timing {len(tried)} items")
        since = time.perf_counter()
        try:
            run(model, request.locator, tried, seed=request.seed, chat=request.talks(model))
            minutes = (time.perf_counter() - since) / 60 * count / len(tried)
        except DataError:  # too few items for its null: there is nothing to go by
            minutes = None
    if json:
        import json as coder

        document = {"locator": request.locator.name, "benchmark": request.benchmark.name, "fold": request.fold}
        rounded = None if minutes is None else round(minutes, 3)
        print(coder.dumps({**document, "n_items": count, "minutes": rounded}, indent=1))
    elif not quiet:
        about = "no estimate, it needs more items than a trial run" if minutes is None else f"about {minutes:,.1f} min"
        where = f"the fold {request.fold}" if request.fold else "all folds"
        print(
            f"{request.locator.name}: {count:,} items of {request.benchmark.name}, {where}: {about}.\n"
            f"Nothing was written to {request.out}."
        )
