"""Wall-clock time and CPU-seconds of whole benchmarks through `evenhand.measure`, with all threads.

    python benchmarks/corpus.py [--limit N]        StereoSet dev (both tasks) and CrowS-Pairs
    python benchmarks/corpus.py --bbq              all 58,492 rows of BBQ as well, in a folder that can be gone on with

Loading the model is not counted; tokenising, planning, scoring and intervals are. The row bbq may be stopped (Ctrl-C,
kill) and started again: it goes on with the packs that are missing. Its rate is items over the seconds of all sessions.
On a machine that has other work the wall clock says little: there the CPU-seconds of one thread (OMP_NUM_THREADS=1)
bound what a quiet one would need.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import ledger

ROWS = {"pairs": ("stereoset", "crows_pairs"), "bbq": ("bbq",)}
MINUTES = 8.0
"""Target of the row pairs on 2 cores."""
TICK = 10.0
"""Seconds between two lines of progress."""


class Session:
    """Time spent in this session, kept on disk so that a killed one is not forgotten.

    Args:
        folder: of the run; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.began = time.perf_counter()
        self.used = time.process_time()
        self.number = len(self._files())
        self._told = self.began
        self._first = ("", 0.0, 0)  # benchmark, when its first pack was done, tokens done then

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("session-*.json")) if self.folder else []

    def progress(self, benchmark: str, done: int, total: int) -> None:
        """Called after each pack: now and then one line with the rate since this session's first pack."""
        now = time.perf_counter()
        name, since, before = self._first
        if name != benchmark:
            self._first = name, since, before = benchmark, now, done
        if now - self._told < TICK or done == before:
            return
        self._told = now
        self.keep()
        rate = (done - before) / (now - since)
        left = (total - done) / rate / 60
        ledger.note(f"{benchmark}: {done:,} of {total:,} tokens, {rate:,.0f} tokens/s, {left:,.0f} min left")

    def keep(self) -> None:
        """Write down the seconds of this session."""
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"session-{self.number:03d}.json").write_text(json.dumps(self._spent()), "utf-8")

    def _spent(self) -> dict[str, float]:
        wall, used = time.perf_counter() - self.began, time.process_time() - self.used
        return {"seconds": round(wall, 1), "cpu_seconds": round(used, 1)}

    def spent(self) -> dict[str, float]:
        """Wall-clock `seconds` and `cpu_seconds` of all sessions, this one included."""
        if not self.folder:
            return self._spent()
        self.keep()
        all_of_them = [json.loads(file.read_text("utf-8")) for file in self._files()]
        return {name: round(sum(one[name] for one in all_of_them), 1) for name in ("seconds", "cpu_seconds")}


def measured(model: Any, args: argparse.Namespace, row: str) -> ledger.Json:
    """One row."""
    import evenhand

    folder = args.out / f"corpus-bbq-{args.limit or 'all'}-{args.seed}" if row == "bbq" else None
    session = Session(folder)
    record = evenhand.measure(
        model,
        ROWS[row],
        limit=args.limit,
        seed=args.seed,
        out=folder / "run" if folder else None,
        resume=folder is not None,
        progress=session.progress,
    )
    spent = session.spent()
    seconds = spent["seconds"]
    items = sum(one.n_items for one in record.benchmarks)
    whole = all(one.n_items == one.n_available for one in record.benchmarks)
    target = MINUTES if row == "pairs" else None
    return {
        "items": items,
        "whole": whole,
        "tokens": record.tokens,
        "asked": sum(one.tokens_asked for one in record.benchmarks),
        "sessions": session.number + 1,
        **spent,
        "minutes": round(seconds / 60, 2),
        "items_per_s": round(items / seconds, 2),
        "items_per_cpu_s": round(items / spent["cpu_seconds"], 2),
        "threads": record.environment.threads,
        "target_minutes": target,
        "met": None if target is None or not whole else seconds / 60 < target,
    }


def cells(entry: ledger.Json) -> dict[str, str]:
    """A row of the table."""
    result = entry["result"]
    target = result["target_minutes"]
    return {
        "row": " and ".join(ROWS[entry["row"]]) + ("" if result["whole"] else " (a sample)"),
        "items": f"{result['items']:,}",
        "tokens once / each": f"{result['tokens']:,} / {result['asked']:,}",
        "minutes": f"{result['minutes']:.1f}",
        "CPU-minutes": f"{result['cpu_seconds'] / 60:.1f}",
        "items/s": f"{result['items_per_s']:.1f}",
        "items/CPU-s": f"{result['items_per_cpu_s']:.1f}",
        "threads": str(result["threads"]),
        "target": f"< {target:g} min" if target else "",
        "met": {True: "yes", False: "no", None: ""}[result["met"]],
    }


def main() -> None:
    parser = ledger.parser(__doc__, list(ROWS))
    parser.add_argument("--model", default="smollm2", help="name, hub id or folder (default: %(default)s)")
    parser.add_argument("--bbq", action="store_true", help="also all of BBQ")
    parser.add_argument("--limit", type=int, help="at most so many items of each benchmark: a seeded sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of the intervals")
    args = parser.parse_args()
    book = ledger.Ledger("corpus", args.out)
    if args.table:
        ledger.say(ledger.table(book.newest(), cells))
        return
    from evenhand import Model

    model = Model.load(args.model, dtype="float32", device="cpu")
    if model.threads < (os.cpu_count() or 1):
        ledger.note(f"{model.threads} of {os.cpu_count()} cores are used: is OMP_NUM_THREADS set?")

    def settings(_: str) -> ledger.Json:
        return {"model": args.model, "limit": args.limit, "seed": args.seed, "threads": model.threads}

    rows = args.row or (list(ROWS) if args.bbq else ["pairs"])
    entries = ledger.run(book, rows, settings, lambda row: measured(model, args, row), cells)
    sys.exit(1 if any(entry["result"]["met"] is False for entry in entries) else 0)


if __name__ == "__main__":
    main()
