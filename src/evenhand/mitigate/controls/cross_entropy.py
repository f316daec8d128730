"""Cross-entropy on the stereotype and the anti-stereotype alike: what is left of KLAAD without its mechanism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation
from evenhand.mitigate._sentences import drawn, whole
from evenhand.mitigate._train import TrainSettings, next_token_loss, train, weight_edits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class CrossEntropy(TrainSettings, Mitigation):
    """Fine-tune on both meaningful sentences of each item, and on nothing else."""

    name: ClassVar[str] = "cross_entropy"
    card: ClassVar[Card] = Card(
        title="Control: fine-tunes on the two meaningful sentences of each StereoSet item by cross-entropy alone.",
        source="The first term of KLAAD: Kim, Lee, Lee, EMNLP 2025, https://arxiv.org/abs/2507.19962, without the "
        "other two.",
        formula="minimise the mean over items of (CE(stereotype) + CE(anti-stereotype)) / 2, CE = mean of "
        "-log P(token | tokens before) over the tokens",
        differs="Low-rank adapters on the attention of the upper half of the layers instead of all weights, and a "
        "learning rate that suits them. Every sentence weighs the same, whatever its length. Of intersentence items "
        "the sentence stands after its context, and both are trained on.",
        cautions="It learns the style of StereoSet's sentences, which raises lms and icat without touching any "
        "preference: a method trained on StereoSet must do more than this.",
        needs="a decoder in float32 or bfloat16; items with a stereotype and an anti-stereotype",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("stereoset", {"task": "intrasentence"})
    reads: ClassVar[tuple[str, ...]] = ("stereotype", "anti-stereotype")
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.5, 1.0)
    no_sham: ClassVar[str] = "it is a control: it claims no mechanism that could be taken out."

    limit: Annotated[int, Field(ge=1, description="Items to train on, at most; drawn at random.")] = 800
    amount: Annotated[float, Field(gt=0, le=1, description="How much of the learned change is used: 1 = all.")] = 1.0

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME` [rows, rank] and `down:NAME` [rank, columns], or `delta:NAME` from full training."""
        self.texts(items)
        texts = [tuple(whole(item, key) for key in self.reads) for item in drawn(items, rng, self.limit)]
        trained = train(model, texts, next_token_loss, self, seed=int(rng.integers(2**31)))
        return Fitted(trained.tensors, trained.notes)

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """Changes of weights."""
        return weight_edits(tensors, self.amount)
