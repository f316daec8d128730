"""Vanilla fine-tuning: the texts as they are, nothing swapped and nothing balanced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation
from evenhand.mitigate._sentences import plain
from evenhand.mitigate._train import TrainSettings, next_token_loss, train, weight_edits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class FineTuning(TrainSettings, Mitigation):
    """Fine-tune on the same texts as a method, without the method."""

    name: ClassVar[str] = "fine_tuning"
    card: ClassVar[Card] = Card(
        title="Control: fine-tunes on the texts as they are. What it changes too is no merit of a method that trains.",
        source="Our own. Fine-tuning a language model on a text is the baseline of every method that trains one, e.g. "
        "in https://aclanthology.org/2022.acl-long.132.",
        formula="minimise the mean over texts of CE, CE = mean of -log P(token | tokens before) over the tokens",
        cautions="By default two passes, so that it takes as many steps as cda, which trains on every sentence and its "
        "twin.",
        needs="a decoder in float32 or bfloat16; any text",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("perplexity", {"documents": 5000})
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.5, 1.0)
    no_sham: ClassVar[str] = "it is a control: it claims no mechanism that could be taken out."

    epochs: Annotated[float, Field(gt=0, description="Passes over the texts.")] = 2.0
    sentences: Annotated[int, Field(ge=1, description="Texts to train on, at most; drawn at random.")] = 400
    gendered: Annotated[
        bool, Field(description="Of running text, only sentences that name a gender, as cda reads them.")
    ] = True
    amount: Annotated[float, Field(gt=0, le=1, description="How much of the learned change is used: 1 = all.")] = 1.0

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME` [rows, rank] and `down:NAME` [rank, columns], or `delta:NAME` from full training."""
        texts = plain(items, rng, limit=self.sentences, gendered=self.gendered, method=self.name)
        trained = train(model, [(text,) for text in texts], next_token_loss, self, seed=int(rng.integers(2**31)))
        return Fitted(trained.tensors, trained.notes)

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """Changes of weights."""
        return weight_edits(tensors, self.amount)
