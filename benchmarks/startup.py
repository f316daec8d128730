"""How long until something happens: import, help, catalogue, and the second load of a model.

    python benchmarks/startup.py [--row NAME] [--runs N]

The first three rows start a fresh interpreter and, in turn, a bare `python -c pass`; reported is the median difference
in wall-clock seconds, and in CPU-seconds for a machine that has other work. Byte code is written once before, as pip
does at installation. The row `load` compares `Model.load` with transformers' own `from_pretrained` of model and
tokenizer on the same folder, both after imports and one warm-up, in turn; there reported is the median ratio.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import ledger
from ledger import median

STARTS = {
    "import": ("import evenhand", 0.3),
    "help": ("from evenhand.cli import main; main()", 0.6),
    "list": ("from evenhand.cli import main; main()", 0.6),
}
"""Row -> code, target in seconds above a bare interpreter."""
ARGUMENTS: dict[str, list[str]] = {"import": [], "help": ["--help"], "list": ["list"]}
ROWS = [*STARTS, "load"]
LOAD = 1.5
"""Target of the row `load`: times plain `from_pretrained`."""
TOLD = "; import atexit, sys; atexit.register(lambda: sys.stderr.write(f'torch {\"torch\" in sys.modules}'))"
"""Says at the end whether torch was loaded."""


def started(code: str, arguments: Sequence[str]) -> tuple[float, float]:
    """Wall-clock and CPU-seconds of a fresh interpreter."""
    before, since = os.times(), time.perf_counter()
    _child(code, arguments)
    wall, after = time.perf_counter() - since, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def _child(code: str, arguments: Sequence[str]) -> str:
    """Run code in a fresh interpreter that may write byte code; what it said on stderr."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stderr


def start(row: str, runs: int) -> ledger.Json:
    """Median cost of one way to start, above a bare interpreter."""
    code, target = STARTS[row]
    alone = TOLD.removeprefix("; ")
    torch = _child(f"{alone}; {code}", ARGUMENTS[row]).rstrip().endswith("torch True")  # the warm-up as well
    pairs = [(started("pass", []), started(code, ARGUMENTS[row])) for _ in range(runs)]
    wall = [ours[0] - bare[0] for bare, ours in pairs]
    used = [ours[1] - bare[1] for bare, ours in pairs]
    return {
        "runs": runs,
        "seconds": round(median(wall), 3),
        "cpu_seconds": round(median(used), 3),
        "fastest": round(min(wall), 3),
        "bare": round(median([bare[0] for bare, _ in pairs]), 3),
        "target": target,
        "torch_loaded": torch,
        "met": median(wall) < target and not torch,
    }


def load(name: str, runs: int) -> ledger.Json:
    """Second load of a model: ours against plain `from_pretrained`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from evenhand import Model
    from evenhand.model.load import find

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = find(name).folder

    def ours() -> None:
        Model.load(name, dtype="float32", device="cpu")

    def plain() -> None:
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        AutoTokenizer.from_pretrained(folder)

    ours()
    plain()
    pairs = []
    for number in range(runs):
        if number % 2:
            second, first = _seconds(plain), _seconds(ours)
        else:
            first, second = _seconds(ours), _seconds(plain)
        pairs.append((first, second))
    ratios = [a[0] / b[0] for a, b in pairs]
    return {
        "runs": runs,
        "seconds": round(median([a[0] for a, _ in pairs]), 3),
        "plain_seconds": round(median([b[0] for _, b in pairs]), 3),
        "ratio": round(median(ratios), 3),
        "cpu_ratio": round(median([a[1] / b[1] for a, b in pairs]), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "target": LOAD,
        "met": median(ratios) <= LOAD,
    }


def _seconds(act: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock and CPU-seconds of this process, rubbish of the run before cleared away first."""
    gc.collect()
    since, used = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - since, time.process_time() - used


def cells(entry: ledger.Json) -> dict[str, str]:
    """A row of the table."""
    result = entry["result"]
    shown = {"row": entry["row"], "runs": str(result["runs"]), "seconds": f"{result['seconds']:.2f}"}
    if entry["row"] == "load":
        shown["against"] = f"{result['plain_seconds']:.2f} (from_pretrained): {result['ratio']:.2f} times"
        shown["target"] = f"<= {result['target']:g} times"
    else:
        shown["CPU-seconds"] = f"{result['cpu_seconds']:.2f}"
        shown["against"] = f"{result['bare']:.2f} (bare interpreter, taken off)"
        shown["target"] = f"< {result['target']:g} s, torch not loaded"
        shown["torch loaded"] = "yes" if result["torch_loaded"] else "no"
    return {**shown, "met": "yes" if result["met"] else "no"}


def main() -> None:
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--model", default="smollm2", help="for the row load (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=15, help="of each row (default: %(default)s)")
    args = parser.parse_args()
    book = ledger.Ledger("startup", args.out)
    if args.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def settings(row: str) -> ledger.Json:
        return {"runs": args.runs} | ({"model": args.model} if row == "load" else {})

    def measure(row: str) -> ledger.Json:
        return load(args.model, args.runs) if row == "load" else start(row, args.runs)

    entries = ledger.run(book, args.row or ROWS, settings, measure, cells)
    sys.exit(0 if all(entry["result"]["met"] for entry in entries) else 1)


if __name__ == "__main__":
    main()
