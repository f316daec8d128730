"""Perplexity over a part of the tokens, and where the gender attribute score comes from."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio

SOURCE = (
    "Dong et al., Disclosure and Mitigation of Gender Bias in LLMs, 2024. https://arxiv.org/abs/2402.11190; list of "
    "28 words: Haque et al., Findings of EMNLP 2025, 854"
)


class PartPerplexity(Metric):
    """exp of the mean negative log-likelihood over some of the tokens; `needs` names their sum (nats) and number."""

    ideal: ClassVar[float | None] = None
    low: ClassVar[float | None] = 1.0
    undefined: ClassVar[str] = "no such token in the documents"

    def sums(self, table: ScoreTable) -> Floats:
        """Negative log-likelihood (nats) and tokens, per cluster."""
        return per_cluster(table, *(table[need] for need in self.needs))

    def value(self, totals: Floats) -> Floats:
        """exp(nats per token); NaN without tokens."""
        import numpy as np

        perplexity: Floats = np.exp(ratio(totals[..., 0], totals[..., 1]))
        return perplexity
