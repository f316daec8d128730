"""Does lm-evaluation-harness measure the same change as evenhand when a patch is in place?

    python benchmarks/patched_parity.py [--row NAME] [--items N]

    leace, ...   the patch is installed on the model, and lm-eval gets this very model object
    others, ...  the patch is exported, and lm-eval reads the folder with transformers alone; evenhand measures the
                 model with the patch installed

Both programs score the same items before and after, in float32. Every log-probability must agree within 0.001 nats,
and both must see the same change of the stereotype rate; pairs that lm-eval has closer than 0.002 nats (StereoSet: nats
per token) are listed and may be decided either way. A patch that moves no log-probability by 0.1 nats proves nothing.
Otherwise the script ends with exit code 1. On CrowS-Pairs lm-eval runs its own task, on StereoSet (intrasentence) it
gives log-probabilities and counts tokens, and our metric reads both.

Nothing here says whether a method helps: `leace` has its defaults, the others are trained for a few steps at a high
rate, so that something moves. Needs `pip install 'evenhand[referee]'`; some five minutes on two cores.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.items import Item, ScoreTable
from evenhand.core.requests import Request, Response, Scores, TextScore
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.measure._sample import sample
from evenhand.model import Model, Patch
from parity import NEAR, compared_as_task
from referee import LIMIT, Referee, asked, largest_difference, totals


@dataclass(frozen=True, slots=True)
class Wanted:
    """A patch: method, settings that are no defaults, what it is fitted on, whether lm-eval reads a folder."""

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    benchmark: str = "perplexity"
    source: dict[str, Any] = field(default_factory=lambda: {"documents": 1000})
    exported: bool = False


NASA = {"count": 3, "probe": 24, "monitor": 24, "steps": 3, "lr": 3e-3, "gain": -1e6, "slack": 1.0}
"""Few questions and whatever is tuned is kept: something must move, well or badly."""
PATCHES = {
    "leace": Wanted("leace"),
    "cda": Wanted("cda", {"sentences": 64, "steps": 12, "lr": 1e-3}, exported=True),
    "nasa_balanced": Wanted("nasa_balanced", NASA, "yes_no", {"questions": "strategyqa_train"}, exported=True),
    "klaad": Wanted("klaad", {"steps": 12, "lr": 1e-3}, "stereoset", {"task": "intrasentence"}, exported=True),
}
TESTS: dict[str, dict[str, Any]] = {"crows_pairs": {}, "stereoset": {"task": "intrasentence"}}
ROWS = [f"{patch}, {test}" for patch in PATCHES for test in TESTS]
MOVED = 0.1
"""Nats by which a patch must move some log-probability, a hundred times the limit of agreement."""
PROBED = 8
"""Items whose log-probabilities are looked at for that."""


class Bench:
    """What rows share: the model, the patches, and what both programs say of the untouched model."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model = Model.load(args.model, dtype="float32", device="cpu")
        self.before = functools.cache(self._before)
        self.patch = functools.cache(self._patch)
        self.judge = functools.cache(self._judge)
        self.items = functools.cache(self._items)
        self.scratch = tempfile.TemporaryDirectory()

    def measure(self, row: str) -> ledger.Json:
        """A patch on a benchmark."""
        name, test = row.split(", ")
        benchmark, items = self.items(test)
        before, unmoved = self.before(test)
        patch = self.patch(name)
        judge = self.judge(name)  # before it is installed: a patched model cannot be exported
        ledger.note(f"{row}: with the patch ...")
        with self.model.install(patch):
            after = _how(test)(self.model, judge, benchmark, items)
            moved = largest_difference(unmoved, totals(self.model.answer(_requests(items[:PROBED]))))
        return {
            "patch": patch.fingerprint,
            "seconds_fit": patch.provenance.seconds,
            "items": after["items"],
            "compared": before["compared"] + after["compared"],
            "moved": moved,
            "largest_difference": max(before["largest_difference"], after["largest_difference"]),
            "ours": [before["stereotype_rate"], after["stereotype_rate"]],
            "lm_eval": [before["pct_stereotype"], after["pct_stereotype"]],
            "near_pairs": [before["near_pairs"], after["near_pairs"]],
            "other_verdicts": [before["other_verdicts"], after["other_verdicts"]],
        }

    def _items(self, test: str) -> tuple[Benchmark, list[Item]]:
        benchmark = configured(test, TESTS[test])
        return benchmark, sample(benchmark.load().items, self.args.items, seed=self.args.seed, name=test)

    def _before(self, test: str) -> tuple[ledger.Json, list[float]]:
        """Both programs on the untouched model, and some of our log-probabilities (nats)."""
        benchmark, items = self.items(test)
        ledger.note(f"{test}: the untouched model ...")
        found = _how(test)(self.model, Referee(self.model, batch=self.args.lm_batch), benchmark, items)
        return found, totals(self.model.answer(_requests(items[:PROBED])))

    def _patch(self, name: str) -> Patch:
        """Fitted on the fold 'fit' of what the method is fitted on."""
        ledger.note(f"{name}: fitting ...")
        wanted = PATCHES[name]
        method = registry.get("mitigations", wanted.method)(**wanted.settings)
        source = configured(wanted.benchmark, wanted.source)
        found = eh.items(source, fold="fit").items
        return eh.fit(self.model, method, found, seed=self.args.seed, benchmark=source.name, fold="fit")

    def _judge(self, name: str) -> Referee:
        """lm-eval on our model object, or on a folder that it reads itself."""
        if not PATCHES[name].exported:
            return Referee(self.model, batch=self.args.lm_batch)
        folder = Path(self.scratch.name) / name
        eh.export(self.model, self.patch(name), folder)
        return Referee(folder, batch=self.args.lm_batch)


def _how(test: str) -> Any:
    return compared_as_task if test == "crows_pairs" else compared_by_metric


def _requests(items: Sequence[Item]) -> list[Request]:
    return [request for item in items for request in item.requests]


def compared_by_metric(model: Model, judge: Referee, benchmark: Benchmark, items: Sequence[Item]) -> ledger.Json:
    """StereoSet: the stereotype score from our log-probabilities and from lm-eval's, in the form of `parity`."""
    requests = _requests(items)
    responses, theirs = model.answer(requests), judge.totals(requests)
    ours = [benchmark.score(item, (response,)) for item, response in zip(items, responses, strict=True)]
    other = [benchmark.score(item, (one,)) for item, one in zip(items, _told(judge, requests, theirs), strict=True)]
    near = [item.id for item, one in zip(items, other, strict=True) if abs(one.values["difference"] or 0.0) < NEAR]
    apart = [
        item.id
        for item, one, two in zip(items, ours, other, strict=True)
        if item.id not in near and one.values["prefers"] != two.values["prefers"]
    ]
    metric = registry.get("metrics", "ss")()
    rates = [float(metric.value(metric.sums(ScoreTable.of(items, scores)).sum(axis=0))) for scores in (ours, other)]
    return {
        "items": len(items),
        "compared": len(theirs),
        "largest_difference": largest_difference(totals(responses), theirs),
        "stereotype_rate": rates[0],
        "pct_stereotype": rates[1],
        "near_pairs": near,
        "other_verdicts": apart,
    }


def _told(judge: Referee, requests: Sequence[Request], values: Sequence[float]) -> list[Response]:
    """lm-eval's sums (nats) as responses: each is put on the first of the tokens that lm-eval counts."""
    left = iter(values)
    told: list[Response] = []
    for request in requests:
        tokens = [tuple(judge.lm.tok_encode(text)) for _, text in asked([request])]
        told.append(Scores(tuple(TextScore(one, (next(left), *(0.0,) * (len(one) - 1))) for one in tokens)))
    return told


def problems(entry: ledger.Json) -> list[str]:
    """Why a row does not show the same change; nothing if it does."""
    result, found = entry["result"], []
    if not result["largest_difference"] < LIMIT:
        found.append(f"log-probabilities differ by {result['largest_difference']:.2g} nats")
    if _listed(result, "other_verdicts"):
        found.append(f"other verdicts on {', '.join(_listed(result, 'other_verdicts'))}")
    if not _listed(result, "near_pairs") and abs(_change(result["ours"]) - _change(result["lm_eval"])) > 1e-6:
        found.append(f"changes of {_change(result['ours']):+.4f} and {_change(result['lm_eval']):+.4f} points")
    if not result["moved"] >= MOVED:
        found.append(f"the patch moves log-probabilities by {result['moved']:.2g} nats only: nothing is shown")
    return [f"{entry['row']}: {what}" for what in found]


def _change(rates: Sequence[float]) -> float:
    return rates[1] - rates[0]


def _listed(result: ledger.Json, key: str) -> list[str]:
    """Pairs before and after, each once."""
    return list(dict.fromkeys(pair for part in result[key] for pair in part))


def cells(entry: ledger.Json) -> dict[str, str]:
    """A row of the table."""
    result, (name, test) = entry["result"], entry["row"].split(", ")

    def shown(rates: Sequence[float]) -> str:
        return f"{rates[0]:.2f} to {rates[1]:.2f} ({_change(rates):+.2f})"

    return {
        "patch": name,
        "lm-eval gets": "the exported folder" if PATCHES[name].exported else "the patched model object",
        "benchmark": test,
        "items": f"{result['items']:,}",
        "log-probabilities": f"{result['compared']:,}",
        "moved by up to (nats)": f"{result['moved']:.1f}",
        "largest difference (nats)": f"{result['largest_difference']:.1e}",
        "stereotype rate, evenhand (%)": shown(result["ours"]),
        "lm-eval (%)": shown(result["lm_eval"]),
        "pairs closer than 0.002 nats": ", ".join(_listed(result, "near_pairs")) or "none",
        "other verdicts": ", ".join(_listed(result, "other_verdicts")) or "none",
    }


def _parser() -> argparse.ArgumentParser:
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--model", default="smollm2", help="name, hub id or folder (default: %(default)s)")
    parser.add_argument(
        "--items", type=int, default=150, help="of each benchmark, a seeded sample (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples and of fitting")
    parser.add_argument("--lm-batch", type=int, default=16, help="batch size of lm-eval (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of both programs (default: %(default)s)")
    return parser


def main() -> None:
    args = _parser().parse_args()
    book = ledger.Ledger("patched_parity", args.out)
    if args.table:
        ledger.say(ledger.table(book.newest(), cells))
        return
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(args.threads)
    bench = Bench(args)

    def settings(row: str) -> ledger.Json:
        kept = {"model": bench.model.identity.fingerprint, "items": args.items, "seed": args.seed}
        return kept | {"lm_batch": args.lm_batch} | asdict(PATCHES[row.partition(", ")[0]])

    entries = ledger.run(book, args.row or ROWS, settings, bench.measure, cells)
    found = [problem for entry in entries for problem in problems(entry)]
    for problem in found:
        ledger.note(f"Not the same change. {problem}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
