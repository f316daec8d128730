"""Arms: the untouched model and each patch, measured alike into folders of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.core.record import ItemRow, Record
from evenhand.core.trial import Arm, Role
from evenhand.measure._plan import Chat
from evenhand.measure._run import Progress, measure
from evenhand.prove._tests import Tests

if TYPE_CHECKING:
    from evenhand.model import Model, Patch

BEFORE = "before"


@dataclass(frozen=True)
class Candidate:
    """A patch that takes part in a trial.

    Attributes:
        name: unique in the trial.
        role: the method, a sham of it, or a rival.
        patch: what is installed.
        folder: where the patch is saved, relative to the trial's folder; "" if it is not.
    """

    name: str
    role: Role
    patch: Patch
    folder: str = ""


@dataclass(frozen=True)
class Measured:
    """A run of all items: the record, and the rows by benchmark and id."""

    record: Record
    rows: dict[str, dict[str, ItemRow]]


@dataclass(frozen=True)
class Settings:
    """How everything in a trial is measured."""

    chat: Chat
    seed: int
    level: float
    draws: int
    resume: bool
    command: str
    progress: Progress | None


def slug(name: str) -> str:
    """A name as a folder's name."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-")


def run(model: Model, name: str, patch: Patch | None, tests: Tests, settings: Settings, out: Path) -> Measured:
    """Measure the model, with the patch installed if there is one, into `out/measured/NAME`."""
    folder = out / "measured" / slug(name)

    def show(benchmark: str, done: int, total: int) -> None:
        if settings.progress is not None:
            settings.progress(f"{name}: {benchmark}", done, total)

    handle = model.install(patch) if patch is not None else None
    try:
        record = measure(
            model,
            list(tests.benchmarks),
            limit=tests.limit,
            chat=settings.chat,
            seed=settings.seed,
            level=settings.level,
            draws=settings.draws,
            fold=tests.folds,
            out=folder,
            resume=settings.resume,
            progress=show,
            command=settings.command,
        )
    finally:
        if handle is not None:
            handle.remove()
    rows: dict[str, dict[str, ItemRow]] = {one.name: {} for one in tests.benchmarks}
    for row in rows_in(folder):
        rows[row.benchmark][row.id] = row
    return Measured(record, rows)


def rows_in(folder: Path) -> Iterator[ItemRow]:
    """The items of a finished run. Only a newline ends a line: texts hold other separators, such as U+2028."""
    lines = (folder / "items.jsonl").read_text("utf-8").split("\n")
    return (ItemRow.model_validate_json(line) for line in lines if line)


def arm(candidate: Candidate, measured: Measured, model: Model) -> Arm:
    """What a trial says of a candidate."""
    patch = candidate.patch
    edits: Sequence[object] = patch.method.edits(patch.tensors, model)
    return Arm(
        name=candidate.name,
        role=candidate.role,
        method=patch.method.name,
        settings=patch.method.model_dump(mode="json"),
        sham=patch.provenance.sham,
        seed=patch.provenance.seed,
        fingerprint=patch.fingerprint,
        folder=f"measured/{slug(candidate.name)}",
        patch=candidate.folder,
        seconds_fit=patch.provenance.seconds,
        seconds_measured=measured.record.seconds,
        tensors=sum(tensor.numel() for tensor in patch.tensors.values()),
        mergeable=all(bool(getattr(edit, "mergeable", False)) for edit in edits),
        notes=patch.provenance.notes,
        findings=patch.provenance.findings,
    )
