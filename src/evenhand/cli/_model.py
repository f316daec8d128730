"""What every command does that needs a model: load it, ask for a licence if somebody is there, install a patch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from evenhand.core.errors import LicenceNotAccepted, UsageError

if TYPE_CHECKING:
    from evenhand.cli._progress import Bars
    from evenhand.model import Model


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The model that a command line names, with how to load it and what to install on it."""

    name: str
    device: str = "auto"
    device_map: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_tokens: int | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    accept_licence: bool = False
    patch: Path | None = None


def loaded(request: ModelRequest, progress: Bars) -> Model:
    """The model; asks for a licence if somebody is there to answer."""
    from evenhand.data import source

    progress.busy("starting torch")
    from evenhand.model import Model

    def load() -> Model:
        progress.busy(f"loading {request.name}")
        return Model.load(
            request.name,
            revision=request.revision,
            dtype=request.dtype,
            device=request.device,
            device_map=request.device_map,
            batch_tokens=request.batch_tokens,
            trust_remote_code=request.trust_remote_code,
            progress=progress.fetching,
        )

    model = _with_licence(load, request, source.accept, progress)
    progress.busy("reading and planning")
    return model


@contextmanager
def patched(request: ModelRequest, progress: Bars) -> Iterator[Model]:
    """The model with its patch installed while the block runs; without one, the model as it is."""
    model = loaded(request, progress)
    if request.patch is None:
        yield model
        return
    from evenhand.model import Patch

    with model.install(Patch.load(request.patch)):
        yield model


def _with_licence(
    load: Callable[[], Model], request: ModelRequest, accept: Callable[[str], object], progress: Bars
) -> Model:
    if request.accept_licence:
        from evenhand.data.source import names

        if request.name in names():
            accept(request.name)
    try:
        return load()
    except LicenceNotAccepted as error:
        if not sys.stdin.isatty():
            raise
        with progress.paused():
            print(error, file=sys.stderr)
            if not typer.confirm("Do you accept these terms?", err=True):
                raise UsageError("The terms were not accepted; nothing was fetched.") from error
        accept(request.name)
        return load()
