"""Calibration error with bins of equal width."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric


class EceWidth(Metric):
    """Mean distance of confidence and share of right answers, over ten bins of equal width in [0.5, 1]."""

    name: ClassVar[str] = "ece_width"
    card: ClassVar[Card] = Card(
        title="How far the confidence of the answers is from how often they are right (ten bins of equal width).",
        source="On Calibration of Modern Neural Networks, Guo, Pleiss, Sun, Weinberger, ICML 2017. "
        "https://proceedings.mlr.press/v70/guo17a.html",
        formula="ECE = sum over bins of #bin / #answers * |accuracy of bin - mean confidence of bin|; confidence = "
        "max(p(Yes), p(No)) among the two; bins [0.5, 0.55), [0.55, 0.6), ... [0.95, 1]",
        differs="Ten bins over [0.5, 1], where a choice of two has its confidences. Bins of the two orders are kept "
        "apart, so that errors of one cannot hide those of the other.",
        cautions="It is above 0 for a perfectly calibrated model too, by about 0.4 * sqrt(bins in use / answers): a "
        "small sample looks worse. The interval allows for this and may lie below the value.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = _yes_no.CALIBRATED
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0

    def sums(self, table: ScoreTable) -> Floats:
        """Gap in each bin of each order, and answers, per cluster."""
        return _yes_no.bin_gaps(table, _yes_no.width_bins(_yes_no.confidence(table)))

    def value(self, totals: Floats) -> Floats:
        """ECE in [0, 1]; NaN without answers."""
        return _yes_no.mean_gap(totals)
