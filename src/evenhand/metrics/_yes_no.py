"""What the metrics of yes/no answers share: counts of answers and of right ones, and the gaps of calibration bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Floats, per_cluster, ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NASA = (
    "Correcting Negative Bias in Large Language Models through Negative Attention Score Alignment. Yu et al., NAACL "
    "2025. https://arxiv.org/abs/2408.00137"
)
COUNTED = ("said_yes", "truth")
CALIBRATED = ("p_yes", "correct", "no_first")
BINS = 10


def counts(table: ScoreTable) -> Floats:
    """Per cluster: Yes where it is right, Yes in all, questions whose answer is Yes, all answers; float [C, 4]."""
    import numpy as np

    said, truth = table["said_yes"], table["truth"]
    return per_cluster(table, said * truth, said, truth, np.ones_like(said))


def orders(table: ScoreTable) -> NDArray[np.intp]:
    """Number of the order in which each item was asked, counted among those that the table has: int [N]."""
    import numpy as np

    numbers: NDArray[np.intp] = np.unique(table["no_first"], return_inverse=True)[1]
    return numbers


def confidence(table: ScoreTable) -> Floats:
    """Probability of the chosen answer among the two, 0.5 to 1: float [N]."""
    import numpy as np

    chosen: Floats = np.maximum(table["p_yes"], 1.0 - table["p_yes"])
    return chosen


def width_bins(confidence: Floats) -> NDArray[np.intp]:
    """Bin of each confidence among ten of equal width over [0.5, 1]: int [N]."""
    import numpy as np

    places: NDArray[np.intp] = np.floor((confidence - 0.5) * 2 * BINS).astype(np.intp)
    return np.clip(places, 0, BINS - 1)


def bin_gaps(table: ScoreTable, bins: NDArray[np.intp]) -> Floats:
    """Per cluster: confidence minus share of right answers, summed in each bin of each order, then the answers.

    Args:
        table: the scores.
        bins: bin of each item, 0 to 9, int [N].

    Returns:
        float [C, orders * 10 + 1].
    """
    import numpy as np

    gap, cells = confidence(table) - table["correct"], orders(table) * BINS + bins
    width = (int(cells.max()) // BINS + 1) * BINS if len(cells) else BINS
    split = (np.where(cells == cell, gap, 0.0) for cell in range(width))
    return per_cluster(table, *split, np.ones_like(gap))


def mean_gap(totals: Floats) -> Floats:
    """Sum of the absolute gaps by the number of answers; NaN without answers."""
    import numpy as np

    return ratio(np.abs(totals[..., :-1]).sum(axis=-1), totals[..., -1])
