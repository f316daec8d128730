"""Every classic method and control on `smollm2`, one trial each, on the same battery: the table of docs/results.md.

    python benchmarks/methods.py [--row NAME] [--publish]

Each row is a whole trial: fitted on the fold 'fit', tested on the fold 'test' (CrowS-Pairs and ARC, on which nothing is
developed, by a sample), with one sham of each kind. Settings are the methods' defaults, named before anything was
tested; nothing is tuned. `head_mask` takes the ten heads that `head_patching` ranks first on the fold 'fit'. The
untouched model is measured once and shared. All in bfloat16. `--publish` writes what the documentation shows to
docs/results/methods.json.

On two cores a row takes five to ten minutes; everything that is done is kept and gone on with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.errors import DataError
from evenhand.core.trial import Outcome, Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.model import Model

ROWS = [
    "sentence_debias",
    "inlp",
    "leace",
    "self_debias",
    "head_mask",
    "instruction",
    "cda",
    "fine_tuning",
    "cross_entropy",
    "logit_offset",
    "word_list_bias",
    "random_direction",
    "random_heads",
]
BATTERY: dict[str, dict[str, Any]] = {
    "stereoset": {},
    "crows_pairs": {},
    "yes_no": {"questions": "boolq"},
    "gas": {"documents": 320},
    "emission": {},
    "perplexity": {"documents": 320},
    "arc": {},
}
FIT_ON = {"logit_offset": ("yes_no", {"questions": "boolq"})}
"""What is fitted on other items than the method's own choice."""
DTYPE: Literal["float32", "bfloat16"] = "bfloat16"
"""Before, after and shams alike; three times as fast as float32 on processors that have it."""
LIMITS = {"stereoset": 500, "crows_pairs": 250, "yes_no": 120, "emission": 200, "arc": 100}
SHOWN = (
    "stereoset.ss",
    "stereoset.lms",
    "crows_pairs.stereotype_rate",
    "yes_no.yes_rate_gap",
    "yes_no.order_kappa",
    "gas.gas",
    "gas.gld",
    "emission.emission_kl_offset_free",
    "perplexity.perplexity",
    "arc.accuracy_norm",
)
"""The columns of the table."""
HEADS = 10


def battery() -> list[Benchmark]:
    """The benchmarks at hand; what is not is said."""
    found = []
    for name, settings in BATTERY.items():
        benchmark = configured(name, settings)
        try:
            benchmark.load()
        except DataError as error:
            ledger.note(f"{name} is left out: {error}")
            continue
        found.append(benchmark)
    return found


def settings_of(row: str, model: Model, folder: Path) -> dict[str, Any]:
    """Settings that are no defaults: the heads that are masked."""
    if row != "head_mask":
        return {}
    file = folder / "heads.json"
    if not file.exists():
        locator = registry.get("locators", "head_patching")()
        chosen = configured(locator.locate_on.benchmark, locator.locate_on.settings)
        sites = eh.locate(model, locator, eh.items(chosen, fold="fit", limit=200).items, fold="fit")
        ranked = [one.site for one in sites.top(alpha=None) if ".heads." in one.site]
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ranked[:HEADS]), "utf-8")
    return {"heads": tuple(json.loads(file.read_text("utf-8")))}


def measure(row: str, folder: Path) -> ledger.Json:
    """One trial."""
    model = eh.Model.load("smollm2", dtype=DTYPE)
    method = registry.get(registry.kind_of(row), row)(**settings_of(row, model, folder))
    out = folder / row
    shared, own = folder / "before", out / "measured" / "before"
    if shared.exists() and not own.exists():
        shutil.copytree(shared, own)

    def show(what: str, done: int, total: int) -> None:
        if done in (0, total):
            ledger.note(f"{row}: {what} {'begins' if not done else 'done'}")

    fit_on = configured(*FIT_ON[row]) if row in FIT_ON else None
    given: dict[str, Any] = {"fit_on": fit_on, "test_on": battery(), "limit": LIMITS, "rivals": (), "draws": 2000}
    trial = eh.trial(model, method, out=out, resume=True, progress=show, **given)
    if not shared.exists():
        shutil.copytree(own, shared)
    return condensed(trial, SHOWN)


def condensed(trial: Trial, shown: Sequence[str]) -> ledger.Json:
    """What the tables need of a trial: its primary numbers, and those that are shown."""
    numbers = [one for one in trial.outcomes if not one.change.by and name_of(one) in {*shown, *trial.primary}]
    return {
        "method": trial.method,
        "title": trial.card.title,
        "settings": dict(trial.settings),
        "fitted_on": trial.fitted_on,
        "primary": list(trial.primary),
        "verdict": trial.judgement.verdict.value,
        "why": trial.judgement.why,
        "model": trial.model.name,
        "weights": trial.model.weights,
        "dtype": trial.environment.dtype,
        "created": trial.created,
        "arms": [
            {
                "name": arm.name,
                "role": arm.role,
                "seconds_fit": arm.seconds_fit,
                "seconds_measured": arm.seconds_measured,
                "tensors": arm.tensors,
                "mergeable": arm.mergeable,
                "numbers": {name_of(one): number_of(one) for one in numbers if one.arm == arm.name},
            }
            for arm in trial.arms
        ],
        "guards": [{"rule": one.rule, "state": one.state, "reason": one.reason} for one in trial.guard_outcomes],
        "tested_on": {name: facts["n_items"] for name, facts in trial.tested_on.items()},
    }


def name_of(outcome: Outcome) -> str:
    """The number's benchmark and metric."""
    return f"{outcome.change.benchmark}.{outcome.change.metric}"


def number_of(outcome: Outcome) -> dict[str, Any]:
    """Before, after, change with its interval, and what is beyond the shams."""
    change, beyond = outcome.change, outcome.beyond_sham
    return {
        "before": change.before,
        "after": change.after,
        "change": change.value,
        "low": change.low,
        "high": change.high,
        "ideal": change.ideal,
        "unit": change.unit,
        "effect": outcome.effect.value,
        "p_holm": outcome.effect.p_holm,
        "beyond": None if beyond is None else [beyond.value, beyond.low, beyond.high],
    }


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    result = entry["result"]
    ours = next(arm for arm in result["arms"] if arm["role"] == "method")
    shown = {"row": entry["row"], "verdict": result["verdict"]}
    for number, one in ours["numbers"].items():
        if one["change"] is not None:
            ends = "" if one["low"] is None else f" ({one['low']:+.2f} to {one['high']:+.2f})"
            shown[number] = f"{one['after']:.2f} {one['change']:+.2f}{ends}"
    return shown | {"seconds to fit": f"{ours['seconds_fit']:.0f}"}


def settings(_: str, folder: Path) -> ledger.Json:
    """What decides a row's numbers."""
    return {"battery": BATTERY, "limits": LIMITS, "dtype": DTYPE}


def main() -> None:
    """Command line."""
    ledger.main(__doc__, "methods", ROWS, settings, measure, cells)


if __name__ == "__main__":
    main()
