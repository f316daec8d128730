"""A whole trial: fit the method, its shams and rivals on one fold, choose a strength on another, test on a third."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.core import registry
from evenhand.core.errors import PlanMismatch, UsageError
from evenhand.core.items import Item
from evenhand.core.journal import write_atomic
from evenhand.core.trial import GridPoint, Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._folder import check
from evenhand.measure._plan import Chat, configured, in_chat
from evenhand.measure._run import Progress
from evenhand.mitigate._fit import fit
from evenhand.mitigate._mitigation import Mitigation
from evenhand.prove._arms import Candidate, Settings, slug
from evenhand.prove._grid import choose
from evenhand.prove._leakage import apart
from evenhand.prove._prove import compared
from evenhand.prove._tests import Limit, Tests, fit_items, inputs_of_test, tests_of

if TYPE_CHECKING:
    from evenhand.model import Model, Patch


def trial(
    model: Model,
    method: Mitigation,
    *,
    fit_on: Benchmark | None = None,
    test_on: Sequence[Benchmark | str] | None = None,
    guards: Sequence[str] | None = None,
    rivals: Sequence[str] | None = None,
    seeds: int = 1,
    shams: int = 1,
    grid: bool = False,
    limit: Limit = None,
    seed: int = 0,
    level: float = 0.95,
    draws: int = 10_000,
    chat: Chat = "auto",
    out: Path | str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Trial:
    """Fit a method and its shams, and prove.

    Args:
        model: the model, with nothing installed.
        method: the method with its settings.
        fit_on: what it is fitted on, its fold 'fit'; None = the method's own choice.
        test_on: benchmarks instead of the method's own; where there is a split, their fold 'test'.
        guards: rules instead of the method's own.
        rivals: names of controls for the same table instead of the method's own; () for none.
        seeds: how many times the method is fitted, with seeds `seed`, `seed + 1`, ...
        shams: how many times each sham of the method is fitted for each seed; 0 = none, then nothing can be "improved".
        grid: try the method's strengths on the fold 'choose' and take the best that keeps the guards.
        limit: at most so many items of each benchmark, in fitting and testing; or by name, in testing only.
        seed: of fitting, samples and intervals.
        level: of the intervals.
        draws: of the bootstrap.
        chat: put prompts into the chat format, in measuring and, where the method leaves it open, in fitting.
        out: folder for patches, records and trial.json; None keeps only the trial that is returned.
        resume: go on with what `out` holds.
        progress: called with what is done, steps or tokens done and in all.
        command: the command line, for the record.

    Raises:
        UsageError: an argument out of its range, or a model that the method cannot change.
        PlanMismatch: `out` holds another trial.
        Leakage: something would be tested on what it was fitted on.
        DataError: the items do not hold what the method needs.
    """
    if seeds < 1 or shams < 0 or (isinstance(limit, int) and limit < 1):
        raise UsageError(f"seeds={seeds}, shams={shams}, limit={limit}: expected at least 1, 0 and 1.")
    source = fit_on if fit_on is not None else _own(method)
    tests = tests_of(method, source, test_on, guards, limit, ())
    settings = Settings(chat, seed, level, draws, resume, command, progress)
    named = method.rivals if rivals is None else tuple(rivals)
    with ExitStack() as undo:
        folder = Path(out) if out is not None else Path(undo.enter_context(tempfile.TemporaryDirectory()))
        check(folder)
        facts = _facts(model, method, source, tests, settings, (seeds, shams, grid, limit, named))
        _agree(folder / "plan.json", facts, resume=resume)
        work = _Fitting(model, source, tests, limit, settings, folder, reads_test=method.reads_test)
        points: tuple[GridPoint, ...] = ()
        notes: tuple[str, ...] = ()
        if grid and method.reads_test:
            raise UsageError(
                f"{method.name} is set to read the inputs of the test, so nothing can be chosen before it."
            )
        if grid:
            method, points, notes = choose(model, method, work, tests, settings, folder)
        candidates = _candidates(work, method, seeds, shams)
        candidates += [work.fitted(f"rival: {name}", "rival", rival_of(method, name), seed, "") for name in named]
        notes += (*work.notes, *_formats(model, method.asking(chat), tests, chat))
        return compared(model, candidates, tests, settings, folder, keep=out is not None, grid=points, notes=notes)


def rival_of(method: Mitigation, name: str) -> Mitigation:
    """A control, or another mitigation, trained as the method is where it trains too; otherwise by default."""
    cls = registry.get(registry.kind_of(name), name)
    made: Mitigation = cls(**{key: one for key, one in method.for_rivals().items() if key in cls.model_fields})
    return made


class _Fitting:
    """Fits what is not yet in the folder.

    Attributes:
        items: what the method is fitted on.
        notes: what must be said of them.
    """

    def __init__(
        self,
        model: Model,
        source: Benchmark | None,
        tests: Tests,
        limit: Limit,
        settings: Settings,
        out: Path,
        *,
        reads_test: bool = False,
    ) -> None:
        self.reads_test = reads_test
        self.tests = tests
        self.notes: dict[str, None] = {}
        self.model = model
        self.source = source
        self.limit = limit
        self.settings = settings
        self.out = out
        self.items: Sequence[Item] = self._of(source, reads_test)

    def _of(self, source: Benchmark | None, reads_test: bool) -> Sequence[Item]:
        """Items to fit on: those of the fold 'fit', or the unlabelled ones of the test."""
        if source is None:
            return ()
        if reads_test:
            return inputs_of_test(source, self.limit, self.settings.seed)
        found = fit_items(source, self.limit, self.settings.seed)
        tested = {name: loaded.items for name, loaded in self.tests.loaded(self.settings.seed).items()}
        kept = apart(found, tested)
        if len(kept) < len(found):
            self.notes[
                f"{len(found) - len(kept):,} of {len(found):,} items of {source.name} to fit on were left out because "
                "they share runs of words with items to test on."
            ] = None
        return kept

    def fitted(
        self,
        name: str,
        role: Any,
        method: Mitigation,
        seed: int,
        sham: str,
        items: Sequence[Item] | None = None,
        folder: str = "",
    ) -> Candidate:
        """A candidate; its patch is read from the folder if it is there already."""
        from evenhand.model import Patch

        place = folder or slug(name)
        path = self.out / place
        if self.settings.resume and (path / "patch.json").exists():
            patch = Patch.load(path)
        else:
            patch = self.fit(name, method, seed, sham, items)
            patch.save(path)
        return Candidate(name, role, patch, place)

    def fit(self, name: str, method: Mitigation, seed: int, sham: str, items: Sequence[Item] | None = None) -> Patch:
        """One fit. A method that reads other texts than the trial's items have gets items of its own choice."""
        source = self.source
        found = self.items if items is None else items
        if items is None and method.reads_test != self.reads_test:
            found = self._of(source, method.reads_test)
        if items is None and method.fit_on is not None and not method.can_read(found):
            source = _own(method)
            found = self._of(source, method.reads_test)
        if method.fit_on is None:
            source, found = None, ()
        if self.settings.progress is not None:
            self.settings.progress(f"fitting {name}", 0, 1)
        patch = fit(
            self.model,
            method.asking(self.settings.chat),
            found,
            seed=seed,
            benchmark=(source.folds_of or source.name) if source is not None else "",
            fold=("test" if method.reads_test else "fit") if source is not None else "",
            sham=sham,
        )
        if self.settings.progress is not None:
            self.settings.progress(f"fitting {name}", 1, 1)
        return patch


def _candidates(work: _Fitting, method: Mitigation, seeds: int, shams: int) -> list[Candidate]:
    """The method with each seed, then its shams."""
    import numpy as np

    first = work.settings.seed
    several = seeds > 1
    ours = [
        work.fitted(
            f"{method.name} (seed {seed})" if several else method.name,
            "method",
            method,
            seed,
            "",
            folder=f"patch-{seed}" if several else "patch",
        )
        for seed in range(first, first + seeds)
    ]
    others: list[Candidate] = []
    for one in ours:
        seed = one.patch.provenance.seed
        for turn in range(shams):
            rng = np.random.default_rng([seed, turn, 1])
            for sham in method.shams(work.items, one.patch.tensors, rng):
                told = [f"seed {seed}"] * several + [f"draw {turn + 1}"] * (shams > 1)
                name = f"sham: {sham.name}" + (f" ({', '.join(told)})" if told else "")
                drawn = seed + 1000 * (turn + 1)  # a sham that differs from the method by its draws alone must differ
                others.append(work.fitted(name, "sham", sham.method, drawn, sham.name, sham.items))
    return [*ours, *others]


def _own(method: Mitigation) -> Benchmark | None:
    """What the method is fitted on by its own choice."""
    return None if method.fit_on is None else configured(method.fit_on.benchmark, method.fit_on.settings)


def _formats(model: Model, method: Mitigation, tests: Tests, chat: Chat) -> tuple[str, ...]:
    """What must be said if a method is set to a format in which what it claims to better is not measured."""
    own = getattr(method, "chat", "auto")
    primary = {number.partition(".")[0] for number in tests.primary}
    talks = {one.name: in_chat(one, chat, model) for one in tests.benchmarks if one.name in primary}
    others = [name for name, talk in talks.items() if own != "auto" and talk != (own == "on")]
    if not others:
        return ()
    how, otherwise = ("in", "without") if own == "on" else ("without", "in")
    return (f"{method.name} was fitted {how} the chat format, but {', '.join(others)} is asked {otherwise} it.",)


def _facts(
    model: Model,
    method: Mitigation,
    source: Benchmark | None,
    tests: Tests,
    settings: Settings,
    counts: tuple[int, int, bool, Limit, Sequence[str]],
) -> dict[str, Any]:
    """Everything that decides the trial, as plain data."""
    seeds, shams, grid, limit, rivals = counts
    return {
        "model": model.identity.fingerprint,
        "method": method.name,
        "settings": method.model_dump(mode="json"),
        "fit_on": None if source is None else {source.name: source.model_dump(mode="json")},
        "test_on": {one.name: one.model_dump(mode="json") for one in tests.benchmarks},
        "folds": dict(tests.folds),
        "limits": dict(tests.limit),
        "primary": list(tests.primary),
        "guards": [guard.rule for guard in tests.guards],
        "seeds": seeds,
        "shams": shams,
        "grid": grid,
        "limit": dict(limit) if isinstance(limit, Mapping) else limit,
        "rivals": list(rivals),
        "numbers": {"seed": settings.seed, "level": settings.level, "draws": settings.draws},
        "chat": settings.chat,
    }


def _agree(file: Path, facts: dict[str, Any], *, resume: bool) -> None:
    """Write what the trial will do before anything is fitted, or check that the folder's trial is this one."""
    plan = {"plan": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16], **facts}
    if not file.exists():
        write_atomic(file, json.dumps(plan, indent=1, sort_keys=True) + "\n")
        return
    begun = json.loads(file.read_text("utf-8"))
    if begun.get("plan") != plan["plan"]:
        differing = [name for name in facts if begun.get(name) != json.loads(json.dumps(facts[name]))]
        raise PlanMismatch(
            f"{file.parent} holds another trial; what differs: {', '.join(differing) or 'the version'}. Choose another "
            "--out, or repeat the command that began it."
        )
    if not resume:
        raise UsageError(f"{file.parent} holds this trial, finished or not: add --resume to go on with it.")
