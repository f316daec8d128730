"""What the metrics of label priors share: mean shares of the labels, apart for each way to ask."""

from __future__ import annotations

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Floats, per_cluster, ratio

LABELS = 4
"""Labels of a choice, at most."""
CELLS = 6
"""Ways to ask: three kinds of contents in two orders of the labels."""
NEEDS = (*(f"p_{place}" for place in range(LABELS)), "labels", "cell")


def sums(table: ScoreTable) -> Floats:
    """Per cluster, for each way to ask: summed share of each label, summed number of labels, items; float [C, 36]."""
    import numpy as np

    columns = [*(table[f"p_{place}"] for place in range(LABELS)), table["labels"], np.ones(len(table))]
    cells = table["cell"].astype(np.int64)
    return per_cluster(table, *(np.where(cells == cell, one, 0.0) for cell in range(CELLS) for one in columns))


def priors(totals: Floats) -> tuple[Floats, Floats]:
    """Mean share of each label [..., 6, 4] and the number of labels [..., 6]; NaN where nothing was asked that way."""
    import numpy as np

    cells = totals.reshape(*totals.shape[:-1], CELLS, LABELS + 2)
    count = cells[..., -1]
    shares = ratio(cells[..., :LABELS], np.repeat(count[..., None], LABELS, axis=-1))
    return shares, ratio(cells[..., LABELS], count)


def mean_over_cells(values: Floats) -> Floats:
    """Mean of the values [..., 6] that are numbers: float [...]; NaN if none is."""
    import numpy as np

    there = np.isfinite(values)
    return ratio(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))
