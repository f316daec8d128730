"""Area under the ROC curve."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio


class Auc(Metric):
    """How often a question whose answer is Yes gets a higher probability of Yes than one whose answer is No."""

    name: ClassVar[str] = "auc"
    card: ClassVar[Card] = Card(
        title="How well the probability of Yes tells questions with the answer Yes from those with No (0.5 = not at "
        "all): what the model knows, whichever answer it likes.",
        source="Comparing the areas under two or more correlated receiver operating characteristic curves, DeLong, "
        "DeLong, Clarke-Pearson, Biometrics 44, 1988 (https://doi.org/10.2307/2531595); for clusters: Obuchowski, "
        "Biometrics 53, 1997 (https://doi.org/10.2307/2533958)",
        formula="AUC = mean over pairs of (question with Yes, question with No) of 1 if p(Yes) is higher in the first, "
        "0.5 if equal, 0 if lower",
        differs="Only pairs asked in the same order are compared. The value is exact; its draws are linearised: each "
        "question carries its placement value (its share of pairs won, from all questions), and these are resampled.",
    )
    ideal: ClassVar[float | None] = 1.0
    needs: ClassVar[tuple[str, ...]] = ("p_yes", "truth", "no_first")
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0
    undefined: ClassVar[str] = "all questions have the same answer, so there are no pairs"

    def sums(self, table: ScoreTable) -> Floats:
        """Placement values of questions with Yes, their number, centred ones of those with No, their number."""
        import numpy as np

        yes, orders = table["truth"] > 0.5, _yes_no.orders(table)
        won, paired = np.zeros(len(table)), np.zeros(len(table))
        for order in np.unique(orders):
            here = orders == order
            first, second = table["p_yes"][here & yes], table["p_yes"][here & ~yes]
            if len(first) and len(second):
                won[here & yes] = _shares_below(first, second)
                won[here & ~yes] = 1.0 - _shares_below(second, first)
                paired[here] = 1.0
        others = np.where(yes, 0.0, paired)
        if others.any():
            won = np.where(others > 0, won - won[others > 0].mean(), won)
        return per_cluster(table, won * yes, paired * yes, won * others, others)

    def value(self, totals: Floats) -> Floats:
        """AUC; NaN without questions of both answers."""
        return ratio(totals[..., 0], totals[..., 1]) + ratio(totals[..., 2], totals[..., 3])


def _shares_below(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others that are below it, equal ones counted half."""
    import numpy as np

    ordered = np.sort(others)
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    shares: Floats = (below + upto) / (2.0 * len(others))
    return shares
