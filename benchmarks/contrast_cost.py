"""What a contrast of two prompts costs while the model writes: time per generated token with it over that without.

    python benchmarks/contrast_cost.py [--row NAME] [--rounds 5] [--table]

`smollm2` reads a context and a leading question of 256 tokens in all and writes 64 tokens, alone and eight at once,
greedily and with its cache, both times through evenhand's own generation. Reading is what a single token costs, writing
the rest. Rounds with and without the patch take turns, so that both meet the same load; each number is the median over
the rounds, once by the processor's time and once by the clock. End-of-text tokens do not end a text here. One thread.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.requests import Complete
from evenhand.mitigate._neutral import neutral
from evenhand.model import Model, Patch, generate
from turns import Times, compared, in_turns

PROMPT, WRITTEN = 256, 64
BATCHES = (1, 8)
SETTINGS: dict[str, dict[str, Any]] = {
    "evidence_contrast": {},
    "evidence_contrast, two branches": {"free": "both"},
    "lqcd": {},
    "self_debias": {},
}
"""Rows: the method (before the comma) with its settings."""
ASKED = "\nQuestion: What does the path look like in the evening? I think the answer is dark.\nAnswer:"


def prompt(model: Model, number: int) -> str:
    """A text of about 256 tokens that ends in a leading question; no two begin alike."""
    size = PROMPT
    while True:
        text = f"Walk {number}. " + neutral("word " * size).strip() + "." + ASKED
        if len(model.tokenizer(text)["input_ids"]) <= PROMPT:
            return text
        size -= 1


def seconds(model: Model, prompts: list[str], tokens: int) -> dict[str, float]:
    """Time of so many tokens of each text, by processor and by clock."""
    begun = time.process_time(), time.perf_counter()
    model.answer([Complete(text, tokens) for text in prompts])
    return {"cpu": time.process_time() - begun[0], "wall": time.perf_counter() - begun[1]}


def cost(model: Model, patch: Patch, batch: int, rounds: int) -> ledger.Json:
    """Medians without and with the patch, and their ratios."""
    prompts = [prompt(model, number) for number in range(batch)]

    def run(patch: Patch | None) -> Times:
        with model.install(patch) if patch else nullcontext():
            read, whole = seconds(model, prompts, 1), seconds(model, prompts, WRITTEN)
        reading = {f"read_{clock}": read[clock] for clock in read}
        return reading | {f"token_{clock}": (whole[clock] - read[clock]) / (WRITTEN - 1) for clock in read}

    found = in_turns({"without": lambda: run(None), "with": lambda: run(patch)}, rounds)
    return compared(found["without"], found["with"])


def measure(row: str, rounds: int) -> ledger.Json:
    """One method, at each size of batch."""
    torch.set_num_threads(1)
    generate._ends = lambda *_: []
    model = eh.Model.load("smollm2", dtype="float32", device="cpu", batch_tokens=16384)
    patch = eh.fit(model, registry.get("mitigations", row.partition(",")[0])(**SETTINGS[row]))
    return {f"batch {batch}": cost(model, patch, batch, rounds) for batch in BATCHES}


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    shown = {"method": entry["row"]}
    for batch in BATCHES:
        of = entry["result"][f"batch {batch}"]
        shown[f"ms per token, batch {batch}"] = f"{1000 * of['token_cpu']['without']:.1f}"
        for key, name in (("token_cpu", "token"), ("token_wall", "token by the clock"), ("read_cpu", "reading")):
            shown[f"ratio {name}, batch {batch}"] = f"{of[key]['ratio']:.2f}"
    return shown


def main() -> None:
    """Command line."""
    parser = ledger.parser(__doc__, list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds with and without (default: %(default)s)")
    options = parser.parse_args()
    book = ledger.Ledger("contrast_cost", options.out)
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def settings(row: str) -> ledger.Json:
        return {**SETTINGS[row], "prompt": PROMPT, "written": WRITTEN, "rounds": options.rounds}

    ledger.run(book, options.row or list(SETTINGS), settings, lambda row: measure(row, options.rounds), cells)


if __name__ == "__main__":
    main()
