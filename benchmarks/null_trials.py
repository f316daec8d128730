"""How often a trial says `improved` where nothing is there, and how often it finds an effect of the stated size.

    python benchmarks/null_trials.py [--row NAME] [--patches 15] [--table]

Null trials: patches that take random directions out of the residual stream of `smollm2` (bfloat16) are measured on
StereoSet (intrasentence, fold 'fit'; nothing is fitted). Each ordered pair of them is a trial, one as the method and
the other as its sham, with the guard on language modelling that trials have. Both are draws of the same kind, so every
`improved` is false. Rates come with an interval from resampling patches.

Power: made-up target terms lean by a known amount, and a change is made of the size that the samples say they can find
with 80 % power; the rate of p <= 0.05 should be 80 %.

    rank 1, rank 8, rank 32     directions that are taken out
    power                       30 and 80 target terms
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

import evenhand as eh
import ledger
from evenhand.core.items import ScoreTable
from evenhand.core.trial import Verdict
from evenhand.measure.stereoset import Stereoset
from evenhand.metrics._effect import effect
from evenhand.metrics.ss import Ss
from evenhand.mitigate.controls.random_direction import RandomDirection
from evenhand.prove import _arms, _guards
from evenhand.prove._arms import BEFORE, Measured, Settings
from evenhand.prove._compare import guarded, outcomes, pair, primary
from evenhand.prove._tests import Tests
from evenhand.prove._verdict import corrected, judge

RANKS = {"rank 1": 1, "rank 8": 8, "rank 32": 32}
ROWS = [*RANKS, "power"]
SITE = "L15.residual"
DRAWS = 1000
SIMULATIONS = 1600


def tests() -> Tests:
    """StereoSet's intrasentence items of the fold 'fit'."""
    guards = _guards.parse(["stereoset.lms>=-2"])
    return Tests((Stereoset(task="intrasentence"),), {"stereoset": "fit"}, {}, ("stereoset.ss",), guards)


def null(rank: int, patches: int, folder: Path) -> dict[str, Any]:
    """Verdicts of all ordered pairs of random patches; runs that are in the folder are read back."""
    settings = Settings("off", 0, 0.95, DRAWS, True, "", None)
    model = eh.Model.load("smollm2", dtype="bfloat16")
    runs: dict[str, Measured] = {BEFORE: _arms.run(model, BEFORE, None, tests(), settings, folder)}
    for seed in range(patches):
        patch = eh.fit(model, RandomDirection(sites=(SITE,), rank=rank), seed=seed)
        runs[str(seed)] = _arms.run(model, f"rank {rank} seed {seed}", patch, tests(), settings, folder)
        ledger.note(f"rank {rank}: patch {seed + 1} of {patches}")
    paired = pair(tests().benchmarks[0], runs)
    names = [str(seed) for seed in range(patches)]
    limits = guarded(outcomes(paired, names, [], [], tests(), settings), names, tests())
    found: dict[tuple[str, str], Verdict] = {}
    for ours, sham in itertools.permutations(names, 2):
        whole = corrected(primary({"stereoset": paired}, [ours], [sham], tests(), settings))
        mine = [limit for limit in limits if limit.arm == ours]
        found[ours, sham] = judge(whole, mine, seed=None, level=0.95, no_sham="").verdict
    return {"trials": len(found), **rates(found, names)}


def rates(found: dict[tuple[str, str], Verdict], names: list[str]) -> dict[str, Any]:
    """Per cent of each verdict, and of `improved` a 95 % interval over draws of patches."""
    counts = {verdict.value: sum(one is verdict for one in found.values()) for verdict in Verdict}
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        picked = [names[n] for n in rng.integers(0, len(names), size=len(names))]
        pairs = [found[a, b] for a, b in itertools.permutations(picked, 2) if a != b]
        drawn.append(100 * np.mean([one is Verdict.IMPROVED for one in pairs]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {
        "improved": round(100 * counts["improved"] / len(found), 1),
        "low": round(float(low), 1),
        "high": round(float(high), 1),
        "verdicts": counts,
    }


def power(terms: int) -> dict[str, Any]:
    """Rate of p <= 0.05 for a true change as large as what its own samples say they can find.

    A change makes the samples noisier, so the size is looked for where what is stated equals what is made.
    """
    rng = np.random.default_rng(terms)
    size = 0.0
    for _ in range(4):
        size = float(np.median([_one(rng, terms, size)[1] for _ in range(100)]))
    hits = [_one(rng, terms, size)[0] <= 0.05 for _ in range(SIMULATIONS)]
    false = [_one(rng, terms, 0.0)[0] <= 0.05 for _ in range(SIMULATIONS)]
    return {
        "terms": terms,
        "stated": round(size, 2),
        "found": round(100 * float(np.mean(hits)), 1),
        "half_width": round(196 * float(np.std(hits)) / SIMULATIONS**0.5, 1),
        "false": round(100 * float(np.mean(false)), 1),
    }


def _one(rng: np.random.Generator, terms: int, size: float) -> tuple[float, float]:
    """The p value and the detectable change of one simulated trial; a change of `size` points is made in the mean.

    Terms lean each in its own way, items of a term share part of the chance; 30 % of the answers are drawn anew.
    """
    lean = rng.beta(6, 4, size=terms)
    before = rng.random((terms, 25)) < lean[:, None]
    fresh = rng.random((terms, 25)) < lean[:, None]
    after = np.where(rng.random((terms, 25)) < 0.3, fresh, before)
    drop = rng.random((terms, 25)) < (size / 100) / 0.6  # of the preferences, a share that lowers the mean by `size`
    found = effect(_table(before), [_table(after & ~drop)], Ss(), benchmark=str(rng.integers(1 << 30)), draws=DRAWS)
    assert found.p is not None
    assert found.detectable is not None
    return found.p, found.detectable


def _table(prefers: np.ndarray[Any, Any]) -> ScoreTable:
    flat = [{"prefers": float(value)} for term in prefers for value in term]
    clusters = [f"term {number}" for number, term in enumerate(prefers) for _ in term]
    return ScoreTable.from_columns(flat, [{}] * len(flat), clusters, [""] * len(flat))


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    result = entry["result"]
    if entry["row"] == "power":
        shown = [
            f"{r['found']} ± {r['half_width']} % at {r['terms']} terms (change {r['stated']})" for r in result["rows"]
        ]
        return {"row": "power at the stated change", "found": "; ".join(shown), "target": "80 %"}
    return {
        "row": f"null trials, {entry['row']}",
        "found": f"improved in {result['improved']} % ({result['low']} to {result['high']}) of {result['trials']}",
        "target": "<= 5 %",
        "verdicts": ", ".join(f"{name} {count}" for name, count in result["verdicts"].items() if count),
    }


def main() -> None:
    """Command line."""
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--patches", type=int, default=15)
    options = parser.parse_args()
    book = ledger.Ledger("null_trials", options.out)
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return

    def measure(row: str) -> ledger.Json:
        if row == "power":
            return {"rows": [power(terms) for terms in (30, 80)]}
        return json.loads(json.dumps(null(RANKS[row], options.patches, options.out / book.name)))  # type: ignore[no-any-return]

    def settings(row: str) -> ledger.Json:
        return {"simulations": SIMULATIONS} if row == "power" else {"patches": options.patches}

    ledger.run(book, options.row or ROWS, settings, measure, cells)


if __name__ == "__main__":
    main()
