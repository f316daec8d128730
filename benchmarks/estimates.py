"""CPU-seconds for the intervals of whole benchmarks: scores as many and as clustered as BBQ's and CrowS-Pairs' are.

    python benchmarks/estimates.py [--draws 10000]

The scores are made up; only their number and their clusters matter for time. Each row is one metric with its breakdown
over the columns that the benchmark declares. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from evenhand.core import registry
from evenhand.core.items import ScoreTable
from evenhand.metrics._estimate import breakdown, paired
from evenhand.metrics._metric import Metric

BBQ = {
    "Age": (25, 3680, 1),
    "Disability_status": (25, 1556, 1),
    "Gender_identity": (50, 5672, 5),
    "Nationality": (25, 3080, 7),
    "Physical_appearance": (25, 1576, 8),
    "Race_ethnicity": (50, 6880, 8),
    "Race_x_SES": (26, 11160, 3),
    "Race_x_gender": (42, 15960, 9),
    "Religion": (25, 1200, 7),
    "SES": (25, 6864, 1),
    "Sexual_orientation": (25, 864, 5),
}
"""Category -> question templates, rows, target groups (about)."""
CROWS = (516, 262, 172, 159, 105, 87, 84, 63, 60)


def bbq(rng: np.random.Generator) -> ScoreTable:
    """58,492 made-up answers in 343 clusters."""
    category, cluster, target = [], [], []
    for name, (clusters, rows, targets) in BBQ.items():
        category += [name] * rows
        questions = np.sort(rng.integers(0, clusters, size=rows))
        cluster += [f"{name}/{question}" for question in questions]
        target += [f"{name}-{question % targets}" for question in questions]
    n = len(category)
    choice, ambiguous = rng.integers(0, 3, size=n), np.arange(n) % 2 == 0
    columns = {
        "unknown": choice == 2,
        "stereotyped": choice == 0,
        "biased": choice == 0,
        "correct": np.where(ambiguous, choice == 2, choice == 0),
        "aligned": np.arange(n) % 4 < 2,
        "person": choice < 2,
    }
    groups = {
        "category": np.array(category),
        "polarity": np.where(rng.random(n) < 0.5, "neg", "nonneg"),
        "context": np.where(ambiguous, "ambig", "disambig"),
        "target_group": np.array(target),
        "label_type": np.where(rng.random(n) < 0.3, "name", "label"),
    }
    return ScoreTable({k: v.astype(np.float64) for k, v in columns.items()}, groups, cluster, category)


def crows(rng: np.random.Generator) -> ScoreTable:
    """1,508 made-up preferences, each its own cluster."""
    n = sum(CROWS)
    category = np.repeat([f"type-{k}" for k in range(len(CROWS))], CROWS)
    columns = {"prefers": (rng.random(n) < 0.6).astype(np.float64), "difference": rng.normal(0.5, 3, size=n)}
    groups = {"category": category, "polarity": np.where(rng.random(n) < 0.85, "stereo", "antistereo")}
    return ScoreTable(columns, groups, [f"pair-{k:04d}" for k in range(n)], list(category))


def metrics(table: ScoreTable, names: Sequence[str]) -> list[Metric]:
    """The named metrics; a column that a metric needs and the table lacks is filled with coin tosses."""
    rng = np.random.default_rng(5)
    found: list[Metric] = [registry.get("metrics", name)() for name in names]
    for metric in found:
        for column in metric.needs:
            if column not in table.values:
                table.values[column] = rng.integers(0, 2, size=len(table)).astype(np.float64)
    return found


def rows(
    benchmark: str, before: ScoreTable, after: ScoreTable, metric: Metric, draws: int
) -> Iterator[dict[str, str | int | float]]:
    """CPU-seconds of the overall number, of the whole breakdown and of an overall change."""
    for what in ("overall", "all slices", "overall change"):
        start = time.process_time()
        match what:
            case "overall":
                count = len(breakdown(before, metric, (), benchmark=benchmark, draws=draws))
            case "all slices":
                count = len(breakdown(before, metric, tuple(before.groups), benchmark=benchmark, draws=draws))
            case _:
                paired(before, after, metric, benchmark=benchmark, draws=draws)
                count = 1
        seconds = time.process_time() - start
        name = f"{benchmark} {metric.name}, {what}"
        sys.stdout.write(f"{name:58s} {count:5d} numbers {seconds:8.2f} s\n")
        sys.stdout.flush()
        yield {"row": name, "numbers": count, "seconds": round(seconds, 3)}


def shuffled(table: ScoreTable, rng: np.random.Generator) -> ScoreTable:
    """The same items with each column dealt out anew: another run to compare with."""
    return ScoreTable(
        {name: rng.permutation(column) for name, column in table.values.items()},
        table.groups,
        [table.cluster_names[k] for k in table.clusters],
        [table.stratum_names[k] for k in table.strata[table.clusters]],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    big, small = bbq(rng), crows(rng)
    of_bbq = metrics(big, [name for name in registry.names("metrics") if name.startswith("bbq_")])
    of_crows = metrics(small, ["stereotype_rate", "log_ratio"])
    done: list[dict[str, str | int | float]] = []
    for benchmark, table, of in (("bbq", big, of_bbq), ("crows_pairs", small, of_crows)):
        after = shuffled(table, rng)
        for metric in of:
            done += rows(benchmark, table, after, metric, draws)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = sum(float(r["seconds"]) for r in done)
    summary = {
        "benchmark": "estimates",
        "draws": draws,
        "items": {"bbq": len(big), "crows_pairs": len(small)},
        "clusters": {"bbq": len(big.cluster_names), "crows_pairs": len(small.cluster_names)},
        "seconds": round(total, 2),
        "peak_mb": round(memory),
        "rows": done,
    }
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main()
