"""Compare: the untouched model, patches, shams and rivals on the same items; guards, collateral, a verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.core.errors import UsageError
from evenhand.core.journal import write_atomic
from evenhand.core.trial import Continuation, Example, GridPoint, GuardOutcome, Judgement, Outcome, Role, Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._folder import check
from evenhand.measure._plan import Chat
from evenhand.measure._run import Progress
from evenhand.prove import _arms, _copying, _ledger, _reliability
from evenhand.prove._arms import BEFORE, Candidate, Measured, Settings
from evenhand.prove._compare import Paired, guarded, outcomes, pair, primary
from evenhand.prove._examples import continuations, telling
from evenhand.prove._leakage import refuse
from evenhand.prove._tests import Limit, Tests, tests_of
from evenhand.prove._verdict import corrected, judge

if TYPE_CHECKING:
    from evenhand.model import Model, Patch


def prove(
    model: Model,
    patches: Sequence[Patch],
    *,
    shams: Sequence[Patch] = (),
    rivals: Sequence[Patch] = (),
    test_on: Sequence[Benchmark | str] | None = None,
    guards: Sequence[str] | None = None,
    limit: Limit = None,
    chat: Chat = "auto",
    seed: int = 0,
    level: float = 0.95,
    draws: int = 10_000,
    out: Path | str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Trial:
    """Measure patches of one method against the untouched model, shams and rivals, and judge.

    Args:
        model: the model that the patches were fitted on, with nothing installed.
        patches: one per seed, of the same method and settings.
        shams: patches without the mechanism.
        rivals: patches of other methods, for the same table.
        test_on: benchmarks instead of the method's own.
        guards: rules such as 'perplexity.perplexity<=+5%' instead of the method's own.
        limit: at most so many items of each benchmark, or by name.
        chat: put prompts into the chat format.
        seed: of samples and intervals.
        level: of the intervals.
        draws: of the bootstrap.
        out: folder for everything; None keeps only the trial that is returned.
        resume: go on with what `out` holds.
        progress: called with "ARM: BENCHMARK", tokens done and tokens in all.
        command: the command line, for the record.

    Raises:
        UsageError: no patch, or patches of different methods.
        WrongBase: a patch was fitted on another model.
        Leakage: something would be tested on what it was fitted on.
    """
    if not patches:
        raise UsageError("There is no patch to prove.")
    methods = {(patch.method.name, str(patch.method.model_dump(mode="json"))) for patch in patches}
    if len(methods) > 1:
        raise UsageError("The patches are of different methods or settings; prove one method at a time, and compare.")
    name = patches[0].method.name
    candidates = [
        *_named(name, "method", patches),
        *(one for sham in dict.fromkeys(p.provenance.sham or "sham" for p in shams) for one in _shams(sham, shams)),
        *(one for rival in rivals for one in _named(rival.method.name, "rival", [rival])),
    ]
    names = [one.name for one in candidates]
    if len(set(names)) < len(names):
        raise UsageError(f"Two arms have the same name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}.")
    cls: Any = type(patches[0].method)
    sources = (one.provenance.fitted_on for one in (*patches, *shams, *rivals))
    fitted = {one.benchmark for one in sources if one is not None and one.fold == "fit"}
    tests = tests_of(cls, None, test_on, guards, limit, fitted)
    settings = Settings(chat, seed, level, draws, resume, command, progress)
    with ExitStack() as undo:
        folder = Path(out) if out is not None else Path(undo.enter_context(tempfile.TemporaryDirectory()))
        return compared(model, candidates, tests, settings, folder, keep=out is not None)


def _reads_test(patch: Patch) -> bool:
    """Whether it was fitted on the unlabelled inputs of the test, as its method is set."""
    return bool(getattr(patch.method, "reads_test", False))


def _named(name: str, role: Role, patches: Sequence[Patch]) -> list[Candidate]:
    if len(patches) == 1:
        return [Candidate(name, role, patches[0])]
    return [Candidate(f"{name} (seed {patch.provenance.seed})", role, patch) for patch in patches]


def _shams(sham: str, shams: Sequence[Patch]) -> list[Candidate]:
    return _named(f"sham: {sham}", "sham", [patch for patch in shams if (patch.provenance.sham or "sham") == sham])


def compared(
    model: Model,
    candidates: Sequence[Candidate],
    tests: Tests,
    settings: Settings,
    out: Path,
    *,
    keep: bool,
    grid: Sequence[GridPoint] = (),
    notes: Sequence[str] = (),
) -> Trial:
    """Measure all candidates on the same items and write `trial.json`; with `keep`, count the look in the ledger.

    Raises:
        WrongBase: a patch was fitted on another model.
        Leakage: something would be tested on what it was fitted on.
    """
    began = time.perf_counter()
    check(out)
    loaded = tests.loaded(settings.seed)
    for one in candidates:
        one.patch.check_base(model.identity)
        if one.patch.provenance.fitted_on is not None and not _reads_test(one.patch):
            refuse(one.patch.provenance.fitted_on, {name: found.items for name, found in loaded.items()})
    runs: dict[str, Measured] = {BEFORE: _arms.run(model, BEFORE, None, tests, settings, out)}
    for one in candidates:
        runs[one.name] = _arms.run(model, one.name, one.patch, tests, settings, out)
    pairs = {benchmark.name: pair(benchmark, runs) for benchmark in tests.benchmarks}
    ours = [one.name for one in candidates if one.role == "method"]
    shams = [one.name for one in candidates if one.role == "sham"]
    found = _outcomes(pairs, [one.name for one in candidates], ours, shams, tests, settings)
    guards = guarded(found, ours, tests)
    method = next(one.patch for one in candidates if one.role == "method")
    cls: Any = type(method.method)
    judgement, by_seed = _judged(pairs, candidates, found, guards, tests, settings, cls.no_sham if not shams else "")
    fitted = method.provenance.fitted_on
    where = f", fold {fitted.fold!r}" if fitted is not None and fitted.fold else ""
    ours_by_name = {one.name: one.patch for one in candidates if one.role == "method"}
    copying = _copying.warnings(model, ours_by_name, [i for one in loaded.values() for i in one.items], settings.seed)
    looked = _ledger.looks(out.parent, {name: str(tests.folds.get(name, "all")) for name in pairs}) if keep else {}
    trial = Trial(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=settings.command,
        model=model.identity,
        environment=runs[BEFORE].record.environment,
        method=method.method.name,
        card=cls.card,
        settings=method.method.model_dump(mode="json"),
        fitted_on=f"{fitted.n_items:,} items of {fitted.benchmark or 'your own'}{where}" if fitted is not None else "",
        transductive=_reads_test(method),
        tested_on={run.name: _tested(tests, run.name, run.n_items) for run in runs[BEFORE].record.benchmarks},
        primary=tests.primary,
        guards=tuple(guard.rule for guard in tests.guards),
        level=settings.level,
        draws=settings.draws,
        seed=settings.seed,
        before=f"measured/{_arms.slug(BEFORE)}",
        arms=tuple(_arms.arm(one, runs[one.name], model) for one in candidates),
        outcomes=tuple(found),
        guard_outcomes=tuple(guards),
        judgement=judgement,
        by_seed=tuple(by_seed),
        grid=tuple(grid),
        examples=_examples(pairs, runs, ours[0], tests),
        continuations=_continuations(model, candidates),
        findings=_reliability.curves(pairs, {method.method.name: ours, "shams": shams}),
        data=runs[BEFORE].record.data,
        no_sham=cls.no_sham if not shams else "",
        notes=tuple([*notes, *_notes(pairs, looked), *copying]),
        seconds=round(time.perf_counter() - began, 3),
    )
    write_atomic(out / "trial.json", trial.model_dump_json(by_alias=True, indent=1) + "\n")
    if keep:
        _ledger.add(out.parent, trial)
    return trial


def _outcomes(
    pairs: dict[str, Paired],
    arms: Sequence[str],
    ours: Sequence[str],
    shams: Sequence[str],
    tests: Tests,
    settings: Settings,
) -> list[Outcome]:
    """All outcomes; the p values of each arm's primary numbers are corrected together."""
    found = [one for paired in pairs.values() for one in outcomes(paired, arms, ours, shams, tests, settings)]
    for arm in arms:
        places = [n for n, one in enumerate(found) if one.arm == arm and one.role == "primary"]
        for place, one in zip(places, corrected([found[place] for place in places]), strict=True):
            found[place] = one
    return found


def _judged(
    pairs: dict[str, Paired],
    candidates: Sequence[Candidate],
    found: Sequence[Outcome],
    limits: Sequence[GuardOutcome],
    tests: Tests,
    settings: Settings,
    no_sham: str,
) -> tuple[Judgement, list[Judgement]]:
    """The verdict over all seeds, and that of each seed if there are several."""
    ours = [one for one in candidates if one.role == "method"]
    shams = [one.name for one in candidates if one.role == "sham"]
    whole = corrected(primary(pairs, [one.name for one in ours], shams, tests, settings))
    overall = judge(whole, limits, seed=None, level=settings.level, no_sham=no_sham)
    if len(ours) == 1:
        return overall, []
    by_seed = []
    for one in ours:
        own = [outcome for outcome in found if outcome.arm == one.name and outcome.role == "primary"]
        mine = [limit for limit in limits if limit.arm == one.name]
        by_seed.append(judge(own, mine, seed=one.patch.provenance.seed, level=settings.level, no_sham=no_sham))
    return overall, by_seed


def _tested(tests: Tests, name: str, n_items: int) -> dict[str, object]:
    benchmark = next(one for one in tests.benchmarks if one.name == name)
    return {
        "settings": benchmark.model_dump(mode="json"),
        "fold": tests.folds.get(name),
        "limit": tests.limit.get(name),
        "n_items": n_items,
    }


def _examples(pairs: dict[str, Paired], runs: dict[str, Measured], arm: str, tests: Tests) -> tuple[Example, ...]:
    names = dict.fromkeys(number.partition(".")[0] for number in tests.primary)
    return tuple(one for name in names for one in telling(name, runs[BEFORE], runs[arm]))


def _continuations(model: Model, candidates: Sequence[Candidate]) -> tuple[Continuation, ...]:
    if model.task != "decoder":
        return ()
    shown = [next(one for one in candidates if one.role == "method"), *(c for c in candidates if c.role == "sham")][:2]
    return continuations(model, {one.name: one.patch for one in shown})


def _notes(pairs: dict[str, Paired], looked: dict[str, int]) -> list[str]:
    notes = [
        f"{name}: {paired.lost} items were not scored in every arm and are left out."
        for name, paired in pairs.items()
        if paired.lost
    ]
    again = [f"{name} ({count} times)" for name, count in looked.items() if count]
    if again:
        notes.append(
            f"Earlier trials in this folder looked at the same test items: {', '.join(again)}. The more often one "
            "looks, the more likely chance looks like an effect; p values are corrected within this trial only."
        )
    return notes
