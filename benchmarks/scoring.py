"""Speed and memory of scoring, against lm-evaluation-harness and against a plain forward pass.

    python benchmarks/scoring.py [--row NAME] [--items N] [--rival N]

All times are CPU-seconds of one thread. Each round answers the whole list of requests with evenhand (tokenising and
planning included), then with lm-eval 0.4.13 (its best batch size of --lm-batch), then sends random tokens through
transformers' plain forward; the rounds follow one another in one process, on one model object in float32, and
medians are reported. A ratio is void (none) if any log-probability differs by 0.001 nats or more.

The plain forward gets rows of the texts' mean length, about 1,024 tokens a batch, and computes vocabulary head and
log-sum-exp at as many of its positions as evenhand needs: what a tight loop without any shared work would do.

    bbq3, bbq12, stereoset, crows   a sample as `--limit` draws it
    bbq3-category, bbq12-category   all rows of one BBQ category, as a full run has them; a single round
    bf16                            BBQ, evenhand in bfloat16 against float32
    memory                          peak above the loaded model, in a process of its own

lm-eval shares nothing between items, so it gets some of them only, drawn at random; its items per second are its tokens
per second over the mean tokens of an item of the whole list. Ours needs the larger number: few items leave its last
batches half empty. All rows take some twenty minutes, most of them lm-eval's. Needs `pip install 'evenhand[referee]'`.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch

import ledger
from evenhand import Model
from evenhand.core import registry
from evenhand.core.items import Item
from evenhand.core.requests import Request
from evenhand.measure._sample import sample
from footprint import measured_apart
from ledger import median
from plain import Plain, Shape, shape_of
from referee import LIMIT, Referee, largest_difference, totals


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row against lm-eval: benchmark, items by default, how many of them lm-eval gets, target, whole category."""

    benchmark: str
    items: int
    rival: int
    target: float
    whole: bool = False


T = TypeVar("T")
AGAINST = {
    "bbq3": Wanted("bbq", 300, 50, 5.0),
    "bbq12": Wanted("bbq_lm_eval", 120, 10, 10.0),
    "stereoset": Wanted("stereoset", 500, 160, 1.7),
    "crows": Wanted("crows_pairs", 300, 160, 1.2),
    "bbq3-category": Wanted("bbq", 0, 24, 5.0, whole=True),
    "bbq12-category": Wanted("bbq_lm_eval", 0, 8, 10.0, whole=True),
}
ROWS = [*AGAINST, "bf16", "memory"]
OF_PLAIN = 85.0
"""Target: unique tokens per CPU-second, in per cent of the plain forward."""
BF16 = 1.5
SPARE = 1 << 30
"""Bytes that scoring may take besides the model and the scored logits."""


@functools.cache
def loaded(name: str, dtype: str) -> Model:
    """The model, on one thread, with the road to score already chosen."""
    torch.set_num_threads(1)
    chosen: Any = dtype
    model = Model.load(name, dtype=chosen, device="cpu")
    model.answer(requests_of(sample(benchmark("crows_pairs").load().items, 1, seed=0, name="crows_pairs")))
    return model


def benchmark(name: str, **settings: Any) -> Any:
    """A registered benchmark."""
    return registry.get("benchmarks", name)(**settings)


def requests_of(items: Sequence[Item]) -> list[Request]:
    """Everything that the items ask."""
    return [request for item in items for request in item.requests]


def clocked(act: Callable[[], T]) -> tuple[T, float]:
    """The result and the CPU-seconds of this process."""
    since = time.process_time()
    result = act()
    return result, time.process_time() - since


def best_batch(model: Model, requests: Sequence[Request], sizes: Sequence[int]) -> int:
    """The batch size at which lm-eval is fastest, tried on the first requests."""
    few = requests[: max(4, len(requests) // 8)]
    seconds = {size: clocked(functools.partial(Referee(model, batch=size).totals, few))[1] for size in sizes}
    return min(seconds, key=seconds.__getitem__)


def against(args: argparse.Namespace, wanted: Wanted) -> ledger.Json:
    """Ours, lm-eval and the plain forward in turn."""
    model = loaded(args.model, "float32")
    rounds = 1 if wanted.whole else args.rounds
    if wanted.whole:
        items = list(benchmark(wanted.benchmark, categories=(args.category,)).load().items)
    else:
        count = args.items or wanted.items
        items = sample(benchmark(wanted.benchmark).load().items, count, seed=args.seed, name=wanted.benchmark)
    places = _drawn(len(items), args.rival or wanted.rival, args.seed)
    requests, theirs = requests_of(items), requests_of([items[place] for place in places])
    share = shape_of(model, theirs).asked / shape_of(model, requests).asked
    batch = best_batch(model, theirs, args.lm_batch) if len(args.lm_batch) > 1 else args.lm_batch[0]
    judge, shape = Referee(model, batch=batch), shape_of(model, requests)
    plain = Plain(model, shape, seed=args.seed)
    ours: list[float] = []
    rival: list[float] = []
    bare: list[float] = []
    difference = 0.0
    for number in range(rounds):
        responses, seconds = clocked(lambda: model.answer(requests))
        ours.append(seconds)
        numbers, seconds = clocked(lambda: judge.totals(theirs))
        rival.append(seconds)
        bare.append(plain.rate())
        same = [responses[place] for place in places]
        difference = max(difference, largest_difference(totals(same), numbers))
        ledger.note(f"round {number + 1} of {rounds}: {ours[-1]:.1f} s, lm-eval {rival[-1]:.1f} s")
    extra = {"items_of_rival": len(places), "share_of_rival": round(share, 5), "lm_batch": batch}
    return _summary(wanted, shape, len(items), ours, [s / share for s in rival], bare, difference) | extra


def _drawn(items: int, wanted: int, seed: int) -> list[int]:
    """Numbers of the items that lm-eval gets, in order."""
    return sorted(np.random.default_rng(seed).permutation(items)[:wanted].tolist())


def _summary(
    wanted: Wanted,
    shape: Shape,
    items: int,
    ours: Sequence[float],
    rival: Sequence[float],
    bare: Sequence[float],
    difference: float,
) -> ledger.Json:
    """Medians and ratios of CPU-seconds; `rival` as if it had been asked for all items."""
    ratios = [b / a for a, b in zip(ours, rival, strict=True)]
    percents = [100 * shape.tokens / a / rate for a, rate in zip(ours, bare, strict=True)]
    valid = difference < LIMIT
    return {
        "items": items,
        **asdict(shape),
        "largest_difference": difference,
        "ours_items_per_cpu_s": round(items / median(ours), 3),
        "rival_items_per_cpu_s": round(items / median(rival), 3),
        "ratio": round(median(ratios), 3) if valid else None,
        "ratios": [round(ratio, 3) for ratio in ratios],
        "target": wanted.target,
        "ours_tokens_per_cpu_s": round(shape.tokens / median(ours), 1),
        "plain_tokens_per_cpu_s": round(median(bare), 1),
        "percent_of_plain": round(median(percents), 1),
        "percents": [round(percent, 1) for percent in percents],
        "target_percent": OF_PLAIN,
        "met": valid and median(ratios) >= wanted.target and median(percents) >= OF_PLAIN,
    }


def half(args: argparse.Namespace) -> ledger.Json:
    """The same requests in bfloat16 and in float32, in turn."""
    items = sample(benchmark("bbq").load().items, args.items or 60, seed=args.seed, name="bbq")
    requests = requests_of(items)
    single, brief = (loaded(args.model, dtype) for dtype in ("float32", "bfloat16"))
    pairs: list[tuple[float, float]] = []
    difference = 0.0
    for _ in range(args.rounds):
        full, slow = clocked(lambda: single.answer(requests))
        short, fast = clocked(lambda: brief.answer(requests))
        pairs.append((slow, fast))
        difference = largest_difference(totals(full), totals(short))
    ratios = [slow / fast for slow, fast in pairs]
    return {
        "items": len(items),
        "float32_items_per_cpu_s": round(len(items) / median([slow for slow, _ in pairs]), 3),
        "bfloat16_items_per_cpu_s": round(len(items) / median([fast for _, fast in pairs]), 3),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "target": BF16,
        "native": bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()),
        "largest_difference": difference,
        "met": median(ratios) >= BF16,
    }


def memory(args: argparse.Namespace) -> ledger.Json:
    """Peak of a fresh process while it scores, above what it held once the model was loaded."""
    found = measured_apart(args.model, args.items or 120, args.seed)
    excess = found["peak"] - found["loaded"] - found["logits"]
    return {**found, "excess": excess, "limit": SPARE, "met": excess <= SPARE}


def cells(entry: ledger.Json) -> dict[str, str]:
    """A row of the table."""
    result = entry["result"]
    shown = {"row": entry["row"], "items": f"{result['items']:,}"}
    verdict = "yes" if result["met"] else "no"
    match entry["row"]:
        case "memory":
            shown |= {
                "ratio": f"{result['excess'] / 2**20:,.0f} MiB above model and logits",
                "target": f"<= {result['limit'] >> 20:,} MiB",
            }
        case "bf16":
            shown |= {
                "evenhand (items/CPU-s)": f"{result['bfloat16_items_per_cpu_s']:.2f}",
                "rival (items/CPU-s)": f"{result['float32_items_per_cpu_s']:.2f} (float32)",
                "ratio": f"{result['ratio']:.2f}",
                "target": f">= {result['target']:g}",
            }
        case _:
            shown |= {
                "evenhand (items/CPU-s)": f"{result['ours_items_per_cpu_s']:.2f}",
                "rival (items/CPU-s)": f"{result['rival_items_per_cpu_s']:.2f} (lm-eval)",
                "ratio": "void" if result["ratio"] is None else f"{result['ratio']:.2f}",
                "target": f">= {result['target']:g}",
                "tokens once / each": f"{result['tokens']:,} / {result['asked']:,}",
                "of plain forward": f"{result['percent_of_plain']:.0f} % (target {result['target_percent']:.0f} %)",
                "largest difference (nats)": f"{result['largest_difference']:.0e}",
            }
    return {**shown, "met": verdict}


def measured(args: argparse.Namespace, row: str) -> ledger.Json:
    """One row."""
    ledger.note(f"{row} ...")
    match row:
        case "bf16":
            return half(args)
        case "memory":
            return memory(args)
        case _:
            return against(args, AGAINST[row])


def main() -> None:
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--model", default="smollm2", help="name, hub id or folder (default: %(default)s)")
    parser.add_argument("--items", type=int, help="items of each row (default: by row)")
    parser.add_argument("--rival", type=int, help="how many of them lm-eval gets (default: by row)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ours, lm-eval, plain (default: %(default)s)")
    parser.add_argument("--lm-batch", type=int, nargs="+", default=[8, 16, 32], help="batch sizes to try for lm-eval")
    parser.add_argument("--category", default="Sexual_orientation", help="BBQ category (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    args = parser.parse_args()
    book = ledger.Ledger("scoring", args.out)
    if args.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def settings(_: str) -> ledger.Json:
        kept = ("model", "items", "rival", "rounds", "lm_batch", "category", "seed")
        return {name: getattr(args, name) for name in kept}

    entries = ledger.run(book, args.row or ROWS, settings, lambda row: measured(args, row), cells)
    sys.exit(0 if all(entry["result"]["met"] for entry in entries) else 1)


if __name__ == "__main__":
    main()
