"""NASA on `smollm2`: the paper's form, the variant in both orders, random heads, and one constant per order.

    python benchmarks/nasa.py [--row NAME] [--publish]

A row is one arm with one seed: fitted on StrategyQA's training questions of the fold 'fit', tested on 1,001 questions
of the fold 'test' that nothing was fitted or chosen on (StrategyQA, both parts, and BoolQ with passages of at most 63
words), each in both orders. `random heads` is the sham of `nasa_balanced`: the same tuning on as many heads drawn at
random. `logit_offset` adds one constant per order, fitted on the same questions. Ability: samples of ARC and MMLU.
`ability` asks the untouched model and `nasa_balanced` many more of those questions. `together` compares
all arms, the seeds by their mean, and proves `nasa_balanced` against its shams and the constant.
Settings are the methods' defaults, chosen on the fold 'choose'. All in bfloat16, fits too. `--publish` writes what the
documentation shows to docs/results/nasa.json.

Everything that is done is kept and gone on with.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.record import Change
from evenhand.core.trial import Outcome
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._numbers import metrics_of, restricted
from evenhand.measure._plan import configured
from evenhand.measure.yes_no import ORDERS, YesNo
from evenhand.metrics._effect import mean_change
from evenhand.metrics._metric import Metric
from evenhand.mitigate._mitigation import Mitigation
from evenhand.model import Model, Patch
from evenhand.prove import _arms
from evenhand.prove._arms import BEFORE, Measured, Settings
from evenhand.prove._compare import Paired, outcome, pair
from evenhand.prove._reliability import bins
from evenhand.prove._tests import Tests, tests_of

SEEDS = (0, 1, 2)
OURS, PAPERS, SHAM, OFFSET = "nasa_balanced", "nasa", "random heads", "logit_offset"
ROWS = [
    BEFORE,
    *(f"{name}, seed {SEEDS[0]}" for name in (OURS, SHAM)),
    OFFSET,
    f"{PAPERS}, seed {SEEDS[0]}",
    *(f"{name}, seed {seed}" for seed in SEEDS[1:] for name in (OURS, SHAM, PAPERS)),
    "ability",
    "together",
]
PASSAGE_WORDS = 63
"""BoolQ has 314 questions of the fold 'test' whose passage is no longer; 1,001 questions in all."""
DTYPE: Literal["float32", "bfloat16"] = "bfloat16"
LIMITS = {"yes_no": 4000, "arc": 200, "mmlu": 100}
ABILITY = {"arc": 1165, "mmlu": 1000}
"""Questions of the row `ability`."""
GUARDS = ("arc.accuracy_norm>=-1", "mmlu.accuracy>=-1")
SETTINGS = Settings("auto", 0, 0.95, 2000, True, "", None)
SLICES = (*({"order": one} for one in ORDERS), {"category": "strategyqa"}, {"category": "boolq"})
SLICED = tuple(
    f"yes_no.{name}"
    for name in (
        "yes_rate",
        "yes_rate_gap",
        "order_kappa",
        "yes_precision",
        "yes_recall",
        "yes_f1",
        "precision_recall_gap",
        "ece_width",
        "auc",
    )
)
"""What is told by order and by question set too."""


class HeldOut(YesNo):
    """Questions of several sets together; the set is their category."""

    name: ClassVar[str] = YesNo.name
    sets: tuple[Literal["strategyqa_train", "strategyqa", "boolq"], ...] = ("strategyqa_train", "strategyqa", "boolq")

    def load(self) -> Loaded:
        """All sets, one after the other."""
        parts = [(name, YesNo(questions=name, passage_words=self.passage_words).load()) for name in self.sets]
        items = tuple(
            replace(item, groups={**item.groups, "category": name.removesuffix("_train")})
            for name, part in parts
            for item in part.items
        )
        return Loaded(items, tuple(use for _, part in parts for use in part.data), parts[0][1].notes[:1])


def battery() -> list[Benchmark]:
    """What all arms are measured on."""
    return [HeldOut(passage_words=PASSAGE_WORDS), configured("arc", {}), configured("mmlu", {})]


def tests() -> Tests:
    """The battery with folds, samples and primary numbers."""
    return tests_of(registry.get("mitigations", OURS), None, battery(), GUARDS, LIMITS, {"yes_no"})


def measure(row: str, folder: Path) -> ledger.Json:
    """One row."""
    model = eh.Model.load("smollm2", dtype=DTYPE)
    if row == "together":
        return together(model, folder)
    if row == "ability":
        return ability(model, folder)
    patch = None if row == BEFORE else patch_of(row, model, folder)
    ledger.note(f"{row}: measuring")
    found = _arms.run(model, row, patch, tests(), SETTINGS, folder)
    numbers = {f"{one.benchmark}.{one.metric}": one.value for one in found.record.estimates if not one.by}
    told = {} if patch is None else {"seconds_fit": patch.provenance.seconds, "notes": list(patch.provenance.notes)}
    return {"numbers": numbers, "seconds": found.record.seconds, **told}


def patch_of(row: str, model: Model, folder: Path) -> Patch:
    """The patch of an arm, fitted if it is not there."""
    place = folder / "patches" / _arms.slug(row)
    if (place / "patch.json").exists():
        return Patch.load(place)
    name, _, told = row.partition(", seed ")
    seed = int(told or 0)
    items = eh.items(configured("yes_no", {"questions": "strategyqa_train"}), fold="fit").items
    method: Mitigation
    if name == SHAM:
        own = patch_of(f"{OURS}, seed {seed}", model, folder)
        (sham,) = own.method.shams(items, own.tensors, np.random.default_rng([seed, 0, 1]))
        method = sham.method
    else:
        method = registry.get(registry.kind_of(name), name)()
    ledger.note(f"{row}: fitting")
    drawn = seed + 1000 * (name == SHAM)
    patch = eh.fit(model, method, items, seed=drawn, benchmark="yes_no", fold="fit", sham=SHAM if name == SHAM else "")
    patch.save(place)
    return patch


def arms(folder: Path | None = None) -> dict[str, list[str]]:
    """Groups of arms: the seeds of one method, with a folder those that were measured."""
    every = {name: [f"{name}, seed {seed}" for seed in SEEDS] for name in (OURS, PAPERS, SHAM)} | {OFFSET: [OFFSET]}
    if folder is None:
        return every
    done = {name: [row for row in rows if measured(row, folder)] for name, rows in every.items()}
    return {name: rows for name, rows in done.items() if rows}


def measured(row: str, folder: Path) -> bool:
    """Whether an arm was measured to its end."""
    return (folder / "measured" / _arms.slug(row) / "record.json").exists()


def together(model: Model, folder: Path) -> ledger.Json:
    """All arms compared on the same items; nothing is measured again."""
    plan, groups = tests(), arms(folder)
    runs: dict[str, Measured] = {BEFORE: _arms.run(model, BEFORE, None, plan, SETTINGS, folder)}
    patches: dict[str, Patch] = {}
    for row in (row for found in groups.values() for row in found):
        patches[row] = patch_of(row, model, folder)
        runs[row] = _arms.run(model, row, patches[row], plan, SETTINGS, folder)
    pairs = {one.name: pair(one, runs) for one in plan.benchmarks}
    tables = pairs["yes_no"].tables
    return {
        "groups": {name: compared(pairs, rows, groups[SHAM]) for name, rows in groups.items()},
        "curves": {
            name: {order: bins([tables[row] for row in rows], n) for n, order in enumerate(ORDERS)}
            for name, rows in {BEFORE: [BEFORE], **groups}.items()
        },
        "heads": {row: heads(patch) for row, patch in patches.items() if row != OFFSET},
        "proof": proved(model, patches, groups, folder),
        "items": {name: len(next(iter(of.tables.values()))) for name, of in pairs.items()},
        "base": {
            of: float(np.mean(tables[BEFORE]["truth"][_of(tables[BEFORE], of)])) for of in ("strategyqa", "boolq")
        },
    }


def ability(model: Model, folder: Path) -> ledger.Json:
    """ARC and MMLU by larger samples, before and with the seeds of `nasa_balanced`."""
    battery = [configured(name, {}) for name in ABILITY]
    plan = tests_of(registry.get("mitigations", OURS), None, battery, (), ABILITY, set())
    rows = arms(folder)[OURS]
    runs = {BEFORE: _arms.run(model, BEFORE, None, plan, SETTINGS, folder / "ability")}
    for row in rows:
        ledger.note(f"ability: {row}")
        runs[row] = _arms.run(model, row, patch_of(row, model, folder), plan, SETTINGS, folder / "ability")
    pairs = {one.name: pair(one, runs) for one in plan.benchmarks}
    return {
        "numbers": compared(pairs, rows, rows),
        "items": {name: len(next(iter(of.tables.values()))) for name, of in pairs.items()},
    }


def compared(pairs: Mapping[str, Paired], rows: Sequence[str], shams: Sequence[str]) -> list[ledger.Json]:
    """Every number of a group, whole, by order and by question set; the mean of the seeds and each seed."""
    against = () if rows == shams else shams
    found = []
    for name, paired in pairs.items():
        before, after = paired.tables[BEFORE], [paired.tables[row] for row in rows]
        for metric in metrics_of(paired.benchmark):
            whole = number(outcome(paired, rows, against, metric, {}, "other", SETTINGS, name=rows[0]))
            found.append(whole | {"each": [value(paired, row, metric, {}) for row in rows]})
            for by in SLICES if f"{name}.{metric.name}" in SLICED else ():
                if metric.name == "order_kappa" and "order" in by:
                    continue
                chosen = {**paired.benchmark.select().get(metric.name, {}), **by}
                tables = [restricted(table, chosen) for table in (before, *after)]
                told: dict[str, Any] = {"level": SETTINGS.level, "draws": SETTINGS.draws, "seed": SETTINGS.seed}
                change = mean_change(tables[0], tables[1:], metric, benchmark=name, by=by, **told)
                found.append(number(change) | {"each": [value(paired, row, metric, by) for row in rows]})
    return found


def value(paired: Paired, row: str, metric: Metric, by: Mapping[str, str]) -> float | None:
    """A number of one arm."""
    part = restricted(paired.tables[row], {**paired.benchmark.select().get(metric.name, {}), **by})
    found = float(metric.value(metric.sums(part).sum(axis=0)))
    return None if np.isnan(found) else found


def number(one: Outcome | Change) -> ledger.Json:
    """A number before and after, with the interval of its change and of what is beyond the random heads."""
    change, beyond = (one, None) if isinstance(one, Change) else (one.change, one.beyond_sham)
    return {
        "name": f"{change.benchmark}.{change.metric}",
        "by": dict(change.by),
        "before": change.before,
        "after": change.after,
        "change": change.value,
        "low": change.low,
        "high": change.high,
        "ideal": change.ideal,
        "unit": change.unit,
        "beyond": None if beyond is None else [beyond.value, beyond.low, beyond.high],
    }


def heads(patch: Patch) -> ledger.Json:
    """Which heads were tried and kept."""
    return {which: patch.tensors[which].tolist() for which in ("tried", "kept")}


def proved(model: Model, patches: Mapping[str, Patch], groups: Mapping[str, list[str]], folder: Path) -> ledger.Json:
    """The verdict on `nasa_balanced`, from copies of what was measured."""
    out = folder / "proof"
    names = {}
    for group, name in ((OURS, OURS), (SHAM, f"sham: {SHAM}")):
        several = len(groups[group]) > 1
        names |= {row: f"{name} (seed {patches[row].provenance.seed})" if several else name for row in groups[group]}
    for row, name in {BEFORE: BEFORE, **names, OFFSET: OFFSET}.items():
        target = out / "measured" / _arms.slug(name)
        if not target.exists():
            shutil.copytree(folder / "measured" / _arms.slug(row), target)
    trial = eh.prove(
        model,
        [patches[row] for row in groups[OURS]],
        shams=[patches[row] for row in groups[SHAM]],
        rivals=[patches[OFFSET]],
        test_on=battery(),
        guards=GUARDS,
        limit=LIMITS,
        draws=SETTINGS.draws,
        out=out,
        resume=True,
    )
    return {
        "verdict": trial.judgement.verdict.value,
        "why": trial.judgement.why,
        "by_seed": [[one.seed, one.verdict.value] for one in trial.by_seed],
        "guards": [{"rule": one.rule, "state": one.state, "arm": one.arm} for one in trial.guard_outcomes],
        "settings": dict(trial.settings),
        "weights": trial.model.weights,
    }


def _of(table: Any, category: str) -> Any:
    return np.array([one == category for one in table.groups["category"]])


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    result, shown = entry["result"], {"row": entry["row"]}
    if entry["row"] == "together":
        return shown | {"verdict": result["proof"]["verdict"]}
    if entry["row"] == "ability":
        return shown | {one["name"]: f"{one['before']:.2f} to {one['after']:.2f}" for one in result["numbers"]}
    for name in ("yes_rate_gap", "order_kappa", "ece_width", "auc"):
        value = result["numbers"][f"yes_no.{name}"]
        shown[name] = "" if value is None else f"{value:.3f}"
    return shown | {"seconds to fit": f"{result.get('seconds_fit', 0):.0f}"}


def settings(row: str, folder: Path) -> ledger.Json:
    """What decides a row's numbers."""
    used = {name: registry.get("mitigations", name)().model_dump(mode="json") for name in (OURS, PAPERS)}
    told = {"passage_words": PASSAGE_WORDS, "limits": LIMITS, "dtype": DTYPE}
    if row == "ability":
        return {"limits": ABILITY, "dtype": DTYPE, OURS: used[OURS], "arms": arms(folder)[OURS]}
    if row == "together":
        return told | used | {"arms": [one for found in arms(folder).values() for one in found]}
    return told if row in (BEFORE, OFFSET) else told | used


def main() -> None:
    """Command line."""
    ledger.main(__doc__, "nasa", ROWS, settings, measure, cells)


if __name__ == "__main__":
    main()
