"""Reading attention: the last row of all heads in all layers, against a plain forward and against output_attentions.

    python benchmarks/traces.py                 # all rows that are not stored yet; then look at benchmarks/results
    python benchmarks/traces.py --row 512       # one row
    python benchmarks/traces.py --table         # the stored results as a Markdown table

A locator such as negative_attention looks from the last token at all others, in every head of every layer. Timed are,
on texts of one length, all three on one thread and in the same process, one after the other in turns:

    plain      the model's forward, logits of the last token only
    rows       the same, while the last row of every head is read and reduced to a number
    all        the same on eager attention with output_attentions=True, then the last rows

Times are CPU-seconds of the process, medians over the rounds; the ratio is the median of the rounds' ratios, in
brackets the second lowest and the second highest. Memory is what each of them holds at its peak beyond the
loaded model after one short forward, in a process of its own (Linux).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import Json, Ledger, median, note, parser, run, say, table

if TYPE_CHECKING:
    from evenhand.model import Model

MODEL = "smollm2"
LENGTHS = {"256": 256, "512": 512, "1024": 1024, "2048": 2048}
WAYS = ("plain", "rows", "all")
ROUNDS = {"256": 9, "512": 9, "1024": 9, "2048": 5}
TARGETS = {"512": 1.3}
"""Largest ratio of CPU-seconds, rows to plain."""


def settings(row: str) -> Json:
    """What decides the numbers of a row."""
    return {"model": MODEL, "length": LENGTHS[row], "rounds": ROUNDS[row], "threads": 1, "version": 2}


def loaded() -> Model:
    """The model on one thread, after one short forward."""
    import torch

    from evenhand import Model

    torch.set_num_threads(1)
    model = Model.load(MODEL, dtype="float32", device="cpu")
    assert model.anatomy.layers
    with torch.inference_mode():
        model.hf(torch.tensor([[1, 2, 3]]), logits_to_keep=1)
    return model


def way(model: Model, name: str, length: int) -> Callable[[], float]:
    """One forward over a text of this length; a number that depends on all that was read."""
    import torch

    ids = (torch.arange(length) * 7919 % model.hf.config.vocab_size)[None]
    last = torch.tensor([[length - 1]])
    layers = range(len(model.anatomy.layers))
    half = length // 2

    def plain() -> float:
        with torch.inference_mode():
            return float(model.hf(ids, logits_to_keep=1).logits[0, -1, 0])

    def rows() -> float:
        seen: list[float] = []
        reader = lambda _, weights: seen.append(float(weights[0, :, -1, half].sum()))  # noqa: E731
        with torch.inference_mode(), model.attention(layers, reader, rows=last):
            model.hf(ids, logits_to_keep=1)
        return sum(seen)

    def everything() -> float:
        model.hf.set_attn_implementation("eager")
        with torch.inference_mode():
            found = model.hf(ids, logits_to_keep=1, output_attentions=True).attentions
        model.hf.set_attn_implementation("sdpa")
        return sum(float(weights[0, :, -1, half].sum()) for weights in found)

    return {"plain": plain, "rows": rows, "all": everything}[name]


def measure(row: str) -> Json:
    """CPU-seconds of the three ways, and bytes of each in a process of its own."""
    length = LENGTHS[row]
    model = loaded()
    ways = {name: way(model, name, length) for name in WAYS}
    read = {name: run() for name, run in ways.items()}  # once for warming up, and to compare what was read
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(ROUNDS[row]):
        for name in WAYS[number % 3 :] + WAYS[: number % 3]:
            began = time.process_time()
            ways[name]()
            seconds[name].append(time.process_time() - began)
        note(f"{row}: round {number + 1} of {ROUNDS[row]}")
    ratios = [rows / plain for rows, plain in zip(seconds["rows"], seconds["plain"], strict=True)]
    memory = {name: apart(name, length) for name in WAYS}
    return {
        **{f"{name}_seconds": round(median(values), 4) for name, values in seconds.items()},
        "ratio": round(median(ratios), 3),
        "ratio_low": round(sorted(ratios)[1], 3),
        "ratio_high": round(sorted(ratios)[-2], 3),
        **{f"{name}_bytes": used for name, used in memory.items()},
        "difference": abs(read["rows"] - read["all"]),
    }


def apart(name: str, length: int) -> int:
    """Bytes at the peak of one way beyond the loaded model, in a process of its own."""
    command = [sys.executable, __file__, "--inside", name, str(length)]
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"The process whose memory was to be measured failed:\n{done.stderr[-2000:]}")
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def inside(name: str, length: int) -> None:
    """Run one way once and say what it held at its peak."""
    model = loaded()
    run_once = way(model, name, length)
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    run_once()
    say(json.dumps({"bytes": 1024 * (_kilobytes("VmHWM") - before)}))


def _kilobytes(what: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


def cells(entry: Json) -> dict[str, str]:
    """A row of the table."""
    result: dict[str, Any] = entry["result"]
    return {
        "tokens": entry["row"],
        "plain (CPU s)": f"{result['plain_seconds']:.2f}",
        "last rows read": f"{result['rows_seconds']:.2f}",
        "output_attentions": f"{result['all_seconds']:.2f}",
        "rows / plain": f"{result['ratio']:.2f} ({result['ratio_low']:.2f} to {result['ratio_high']:.2f})",
        "target": f"at most {TARGETS[entry['row']]}" if entry["row"] in TARGETS else "",
        **{f"{name} (MB)": f"{result[f'{name}_bytes'] / 1e6:.0f}" for name in WAYS},
    }


def main() -> None:
    """Run rows, or one way inside a process of its own."""
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], int(sys.argv[3]))
        return
    options = parser(__doc__, list(LENGTHS)).parse_args()
    book = Ledger("traces", options.out)
    if options.table:
        say(table(sorted(book.newest(), key=lambda entry: int(entry["row"])), cells))
        return
    run(book, options.row or list(LENGTHS), settings, measure, cells)


if __name__ == "__main__":
    main()
