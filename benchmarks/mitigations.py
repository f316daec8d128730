"""What a mitigation costs while the model writes: time per generated token with the patch over that without.

    python benchmarks/mitigations.py [--row NAME] [--rounds 5] [--table]

`smollm2` reads 256 tokens and writes 64, alone and eight texts at once, greedily and with its cache. Rounds with and
without the patch take turns, so that both meet the same load; each number is the median over the rounds, once by the
processor's time and once by the clock, and reading is counted apart from writing. One thread.

What a patch costs does not depend on how well it was fitted, so the patches are fitted on few items.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.measure._plan import configured
from evenhand.model import Model, Patch
from evenhand.model.positions import prompts_are_read, prompts_end
from turns import Times, compared, in_turns

PROMPT, WRITTEN = 256, 64
BATCHES = (1, 8)
ITEMS = 160
ATTRIBUTES = ("gender", "age", "religion", "race")
SETTINGS: dict[str, dict[str, Any]] = {
    "fairmed": {"layers": (14, 17, 20), "epochs": 2, "steps": 3, "attributes": ATTRIBUTES},
    "fairmed, one attribute": {"layers": (14, 17, 20), "epochs": 2, "steps": 3, "attributes": ATTRIBUTES[:1]},
    "fairmed_causal": {"layers": (14, 17, 20), "top": 3, "gradients": 2, "others": 0, "attributes": ATTRIBUTES},
    "leace": {"layers": (14, 17, 20)},
    "inlp": {"layers": (14, 17, 20)},
    "act, 14 heads": {"heads": tuple(f"L{layer}.heads.{layer % 9}" for layer in range(2, 29, 2))},
    "pine, 4 segments": {"sample": 2},
    "crawd": {"steps": 2},
    "crawd, all words": {"steps": 2, "reference": ("full",)},
}
"""Rows: the method (before the comma) with the settings that decide its cost, three layers each but for crawd, act (5 %
of the heads, in half of the layers) and pine (all layers)."""
SEGMENTS = {"pine": (32, 80, 128, 176, 224)}
"""Where the segments of a prompt begin, and where the last one ends."""


def fitted(row: str, model: Model) -> Patch:
    """A patch of the row's method, fitted on a few items of its own benchmark."""
    name = row.partition(",")[0]
    method = registry.get("mitigations", name)(**SETTINGS[row])
    given = {"attributes": method.attributes} if hasattr(method, "attributes") else {}
    benchmark = configured(method.fit_on.benchmark, {**method.fit_on.settings, **given})
    return eh.fit(model, method, eh.items(benchmark, fold="fit", limit=ITEMS).items)


@torch.inference_mode()
def written(model: Model, prompt: torch.Tensor, segments: tuple[int, ...] = ()) -> dict[str, float]:
    """Seconds of reading and of each written token after the first, by processor and by clock."""
    clocks: dict[str, Callable[[], float]] = {"cpu": time.process_time, "wall": time.perf_counter}
    marks = [{name: clock() for name, clock in clocks.items()}]
    with prompts_end(model.hf, [PROMPT - 1] * len(prompt), [segments] * len(prompt)):
        out = model.hf(input_ids=prompt, use_cache=True, logits_to_keep=1)
        marks.append({name: clock() for name, clock in clocks.items()})
        prompts_are_read(model.hf)
        for _ in range(WRITTEN - 1):
            token = out.logits[:, -1:].argmax(-1)
            out = model.hf(input_ids=token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1)
    marks.append({name: clock() for name, clock in clocks.items()})
    begun, read, done = marks
    reading = {f"read_{name}": read[name] - begun[name] for name in clocks}
    writing = {f"token_{name}": (done[name] - read[name]) / (WRITTEN - 1) for name in clocks}
    return reading | writing


def cost(model: Model, patch: Patch, batch: int, rounds: int) -> ledger.Json:
    """Medians without and with the patch, and their ratios."""
    generator = torch.Generator().manual_seed(batch)
    size = model.hf.config.get_text_config().vocab_size
    prompt = torch.randint(100, size, (batch, PROMPT), generator=generator)
    segments = SEGMENTS.get(patch.method.name, ())

    def run(patch: Patch | None) -> Times:
        with model.install(patch) if patch else nullcontext():
            return written(model, prompt, segments)

    found = in_turns({"without": lambda: run(None), "with": lambda: run(patch)}, rounds)
    return compared(found["without"], found["with"])


def measure(row: str, rounds: int) -> ledger.Json:
    """One method, at each size of batch."""
    torch.set_num_threads(1)
    model = eh.Model.load("smollm2", dtype="float32", device="cpu")
    patch = fitted(row, model)
    return {f"batch {batch}": cost(model, patch, batch, rounds) for batch in BATCHES}


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    shown = {"method, three layers": entry["row"]}
    for batch in BATCHES:
        of = entry["result"][f"batch {batch}"]
        shown[f"ms per token, batch {batch}"] = f"{1000 * of['token_cpu']['without']:.1f}"
        for key, name in (
            ("token_cpu", "per token"),
            ("token_wall", "per token by the clock"),
            ("read_cpu", "reading"),
        ):
            shown[f"ratio {name}, batch {batch}"] = f"{of[key]['ratio']:.2f}"
    return shown


def main() -> None:
    """Command line."""
    parser = ledger.parser(__doc__, list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds with and without (default: %(default)s)")
    options = parser.parse_args()
    book = ledger.Ledger("mitigations", options.out)
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def settings(row: str) -> ledger.Json:
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in SETTINGS[row].items()}
        return {**plain, "prompt": PROMPT, "written": WRITTEN, "rounds": options.rounds}

    ledger.run(book, options.row or list(SETTINGS), settings, lambda row: measure(row, options.rounds), cells)


if __name__ == "__main__":
    main()
