"""Things measured in turns, so that all meet the same load, and how they compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import ledger

Times = Mapping[str, float]
"""Seconds, by what they were spent on and which clock."""


def in_turns(kinds: Mapping[str, Callable[[], Times]], rounds: int) -> dict[str, list[Times]]:
    """Every kind once a round, forwards and backwards by turns; one more round before them warms up."""
    found: dict[str, list[Times]] = {kind: [] for kind in kinds}
    for number in range(rounds + 1):
        for kind in list(kinds)[:: 1 if number % 2 else -1]:
            measured = kinds[kind]()
            if number:
                found[kind].append(measured)
    return found


def processor_time(run: Callable[[], None]) -> Callable[[], Times]:
    """The same, measured by the processor's time."""

    def timed() -> Times:
        begun = time.process_time()
        run()
        return {"cpu": time.process_time() - begun}

    return timed


def compared(without: Sequence[Times], with_: Sequence[Times]) -> ledger.Json:
    """For each time the median of both, and of the rounds' ratios; all ratios, sorted."""
    found: ledger.Json = {}
    for key in without[0]:
        ratios = sorted(b[key] / a[key] for a, b in zip(without, with_, strict=True))
        medians = [ledger.median([one[key] for one in side]) for side in (without, with_)]
        found[key] = {"without": medians[0], "with": medians[1], "ratio": ledger.median(ratios), "ratios": ratios}
    return found
