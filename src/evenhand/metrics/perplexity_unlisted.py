"""Perplexity outside the word list."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._gas import PartPerplexity


class PerplexityUnlisted(PartPerplexity):
    """exp of the mean negative log-likelihood of the tokens outside the word list."""

    name: ClassVar[str] = "perplexity_unlisted"
    card: ClassVar[Card] = Card(
        title="How well all other words are predicted: what a change of the listed words costs elsewhere.",
        source="Ours; perplexity after Jelinek et al., JASA 62, 1977. https://doi.org/10.1121/1.2016299",
        formula="exp(sum of -log P(token) / number of tokens), over the tokens outside the word list",
        differs="All tokens that belong to no listed word; the texts are those of `perplexity`.",
        cautions="Comparable only between models with the same tokenizer.",
    )
    needs: ClassVar[tuple[str, ...]] = ("nll_unlisted", "tokens_unlisted")
