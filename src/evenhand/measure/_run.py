"""Measure a model: load, sample, prepare, answer, score, estimate; resumable, and the same numbers whatever happens.

A run is first planned in full, without running anything: its plan is the hash of everything that decides the numbers
(model, texts, packs, dtype, threads, seeds, versions). The plan is written before the work; each finished pack is
committed; items and record are written whole at the end. So a folder holds either an unfinished run, which `resume`
continues under the same plan only, or a finished one, whose record the same command returns at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Score
from evenhand.core.journal import Journal, write_atomic
from evenhand.core.record import BenchmarkRun, ItemRow, Record, RunNote
from evenhand.data.splits import Fold
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._folder import finished, folder_of
from evenhand.measure._numbers import estimates
from evenhand.measure._plan import Chat, Part, Run, environment, plan
from evenhand.measure._suites import SUITE_VERSION, Suite

if TYPE_CHECKING:
    from evenhand.model import Model


class Progress(Protocol):
    """Called while a benchmark is answered: its name, tokens done, tokens in all."""

    def __call__(self, benchmark: str, done: int, total: int) -> None:
        """Show it."""
        ...


def measure(
    model: Model,
    benchmarks: Sequence[str | Benchmark] | Suite,
    *,
    limit: int | Mapping[str, int] | None = None,
    chat: Chat = "auto",
    seed: int = 0,
    level: float = 0.95,
    draws: int = 10_000,
    fold: Fold | Mapping[str, Fold] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Record:
    """Measure a model on benchmarks or on a suite ("quick", "standard", "full").

    Args:
        model: the model.
        benchmarks: registered names, or configured benchmarks such as `Stereoset(task="intersentence")`, or a suite.
        limit: at most so many items of each benchmark (or by name), a seeded sample of whole blocks over all strata.
        chat: put prompts into the chat format; "auto" = where the benchmark is a conversation and the model has one.
        seed: of the sample and of the intervals.
        level: of the intervals.
        draws: bootstrap draws of each interval.
        fold: only the items whose clusters lie in this fold of the benchmark's split; for all benchmarks alike, or by
            name.
        out: folder for record.json, items.jsonl and what is needed to resume; None keeps everything in memory.
        resume: go on with the unfinished run in `out`, if there is one.
        progress: called when a benchmark begins and after each pack.
        command: the command line to note in the record.

    Returns:
        The record; with `out`, the one that was written (or, if `out` holds a finished run of the same plan, that one).

    Raises:
        UsageError: nothing to measure, an argument out of its range, or `out` holds an unfinished run.
        PlanMismatch: `out` holds another run.
        FolderInUse: another process writes to `out`.
        StorageError: `out` cannot be written; what was committed is kept.
    """
    suite = benchmarks if isinstance(benchmarks, str) else ""
    run = plan(model, benchmarks, limit=limit, chat=chat, seed=seed, level=level, draws=draws, fold=fold)
    with folder_of(Path(out), run.plan, run.facts, resume=resume) if out is not None else nullcontext() as folder:
        if folder is not None and finished(folder):
            return _written(folder / "record.json")
        record, rows = _execute(model, run, folder, progress, suite=suite, command=command)
        if folder is not None:
            write_atomic(folder / "items.jsonl", "".join(row.model_dump_json() + "\n" for row in rows))
            write_atomic(folder / "record.json", record.model_dump_json(by_alias=True, indent=1) + "\n")
        return record


def tokens_per_second(run: Run) -> float:
    """Speed of this model on this machine, from one typical pack of the largest benchmark (it is run and forgotten)."""
    largest = max(run.parts, key=lambda part: part.work.tokens)
    job = largest.work.work[len(largest.work.work) // 2]
    since = time.perf_counter()
    job.run()
    return job.tokens / (time.perf_counter() - since)


def _written(file: Path) -> Record:
    """The record of a finished run."""
    try:
        return Record.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(
            f"{file} is damaged or was written by another version ({first['msg']}). Delete it and repeat the command "
            "with --resume: what was measured is kept beside it."
        ) from error


def _execute(
    model: Model, run: Run, folder: Path | None, progress: Progress | None, *, suite: str, command: str
) -> tuple[Record, list[ItemRow]]:
    began = time.perf_counter()
    rows: list[ItemRow] = []
    runs: list[BenchmarkRun] = []
    numbers = []
    notes = [*run.skipped]
    notes += [_fold_note(part.benchmark.name, part.fold) for part in run.parts if part.fold]
    for number, part in enumerate(run.parts):
        since = time.perf_counter()
        name = part.benchmark.name
        scores, found = _scores(part, folder, number, progress)
        rows += [_row(name, item, score) for item, score in zip(part.items, scores, strict=True)]
        settings = run.facts["numbers"]
        numbers += estimates(part.benchmark, part.items, scores, **settings)
        runs.append(_summary(part, scores, time.perf_counter() - since))
        notes += _notes(part, scores)
        if found:
            text = f"An earlier process had done {found} of {len(part.work.work)} packs; the seconds count the others."
            notes.append(RunNote(benchmark=name, kind="convention", text=text))
    record = Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=suite,
        suite_version=SUITE_VERSION if suite else 0,
        plan=run.plan,
        command=command,
        model=model.identity,
        patch=_patches(model),
        environment=environment(model, run.parts, run.facts["numbers"]["seed"]),
        data=tuple({(use.name, use.sha256): use for part in run.parts for use in part.loaded.data}.values()),
        benchmarks=tuple(runs),
        estimates=tuple(numbers),
        notes=tuple(notes),
        seconds=round(time.perf_counter() - began, 3),
        tokens=run.tokens,
    )
    return record, rows


def _fold_note(benchmark: str, fold: Fold) -> RunNote:
    text = f"Only the items of the fold {fold!r} were measured; how it was cut is in data/splits."
    return RunNote(benchmark=benchmark, kind="not measured", text=text)


def _patches(model: Model) -> dict[str, str] | None:
    """What is installed, the last patch in full and those below it by fingerprint."""
    if not model.patches:
        return None
    *below, last = model.patches
    under = {"on top of": ", ".join(patch.fingerprint for patch in below)} if below else {}
    return last.summary() | under


def _scores(part: Part, folder: Path | None, number: int, progress: Progress | None) -> tuple[list[Score], int]:
    """Scores of the items, and how many packs were found done."""
    name = part.benchmark.name

    def show(done: int, total: int) -> None:
        if progress is not None:
            progress(name, done, total)

    show(0, part.work.tokens)
    file = folder / "answers" / f"{number}-{name}.journal" if folder is not None else None
    with Journal(file, part.work.digest) if file is not None else nullcontext() as journal:
        found = len(journal.done) if journal is not None else 0
        answers = iter(part.work.run(journal, show))
    scores = [part.benchmark.score(item, tuple(next(answers) for _ in item.requests)) for item in part.items]
    return scores, found


def _row(name: str, item: Item, score: Score) -> ItemRow:
    return ItemRow(
        benchmark=name,
        id=item.id,
        cluster=item.cluster,
        stratum=item.stratum,
        origin=f"{item.origin.source}/{item.origin.file}:{item.origin.row}",
        groups=item.groups,
        values=score.values,
        status=score.status.value,
        note=score.note,
        texts=item.texts,
    )


def _summary(part: Part, scores: Sequence[Score], seconds: float) -> BenchmarkRun:
    settings = part.benchmark.model_dump(mode="json")
    return BenchmarkRun(
        name=part.benchmark.name,
        version=part.benchmark.version,
        settings={
            **{
                key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in settings.items()
            },
            "limit": part.limit,
            "chat": part.chat,
        },
        n_items=len(part.items),
        n_available=len(part.loaded.items),
        n_clusters=len({item.cluster for item in part.items}),
        n_unscored=sum(score.status != "scored" for score in scores),
        seconds=round(seconds, 3),
        tokens=part.work.tokens,
        tokens_asked=part.work.asked,
    )


def _notes(part: Part, scores: Sequence[Score]) -> list[RunNote]:
    """Conventions and cautions of the benchmark, and what happened to items that did not score."""
    name = part.benchmark.name
    notes = [*part.loaded.notes]
    if part.benchmark.card.cautions:
        notes.append(RunNote(benchmark=name, kind="warning", text=part.benchmark.card.cautions))
    left = [score for score in scores if score.status != "scored"]
    for reason in sorted({score.note for score in left}):
        count = sum(score.note == reason for score in left)
        text = f"{count:,} of {len(scores):,} items were not scored: {reason or 'the model gave no finite number'}"
        notes.append(RunNote(benchmark=name, kind="excluded", text=text))
    if part.limit is not None and len(part.items) < len(part.loaded.items):
        text = f"{len(part.items):,} of {len(part.loaded.items):,} items were measured: a seeded sample of all strata."
        notes.append(RunNote(benchmark=name, kind="not measured", text=text))
    counts = part.work.counts
    if counts.merged:
        text = f"In {counts.merged} requests the tokenizer merges characters across prompt and answer; there all "
        text += "answers are scored from the first token at which one of them leaves the prompt."
        notes.append(RunNote(benchmark=name, kind="convention", text=text))
    if counts.cut:
        text = f"{counts.cut} texts are longer than the model's context and were cut on the left or read in windows."
        notes.append(RunNote(benchmark=name, kind="warning", text=text))
    return notes
