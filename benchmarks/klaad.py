"""KLAAD on `smollm2`: the published loss, each of its terms left out, the control, and the balanced variant.

    python benchmarks/klaad.py [--row NAME] [--publish]

Rows `choose: ...` try settings of the balanced variant on the fold 'choose'. The other rows are one fit each, by
variant and seed: on StereoSet's intrasentence items of the fold 'fit' (31 target terms), measured on its fold 'test'
(23 target terms), on a sample of CrowS-Pairs, on GAP's text of the fold 'test', and by how differently the last layer
attends in twins of the fold 'test'. `summary` puts the seeds of each variant together: changes of the mean over seeds,
paired by item, with intervals over target terms. For the variants of several seeds and their shams, `crows_pairs`
measures all its pairs, where the other rows take a sample, and `final` measures StereoSet's fold 'final' (8 target
terms), once, and gives the same for the 31 target terms of both folds. All in bfloat16. `--publish` writes what the
documentation shows to docs/results/klaad.json.

Everything that is done is kept and gone on with.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.measure._plan import configured
from evenhand.mitigate import _klaad_view as view
from evenhand.mitigate._klaad import texts_of
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate._triplets import triplet
from evenhand.mitigate.klaad import Klaad
from evenhand.model import Model, Patch
from paired import DRAWS, Rows, beyond, change, rows_in, values_of

SHAM = ", sham"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "klaad": ("klaad", {}),
    "cross_entropy": ("cross_entropy", {}),
    "cross_entropy, two passes": ("cross_entropy", {"epochs": 2.0}),
    "attention x 100": ("klaad", {"attention": 15.0}),
    "attention x 1000": ("klaad", {"attention": 150.0}),
    "klaad_balanced": ("klaad_balanced", {}),
    "klaad_balanced" + SHAM: ("klaad_balanced", {}),
    "klaad" + SHAM: ("klaad", {}),
    "without attention": ("klaad", {"attention": 0.0}),
    "without triplet": ("klaad", {"triplet": 0.0}),
    "without cross-entropy": ("klaad", {"cross_entropy": 0.0}),
}
"""Variants: the method and the settings that are no defaults."""
CONTROLS = {"klaad_balanced": "cross_entropy, two passes"}
"""The control of a variant that trains longer; that of the others is `cross_entropy`."""
SEVERAL = ("klaad_balanced", "klaad", "cross_entropy", "cross_entropy, two passes")
"""Variants that are fitted with three seeds; the others with one."""
TRIED: dict[str, dict[str, Any]] = {
    f"choose: balance {balance:g}, coherence {coherence:g}, anchor {anchor:g}, passes {passes:g}": {
        "balance": balance,
        "coherence": coherence,
        "anchor": anchor,
        "epochs": passes,
    }
    for balance, coherence, anchor, passes in (
        (10.0, 0.0, 1.0, 1.0),
        (10.0, 5.0, 1.0, 1.0),
        (20.0, 10.0, 1.0, 1.0),
        (30.0, 0.0, 1.0, 1.0),
        (30.0, 0.0, 1.0, 2.0),
        (30.0, 0.0, 5.0, 2.0),
    )
}
ROWS = [
    *TRIED,
    *(f"{variant}, seed 0" for variant in VARIANTS),
    *(f"{variant}, seed {seed}" for seed in (1, 2) for variant in SEVERAL),
    "summary",
    "crows_pairs",
    "final",
]
STEREOSET = configured("stereoset", {"task": "intrasentence"})
BATTERY = (STEREOSET, configured("crows_pairs", {}), configured("perplexity", {"documents": 240}))
LIMITS = {"crows_pairs": 250}
FOLDS: dict[str, Any] = {"stereoset": "test", "perplexity": "test"}
PAIRS = 200
NUMBERS = ("stereoset.ss", "stereoset.lms", "stereoset.icat", "crows_pairs.stereotype_rate", "perplexity.perplexity")
DTYPE: Literal["float32", "bfloat16"] = "bfloat16"


def measure(row: str, folder: Path) -> ledger.Json:
    """One row."""
    if row == "summary":
        return summary(folder)
    model = loaded()
    if row == "final":
        return final(model, folder)
    if row == "crows_pairs":
        return crows_pairs(model, folder)
    variant, _, seed = row.rpartition(", seed ")
    if row in TRIED:
        return tried(model, row, folder)
    patch = fitted(model, variant, int(seed), folder)
    measured(model, None, folder / "before", FOLDS)
    record = measured(model, patch, folder / slug(variant, int(seed)), FOLDS)
    return {
        "seconds_fit": patch.provenance.seconds,
        "seconds_measured": record.seconds,
        "notes": list(patch.provenance.notes),
        "settings": patch.method.model_dump(mode="json"),
        "numbers": {f"{one.benchmark}.{one.metric}": one.value for one in record.estimates if not one.by},
        "attention": attention(model, patch),
    }


@cache
def loaded() -> Model:
    """The model, once for all rows."""
    return eh.Model.load("smollm2", dtype=DTYPE)


def tried(model: Model, row: str, folder: Path) -> ledger.Json:
    """Settings of the balanced variant, on the fold 'choose'."""
    patch = fit(model, registry.get("mitigations", "klaad_balanced")(**TRIED[row]), 0, folder)
    folds = dict.fromkeys(FOLDS, "choose")
    battery = [one for one in BATTERY if one.name in FOLDS]
    levels = {}
    for name, installed in (("before", None), (slug(row, 0), patch)):
        record = measured(model, installed, folder / "choose" / name, folds, battery)
        levels[name] = {f"{one.benchmark}.{one.metric}": one.value for one in record.estimates if not one.by}
    before, after = levels.values()
    return {
        "settings": TRIED[row],
        "seconds_fit": patch.provenance.seconds,
        "notes": list(patch.provenance.notes),
        "numbers": {name: [before[name], after[name]] for name in NUMBERS if name in before},
    }


def fitted(model: Model, variant: str, seed: int, folder: Path) -> Patch:
    """The patch of a variant."""
    name, settings = VARIANTS[variant]
    return fit(model, registry.get(registry.kind_of(name), name)(**settings), seed, folder, sham=variant.endswith(SHAM))


def fit(model: Model, method: Mitigation, seed: int, folder: Path, *, sham: bool = False) -> Patch:
    """A patch, from the folder if it was fitted before with the same settings and seed."""
    known = hashlib.sha256(method.model_dump_json().encode()).hexdigest()[:8]
    place = folder / "patches" / f"{method.name}{'-sham' * sham}-{known}-{seed}"
    if (place / "patch.json").exists():
        return Patch.load(place)
    items: Any = eh.items(STEREOSET, fold="fit").items
    told = ""
    if sham:
        (one,) = method.shams(items, {}, np.random.default_rng([seed, 0, 1]))
        method, items, told, seed = one.method, one.items, one.name, seed + 1000
    patch = eh.fit(model, method, items, seed=seed, benchmark="stereoset", fold="fit", sham=told)
    patch.save(place)
    return patch


def measured(
    model: Model, patch: Patch | None, out: Path, folds: Any, battery: Any = BATTERY, limit: Any = LIMITS
) -> Any:
    """The record, from the folder if it is there."""
    ledger.note(f"{out.name}: measuring")
    handle = model.install(patch) if patch is not None else None
    try:
        return eh.measure(model, battery, limit=limit, fold=folds, draws=DRAWS, out=out, resume=True)
    finally:
        if handle is not None:
            handle.remove()


def attention(model: Model, patch: Patch) -> ledger.Json:
    """How differently the last layer attends in twins that were not trained on: nats, before and after."""
    items = eh.items(STEREOSET, fold="test", limit=PAIRS).items
    settings = Klaad()
    texts = texts_of([triplet(one) for one in items], settings)
    means = []
    for installed in (None, patch):
        handle = model.install(installed) if installed is not None else None
        found = view.attention_of(model, texts, settings, PAIRS)
        if handle is not None:
            handle.remove()
        if found is None:
            raise SystemExit("This model does not show its attention.")
        means.append(float(found.gaps.mean()))
    return {"before": means[0], "after": means[1], "pairs": len(items)}


def summary(folder: Path) -> ledger.Json:
    """Every variant: changes of the mean over its seeds, and what is beyond its sham and the control."""
    before = rows_in(folder / "before")
    arms = {variant: [rows_in(one) for one in folders(folder, variant)] for variant in VARIANTS}
    found: ledger.Json = {}
    for variant, seeds in arms.items():
        if seeds:
            numbers = [change(before, seeds, number) for number in NUMBERS]
            numbers += [change(before, seeds, NUMBERS[3], by) for by in values_of(before, "crows_pairs", "category")]
            numbers += [change(before, seeds, NUMBERS[0], by) for by in values_of(before, "stereoset", "domain")]
            found[variant] = {"seeds": len(seeds), "numbers": numbers, "beyond": {}}
            control = CONTROLS.get(variant.removesuffix(SHAM), "cross_entropy")
            for other in (variant + SHAM, control):
                if other != variant and arms.get(other):
                    found[variant]["beyond"][other] = [beyond(before, seeds, arms[other], number) for number in NUMBERS]
    return found


def crows_pairs(model: Model, folder: Path) -> ledger.Json:
    """All pairs of CrowS-Pairs, whole and by category."""
    out, battery = folder / "crows_pairs", (configured("crows_pairs", {}),)
    measured(model, None, out / "before", {}, battery, None)
    before = rows_in(out / "before")
    found: ledger.Json = {}
    for variant, known in tested(folder).items():
        for place in known:
            patch = fitted(model, variant, int(place.name[-1]), folder)
            measured(model, patch, out / place.name, {}, battery, None)
        seeds = [rows_in(out / place.name) for place in known]
        slices = [None, *values_of(before, "crows_pairs", "category")]
        found[variant] = {"seeds": len(known), "numbers": [change(before, seeds, NUMBERS[3], by) for by in slices]}
    return found


def tested(folder: Path) -> dict[str, list[Path]]:
    """The variants of several seeds and their shams, with their finished runs."""
    known = {name: folders(folder, name) for name in VARIANTS if name.removesuffix(SHAM) in SEVERAL}
    return {name: places for name, places in known.items() if places}


def final(model: Model, folder: Path) -> ledger.Json:
    """StereoSet's fold 'final', and 'test' and 'final' together, for the variants of several seeds and their shams."""
    out = folder / "final"
    folds = {"stereoset": "final"}
    measured(model, None, out / "before", folds, (STEREOSET,))
    found: ledger.Json = {}
    before, more = rows_in(folder / "before"), rows_in(out / "before")
    for variant, known in tested(folder).items():
        for place in known:
            patch = fitted(model, variant, int(place.name[-1]), folder)
            measured(model, patch, out / place.name, folds, (STEREOSET,))
        alone = [rows_in(out / place.name) for place in known]
        both = [joined(rows_in(place), other) for place, other in zip(known, alone, strict=True)]
        found[variant] = {
            "seeds": len(known),
            "final": [change(more, alone, number) for number in NUMBERS[:3]],
            "test and final": [change(joined(before, more), both, number) for number in NUMBERS[:3]],
        }
    return found


def joined(one: Rows, other: Rows) -> Rows:
    """StereoSet's items of both."""
    return {"stereoset": sorted([*one["stereoset"], *other["stereoset"]], key=lambda row: row.id)}


def folders(folder: Path, variant: str) -> list[Path]:
    """Where the finished runs of a variant lie, by seed."""
    places = [folder / slug(variant, seed) for seed in (0, 1, 2)]
    return [place for place in places if (place / "items.jsonl").exists()]


def slug(variant: str, seed: int) -> str:
    """A folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in variant).split()) + f"-{seed}"


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    shown, result = {"row": entry["row"]}, entry["result"]
    if entry["row"] in TRIED:
        return shown | {name: f"{a:.2f} to {b:.2f}" for name, (a, b) in result["numbers"].items()}
    if "numbers" in result:
        shown |= {name: f"{result['numbers'][name]:.2f}" for name in NUMBERS}
        shown["attention"] = f"{100 * (result['attention']['after'] / result['attention']['before'] - 1):+.0f} %"
        return shown | {"seconds to fit": f"{result['seconds_fit']:.0f}"}
    for variant, of in result.items():
        numbers = of.get("numbers", of.get("test and final"))
        told = (f"{one['name'].partition('.')[2]} {one['after']:.1f} ({one['change']:+.1f})" for one in numbers[:5])
        shown[variant] = "; ".join(told)
    return shown


def settings(row: str, folder: Path) -> ledger.Json:
    """What decides a row's numbers."""
    facts: ledger.Json = {"limits": LIMITS, "dtype": DTYPE, "pairs": PAIRS}
    if row in ("summary", "crows_pairs", "final"):
        return facts | {"runs": [place.name for variant in VARIANTS for place in folders(folder, variant)]}
    name = "klaad_balanced" if row in TRIED else VARIANTS[row.rpartition(", seed ")[0]][0]
    given = TRIED[row] if row in TRIED else VARIANTS[row.rpartition(", seed ")[0]][1]
    method: Mitigation = registry.get(registry.kind_of(name), name)(**given)
    return facts | method.model_dump(mode="json")


def main() -> None:
    """Command line."""
    ledger.main(__doc__, "klaad", ROWS, settings, measure, cells)


if __name__ == "__main__":
    main()
