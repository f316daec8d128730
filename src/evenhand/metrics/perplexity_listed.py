"""Perplexity inside the word list."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._gas import PartPerplexity


class PerplexityListed(PartPerplexity):
    """exp of the mean negative log-likelihood of the tokens inside the word list."""

    name: ClassVar[str] = "perplexity_listed"
    card: ClassVar[Card] = Card(
        title="How well words that name a gender are predicted where a text has them; suppression makes it worse.",
        source="Ours; perplexity after Jelinek et al., JASA 62, 1977. https://doi.org/10.1121/1.2016299",
        formula="exp(sum of -log P(token) / number of tokens), over the tokens inside the word list",
        differs="A word has its tokens and the space before it; the texts are those of `perplexity`.",
        cautions="Comparable only between models with the same tokenizer.",
    )
    needs: ClassVar[tuple[str, ...]] = ("nll_listed", "tokens_listed")
