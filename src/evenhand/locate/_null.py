"""Tests of many sites at once: p values against a null that was drawn, corrected by its maxima over the sites.

Two ways to draw a null. *Sign flips*: if a number of every cluster could as well have had the other sign, the statistic
is |sum of cluster sums| / root of the sum of their squares, and all sites share the flips of a draw. *Rival draws*: the
whole computation is repeated with something in the place of what is claimed to matter (other words, shuffled labels);
where claim and rivals are exchangeable, the rank of the claim among them is its p value. There a site's numbers are
brought to one scale by their mean and spread over the claim and all rivals, which treats them alike.

The correction is the step-down of maxima: the site with the largest statistic is compared with the largest of all sites
in each draw, the next one with the largest of those that remain, and so on; it holds whatever the dependence between
the sites, because a draw keeps it. A p value is never below 1 / (1 + draws).

Source: Westfall and Young, Resampling-Based Multiple Testing (1993), section 2.6 and chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Side = Literal["both", "above"]
LEVEL = 0.95
DRAWS = 999
"""Of intervals."""


@dataclass(frozen=True, slots=True)
class Tested:
    """p values of S sites, not corrected and corrected, and the mean of the null: float [S] each."""

    p: Floats
    corrected: Floats
    null: Floats


def step_down(observed: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """P values and their correction; larger statistics are stranger.

    Args:
        observed: float [S].
        drawn: the same under the null, float [draws, S].
    """
    import numpy as np

    bar = observed * (1 - np.sign(observed) * 1e-9) - 1e-12
    total = 1 + len(drawn)
    p = (1 + np.sum(drawn >= bar, axis=0)) / total
    order = np.argsort(-observed, kind="stable")
    rest = np.maximum.accumulate(drawn[:, order][:, ::-1], axis=1)[:, ::-1]
    stepped = (1 + np.sum(rest >= bar[order], axis=0)) / total
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(stepped)
    return p, corrected


def sign_flips(sums: Floats, *, draws: int, rng: np.random.Generator) -> Tested:
    """Two-sided test that each cluster's numbers could as well have had the other sign.

    All patterns are tried where there are at most `draws` of them.

    Args:
        sums: sums over clusters, float [C, S].
        draws: number of random patterns.
        rng: the only source of chance.
    """
    import numpy as np

    size = np.sqrt(np.sum(sums**2, axis=0))
    size[size == 0] = 1.0
    patterns = 2 ** (len(sums) - 1)  # a pattern and its opposite give the same statistic
    if patterns - 1 <= draws:
        bits = (np.arange(1, patterns)[:, None] >> np.arange(len(sums))) & 1
    else:
        bits = rng.integers(0, 2, size=(draws, len(sums)))
    drawn = np.abs((1.0 - 2.0 * bits) @ sums) / size
    p, corrected = step_down(np.abs(sums.sum(axis=0)) / size, drawn)
    return Tested(p, corrected, np.zeros(sums.shape[1]))


def among_rivals(claimed: Floats, rivals: Floats, side: Side) -> Tested:
    """Rank of the claim among its rivals: float [S] and [W, S]; p = (1 + rivals as strange) / (1 + W)."""
    import numpy as np

    every = np.concatenate([claimed[None], rivals])
    spread = every.std(axis=0)
    away = (every - every.mean(axis=0)) / np.where(spread > 1e-12, spread, np.inf)
    strange = np.abs(away) if side == "both" else away
    p, corrected = step_down(strange[0], strange[1:])
    return Tested(p, corrected, rivals.mean(axis=0))


def by_cluster(values: Floats, clusters: Sequence[str]) -> tuple[Floats, Floats]:
    """Sums [C, S] of values [N, S] over clusters, and how many items each has, [C]."""
    import numpy as np

    names, number = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, number, values)
    return sums, np.bincount(number, minlength=len(names)).astype(np.float64)


def intervals(sums: Floats, counts: Floats, rng: np.random.Generator) -> list[tuple[float | None, float | None]]:
    """Studentised cluster intervals (95 %) of the means sums / counts of S sites; None where there is none."""
    import numpy as np

    from evenhand.core.statistics import Sample, interval

    strata = np.zeros(len(counts), dtype=np.int64)

    def mean(totals: Floats) -> Floats:
        out: Floats = np.full(totals.shape[:-1], np.nan)
        np.divide(totals[..., 0], totals[..., 1], out=out, where=totals[..., 1] > 0)
        return out

    out: list[tuple[float | None, float | None]] = []
    for column in sums.T:
        found = interval(Sample(np.stack([column, counts], axis=1), strata, mean), level=LEVEL, draws=DRAWS, rng=rng)
        out.append((found.low, found.high))
    return out


def correlation(first: Floats, second: Floats) -> float | None:
    """Pearson's correlation of two float [S], None where one of them does not vary."""
    import numpy as np

    if len(first) < 3 or np.ptp(first) < 1e-12 or np.ptp(second) < 1e-12:
        return None
    return float(np.corrcoef(first, second)[0, 1])
