"""How often each locator ranks a planted site first, and how often it finds something in a model without a plant.

    python benchmarks/locators.py [--planted 10] [--clean 100] [--row NAME]

Tiny Llamas with a bias at a known place, and others with none (`tests/fixtures/planted.py`), one of each for each seed,
read with made-up items of random words (`tests/locate/made_up.py`). A false find is any site with a corrected p of at
most 5 %; the interval of its rate is Clopper and Pearson's. Ends with one line of JSON.

For `stereotype_probe` a clean model has no stereotype that is common to its cues, but its labels are computed from its
activations as they are in any model; `stereotype_probe, foreign labels` takes the labels of another clean model, so
that they have nothing to do with the activations at all. `negative_attention, roles` is the null of exchanged roles,
which is not used by default because it finds heads in models of random weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.fixtures import planted, planted_heads, tiny
from tests.fixtures.planted import Planted
from tests.locate import made_up

from evenhand.core.items import Item, Origin
from evenhand.core.record import Sites
from evenhand.core.sites import Part
from evenhand.locate._locator import Locator
from evenhand.locate._run import locate
from evenhand.locate.attention_gap import AttentionGap
from evenhand.locate.head_patching import HeadPatching
from evenhand.locate.negative_attention import NegativeAttention
from evenhand.locate.retrieval_heads import RetrievalHeads
from evenhand.locate.sinks import Sinks
from evenhand.locate.stereotype_probe import StereotypeProbe, labelled, probed
from evenhand.model import Model

Make = Callable[[int], Planted]
Items = Callable[[np.random.Generator], Sequence[Item]]


@dataclass(frozen=True)
class Row:
    """A locator, a planted model and items that show its plant, and items for clean models."""

    locator: Locator
    plant: Make | None
    shown: Items
    plain: Items


def gap_items(rng: np.random.Generator) -> list[Item]:
    return made_up.twins([" yes"] * 15, [str(rng.choice(made_up.CUES)) for _ in range(15)], rng)


def texts(rng: np.random.Generator) -> list[Item]:
    """Twenty texts of 60 random words."""
    said = ["".join(rng.choice(planted.OTHERS, 60)).strip() for _ in range(20)]
    return [Item(f"t{n}", f"t{n}", Origin("made", "made", n), (), texts={"text": text}) for n, text in enumerate(said)]


def copying(seed: int) -> Planted:
    return Planted(planted_heads.copying(seed), tiny.tokenizer(), (planted_heads.COPYING,))


def sink(seed: int) -> Planted:
    return Planted(planted_heads.sink(seed), tiny.tokenizer(), (planted_heads.SINK,))


ROWS = {
    "negative_attention": Row(
        NegativeAttention(sample=20), planted.negative_head, lambda rng: made_up.questions(20, rng),
        lambda rng: made_up.questions(20, rng),
    ),
    "negative_attention, yes": Row(
        NegativeAttention(sample=20, candidate="yes"), lambda seed: planted.negative_head(seed, word="Yes"),
        lambda rng: made_up.questions(20, rng), lambda rng: made_up.questions(20, rng),
    ),
    "negative_attention, roles": Row(
        NegativeAttention(sample=20, against="roles"), planted.negative_head, lambda rng: made_up.questions(20, rng),
        lambda rng: made_up.questions(20, rng),
    ),
    "attention_gap": Row(
        AttentionGap(sample=20), lambda seed: planted.negative_head(seed, word="yes"), gap_items,
        lambda rng: made_up.random_twins(20, rng),
    ),
    "stereotype_probe": Row(
        StereotypeProbe(penalty=10.0), lambda seed: planted.stereotype(seed, carried=True), lambda _: made_up.cues(),
        lambda _: made_up.cues(),
    ),
    "head_patching, MLP": Row(
        HeadPatching(sample=48, confirm=4), planted.stereotype, lambda rng: made_up.gendered(48, rng),
        lambda rng: made_up.random_twins(48, rng),
    ),
    "head_patching, head": Row(
        HeadPatching(sample=30, confirm=4, reverse=True, baseline="zero"), planted.negative_head,
        lambda rng: made_up.questions(30, rng), lambda rng: made_up.random_twins(30, rng),
    ),
    "retrieval_heads": Row(RetrievalHeads(sample=20, words=4, length=40, shuffles=99), copying, texts, texts),
    "sinks": Row(Sinks(length=32, draws=99), sink, texts, texts),
    "sinks, without the opening token": Row(Sinks(length=32, draws=99, opening=False), None, texts, texts),
}  # fmt: skip


def looked(row: Row, made: Planted, items: Items, seed: int) -> Sites:
    model = Model.wrap(made.hf, made.tokenizer)
    return locate(model, row.locator, items(np.random.default_rng([seed, 7])), seed=seed)


def first(found: Sites, made: Planted) -> bool:
    """Whether the largest value is at the planted site; a probe of MLPs can only name the MLP."""
    names = [str(site) for site in made.sites if found.locator != "stereotype_probe" or site.part is Part.MLP]
    return found.top(1, alpha=None)[0].site == names[0]


def foreign(seed: int) -> bool:
    """Whether the probe finds a layer of one clean model that knows the labels of another."""
    probe = StereotypeProbe(penalty=10.0)
    rng = np.random.default_rng([seed, 7])
    items = made_up.cues()
    templates, concepts = [item.id.split("/")[2] for item in items], [item.cluster for item in items]
    own, other = (Model.wrap(made.hf, made.tokenizer) for made in (planted.clean(seed), planted.clean(seed + 10_000)))
    labels = labelled(probe._emitted(other, items), templates, calibrated=True)
    sites = own.anatomy.sites(Part.MLP)
    states = own.states([item.texts["cue"] for item in items], sites, pool="last")
    inputs = [states[site].double().numpy() for site in sites]
    found = probed(probe, inputs, labels, templates, concepts, ["1"] * len(items), rng)
    return any(score.p_corrected is not None and score.p_corrected <= 0.05 for score in found)


def rate(name: str, planted_seeds: int, clean_seeds: int) -> dict[str, object]:
    began = time.perf_counter()
    if name == "stereotype_probe, foreign labels":
        hits, false = None, sum(foreign(seed) for seed in range(clean_seeds))
    else:
        row = ROWS[name]
        made = [row.plant(seed) for seed in range(planted_seeds)] if row.plant else []
        hits = sum(first(looked(row, one, row.shown, seed), one) for seed, one in enumerate(made)) if made else None
        runs = (looked(row, planted.clean(seed), row.plain, seed) for seed in range(clean_seeds))
        false = sum(bool(found.top(1)) or _below(found) for found in runs)
    ends = binomtest(false, clean_seeds).proportion_ci(0.95, "exact")
    return {
        "row": name,
        "planted_first": None if hits is None else f"{hits}/{planted_seeds}",
        "false_finds": f"{false}/{clean_seeds}",
        "rate": round(100 * false / clean_seeds, 1),
        "low": round(100 * float(ends.low), 1),
        "high": round(100 * float(ends.high), 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _below(found: Sites) -> bool:
    return any(score.p_corrected is not None and score.p_corrected <= 0.05 for score in found.scores)


def main() -> None:
    names = [*ROWS, "stereotype_probe, foreign labels"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", type=int, default=10)
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--row", choices=names)
    options = parser.parse_args()
    rows = []
    for name in [options.row] if options.row else names:
        rows.append(rate(name, options.planted, options.clean))
        sys.stdout.write("  ".join(f"{key} {value}" for key, value in rows[-1].items()) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"benchmark": "locators", "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
