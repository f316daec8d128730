"""Counterfactual data augmentation: fine-tuning on sentences that name a gender and on their gender-swapped twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation, Sham
from evenhand.mitigate._sentences import twins, with_nouns_swapped
from evenhand.mitigate._train import TrainSettings, next_token_loss, train, weight_edits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class Cda(TrainSettings, Mitigation):
    """Fine-tune on text in which either gender stands wherever the other did."""

    name: ClassVar[str] = "cda"
    card: ClassVar[Card] = Card(
        title="Fine-tunes on sentences that name a gender, each as it is and once more with the gender swapped.",
        source="Counterfactual Data Augmentation for Mitigating Gender Stereotypes in Languages with Rich Morphology, "
        "Zmigrod et al., ACL 2019, https://aclanthology.org/P19-1161; two-sided as for language models in An Empirical "
        "Survey of the Effectiveness of Debiasing Techniques, Meade et al., ACL 2022, "
        "https://aclanthology.org/2022.acl-long.132.",
        formula="minimise the mean over sentences of CE(sentence) and of CE(swapped sentence), CE = mean of "
        "-log P(token | tokens before) over the tokens",
        differs="Low-rank adapters on the attention of the upper half of the layers and one pass over some hundred "
        "sentences of GAP; the survey trains all weights on a tenth of Wikipedia. Only sentences that name a gender "
        "are read. Every sentence weighs the same, whatever its length. The words that are swapped are our own list, "
        "English, with rules for his, her and names.",
        cautions="English pairs of words for women and men only; other groups are not touched. First names stay, so "
        "swapped sentences may join a name to the other pronoun. Fine-tuning on any text moves many numbers: compare "
        "with fine_tuning and with the sham.",
        needs="a decoder in float32 or bfloat16; text that names women or men",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("perplexity", {"documents": 5000})
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.5, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("stereoset.ss", "gas.gld")
    test_on: ClassVar[tuple[str, ...]] = ("crows_pairs", "emission")
    rivals: ClassVar[tuple[str, ...]] = ("fine_tuning",)

    sentences: Annotated[
        int, Field(ge=1, description="Sentences to train on, at most, not counting their twins; drawn at random.")
    ] = 400
    amount: Annotated[float, Field(gt=0, le=1, description="How much of the learned change is used: 1 = all.")] = 1.0

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME` [rows, rank] and `down:NAME` [rank, columns], or `delta:NAME` from full training."""
        pairs = twins(items, rng, limit=self.sentences, method=self.name)
        texts = [(text,) for one in pairs for text in (one.text, one.twin)]
        trained = train(model, texts, next_token_loss, self, seed=int(rng.integers(2**31)))
        changed = sum(one.text != one.twin for one in pairs)
        return Fitted(trained.tensors, (f"{changed:,} of {len(pairs):,} twins differ.", *trained.notes))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """Changes of weights."""
        return weight_edits(tensors, self.amount)

    def for_rivals(self) -> dict[str, Any]:
        """How it trains, and on how many sentences; two passes for one, as a rival has no twins."""
        return {**self.training(), "epochs": 2 * self.epochs, "sentences": self.sentences}

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Other nouns are swapped instead: as many words in all, each with one of similar frequency."""
        found, _ = with_nouns_swapped(twins(items, rng, limit=self.sentences, method=self.name), rng)
        return (Sham("random nouns", self, found),)
