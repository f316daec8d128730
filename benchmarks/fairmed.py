"""FairMed on `smollm2`: what its probers tell, what the published neutraliser does, and what the causal variant does.

    python benchmarks/fairmed.py [--row NAME] [--publish]

The row `probers` trains on the fold 'fit' of the concept cues and is tested on concepts of the fold 'test', with three
seeds. The other rows are whole trials, one for each method and seed: fitted on 'fit', tested on 'test', with a random
direction and shuffled labels as shams and one constant per group (logit_offset, fitted on the same cues) as the rival;
emission of the four targeted attributes first, of the five others as collateral. Settings are the methods' defaults,
which were chosen on the fold 'choose'. `--publish` writes what the documentation shows to docs/results/fairmed.json.

Everything that is done is kept and gone on with.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.errors import DataError
from evenhand.core.sites import Part
from evenhand.core.trial import Outcome, Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.mitigate import _fairmed_prober as prober
from evenhand.mitigate._fairmed_cues import Cues, read
from evenhand.model import Model, Patch

ATTRIBUTES = ("gender", "age", "religion", "race")
OTHERS = ("disability", "nationality", "physical_appearance", "sexual_orientation", "socioeconomic_status")
SEEDS = (0, 1, 2)
METHODS = ("fairmed", "fairmed_causal")
ROWS = [
    "probers",
    *(f"{method}, seed {seed}" for seed in SEEDS for method in METHODS[::-1]),
]
BATTERY: dict[str, dict[str, Any]] = {
    "emission": {"attributes": ATTRIBUTES},
    "stereoset": {},
    "crows_pairs": {},
    "gas": {"documents": 80},
    "perplexity": {"documents": 160},
    "arc": {},
}
LIMITS = {"stereoset": 600, "crows_pairs": 400, "emission": 2000, "arc": 200}
PUBLISHED = Path(__file__).parents[1] / "docs" / "results" / "fairmed.json"


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


def measure(row: str, folder: Path) -> ledger.Json:
    """One row."""
    model = eh.Model.load("smollm2")
    if row == "probers":
        return {attribute: probers(model, attribute) for attribute in ATTRIBUTES}
    name, _, seed = row.partition(", seed ")
    return tried(model, name, int(seed), folder)


def probers(model: Model, attribute: str) -> ledger.Json:
    """Macro-F1 of every layer on concepts that were not trained on: within 'fit', and on 'test'."""
    sites = model.anatomy.sites(Part.MLP)
    benchmark = configured("emission", {"attributes": (attribute,)})
    rng = np.random.default_rng(0)
    own, new = (
        read(model, eh.items(benchmark, fold=f).items, rng, wanted=(), limit=999, others=0, method="probers")[0]
        for f in ("fit", "test")
    )
    states = [
        torch.stack([one[site] for site in sites])
        for one in (model.states(list(cues.texts), sites, pool="last") for cues in (own, new))
    ]
    mean, deviation = prober.standard(states[0])
    z, other = ((x - mean[:, None]) / deviation[:, None] for x in states)
    groups = len(own.groups)
    truth = offset(new, own).argmax(1)
    targets = torch.nn.functional.one_hot(own.calibrated().logs.argmax(1), groups).float()
    always = torch.full_like(truth, int(targets.sum(0).argmax()))
    seeds = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        within = prober.held_out_f1(z, targets, own.clusters, prober.Settings(), rng)
        told = prober.train(z, targets, prober.Settings(), rng).logits(other).argmax(2)
        beyond = [prober.macro_f1(truth, one, groups) for one in told]
        best = sorted(range(len(sites)), key=lambda n: -within[n])[:3]
        seeds.append({"within": within, "test": beyond, "chosen": best, "test of chosen": [beyond[n] for n in best]})
        ledger.note(f"probers of {attribute}, seed {seed}: done")
    shares = torch.bincount(truth, minlength=groups) / len(truth)
    return {"seeds": seeds, "shares": shares.tolist(), "majority": prober.macro_f1(truth, always, groups)}


def offset(cues: Cues, by: Cues) -> torch.Tensor:
    """Log-odds of cues less the medians that the same templates have among others."""
    medians = {
        template: by.odds[torch.tensor([one == template for one in by.templates])].median(0).values
        for template in set(by.templates)
    }
    return torch.stack([row - medians[template] for row, template in zip(cues.odds, cues.templates, strict=True)])


def tried(model: Model, name: str, seed: int, folder: Path) -> ledger.Json:
    """One trial, and the attributes that were not targeted."""
    method = registry.get("mitigations", name)()
    out = folder / f"{name}-{seed}"
    shared, own = folder / "before", out / "measured" / "before"
    if shared.exists() and not own.exists():
        shutil.copytree(shared, own)

    def show(benchmark: str, done: int, total: int) -> None:
        if done in (0, total):
            ledger.note(f"{name}, seed {seed}: {benchmark} {'begins' if not done else 'done'}")

    given: dict[str, Any] = {"test_on": battery(), "limit": LIMITS, "rivals": ("logit_offset",), "draws": 2000}
    fit_on = configured("emission", {})
    trial = eh.trial(model, method, fit_on=fit_on, out=out, resume=True, seed=seed, progress=show, **given)
    if not shared.exists():
        shutil.copytree(own, shared)
    return condensed(trial) | {"others": collateral(model, Patch.load(out / "patch"))}


def collateral(model: Model, patch: Patch) -> ledger.Json:
    """KL from uniform (nats) of the attributes that were not targeted, before and after."""
    found: ledger.Json = {}
    for attribute in OTHERS:
        items = eh.items(configured("emission", {"attributes": (attribute,)}), fold="test").items
        levels = []
        for installed in ((), (patch,)):
            handles = [model.install(one) for one in installed]
            rng = np.random.default_rng(0)
            (cues,) = read(model, items, rng, wanted=(), limit=999, others=0, method="collateral")
            levels.append(float((-cues.logs.log_softmax(1).mean(1) - np.log(len(cues.groups))).mean()))
            for handle in handles:
                handle.remove()
        found[attribute] = {"before": levels[0], "after": levels[1]}
    return found


def condensed(trial: Trial) -> ledger.Json:
    """What the tables need of a trial."""
    return {
        "method": trial.method,
        "settings": dict(trial.settings),
        "verdict": trial.judgement.verdict.value,
        "why": trial.judgement.why,
        "weights": trial.model.weights,
        "arms": [
            {
                "name": arm.name,
                "role": arm.role,
                "seconds_fit": arm.seconds_fit,
                "notes": list(arm.notes),
                "numbers": [number(one) for one in trial.outcomes if one.arm == arm.name and kept(one)],
            }
            for arm in trial.arms
        ],
        "guards": [{"rule": one.rule, "state": one.state, "arm": one.arm} for one in trial.guard_outcomes],
        "tested_on": {name: facts["n_items"] for name, facts in trial.tested_on.items()},
    }


def kept(outcome: Outcome) -> bool:
    """All numbers as a whole; of emission by attribute and concept too."""
    return not outcome.change.by or (outcome.change.benchmark == "emission" and "kind" not in outcome.change.by)


def number(outcome: Outcome) -> ledger.Json:
    """One number, before and after, with the interval of its change."""
    change, beyond = outcome.change, outcome.beyond_sham
    return {
        "name": f"{change.benchmark}.{change.metric}",
        "by": dict(change.by),
        "before": change.before,
        "after": change.after,
        "change": change.value,
        "low": change.low,
        "high": change.high,
        "beyond": None if beyond is None else [beyond.value, beyond.low, beyond.high],
    }


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    shown, result = {"row": entry["row"]}, entry["result"]
    if entry["row"] == "probers":
        for attribute, of in result.items():
            best = [[f"{value:.2f}" for value in one["test of chosen"]] for one in of["seeds"]]
            shown[attribute] = "; ".join(map(" ".join, best))
        return shown
    for arm in result["arms"]:
        for one in arm["numbers"]:
            if one["name"] in ("emission.emission_kl", "perplexity.perplexity") and not one["by"]:
                share = 100 * (one["after"] / one["before"] - 1)
                shown[f"{arm['name']}: {one['name']}"] = f"{one['before']:.3f} to {one['after']:.3f} ({share:+.0f} %)"
    return shown


def main() -> None:
    """Command line."""
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--publish", action="store_true", help="write docs/results/fairmed.json from what is stored")
    options = parser.parse_args()
    book = ledger.Ledger("fairmed", options.out)
    if options.publish:
        stored = [{"row": entry["row"], "machine": entry["machine"], **entry["result"]} for entry in book.newest()]
        PUBLISHED.parent.mkdir(parents=True, exist_ok=True)
        PUBLISHED.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
        ledger.say(f"{len(stored)} rows written to {PUBLISHED.name}")
        return
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def settings(row: str) -> ledger.Json:
        name = row.partition(",")[0]
        own = registry.get("mitigations", name)().model_dump(mode="json") if name in METHODS else {}
        shown = {key: {k: list(v) if isinstance(v, tuple) else v for k, v in of.items()} for key, of in BATTERY.items()}
        return {"battery": shown, "limits": LIMITS, **own}

    ledger.run(book, options.row or ROWS, settings, lambda row: measure(row, options.out / book.name), cells)


if __name__ == "__main__":
    main()
