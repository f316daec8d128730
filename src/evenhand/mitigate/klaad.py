"""KLAAD: fine-tuning that makes a stereotype and its anti-stereotype be attended to alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation, Sham
from evenhand.mitigate._train import TrainSettings, weight_edits
from evenhand.mitigate._triplets import ROLES, across_targets

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

_PRESETS = {
    "llama": (0.70, 0.15, 0.15, 0.3),
    "gpt_neo": (0.50, 0.25, 0.25, 0.5),
    "gemma": (0.90, 0.05, 0.05, 0.5),
}
"""Weights of cross-entropy, attention and triplet, and the margin."""

Weight = Annotated[float | None, Field(ge=0)]


class Klaad(TrainSettings, Mitigation):
    """Fine-tune on triplets: likely sentences, equal attention in the twins, an unrelated text further away."""

    name: ClassVar[str] = "klaad"
    card: ClassVar[Card] = Card(
        title="Fine-tunes so that the last layer attends alike in a stereotype and in its anti-stereotype.",
        source="KLAAD: Refining Attention Mechanisms to Reduce Societal Bias in Generative Language Models, Kim, Lee, "
        "Lee, EMNLP 2025, https://arxiv.org/abs/2507.19962",
        formula="minimise l1 CE + l2 KL(A_anti || A_stereotype) + l3 max(0, |h_s - h_a|^2 - |h_s - h_u|^2 + m); CE = "
        "mean of -log P(token | tokens before) over the tokens of either twin, then of both; A = last layer's "
        "attention over corresponding tokens, rows brought to sum 1, mean over rows i > 0 and heads; h = last hidden "
        "state, mean over tokens, brought to length 1",
        differs="Low-rank adapters on the attention of the upper half of the layers with a learning rate that suits "
        "them; the paper trains all weights (rank=0 targets=all layers=all lr=1e-5). It does not say, as far as could "
        "be read, which tokens correspond in sentences of unequal length: here equal blocks of tokens do, and replaced "
        "blocks of equal length token by token (align=pad takes the i-th for the i-th). Its softmax over attention "
        "that is a distribution already flattens the rows and makes the term almost vanish (paper_softmax=true). Heads "
        "are compared one by one, both twins get gradients, and the pooling is ours. Gemma's weights are inferred from "
        "the range that is given, not read. Of intersentence items the sentence stands after its context.",
        cautions="Equal attention is not equal likelihood, and cross-entropy on such sentences changes the scores by "
        "itself. Compare with cross_entropy. It trains on StereoSet's style: measure on other data "
        "too. English, and the groups that StereoSet names.",
        needs="a decoder in float32 or bfloat16 that shows its attention; items with a stereotype, an anti-stereotype "
        "and an unrelated text",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("stereoset")
    reads: ClassVar[tuple[str, ...]] = ROLES
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.5, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("stereoset.ss", "stereoset.icat")
    test_on: ClassVar[tuple[str, ...]] = ("crows_pairs",)
    rivals: ClassVar[tuple[str, ...]] = ("cross_entropy",)

    preset: Annotated[
        Literal["llama", "gpt_neo", "gemma"],
        Field(
            description="The paper's weights and margin for llama (Llama-3.2-3B: 0.7, 0.15, 0.15; 0.3), gpt_neo "
            "(GPT-Neo-2.7B: 0.5, 0.25, 0.25; 0.5) or gemma (Gemma-2-2B: 0.9, 0.05, 0.05; 0.5)."
        ),
    ] = "llama"
    cross_entropy: Annotated[
        Weight, Field(description="Weight of the likelihood of both twins, instead of the preset's; 0 = without.")
    ] = None
    attention: Annotated[
        Weight, Field(description="Weight of the difference in attention, instead of the preset's; 0 = without.")
    ] = None
    triplet: Annotated[
        Weight, Field(description="Weight of the triplet term, instead of the preset's; 0 = without.")
    ] = None
    margin: Annotated[
        Weight, Field(description="By which an unrelated text should be further away, instead of the preset's.")
    ] = None
    align: Annotated[
        Literal["match", "pad"],
        Field(description="Which tokens correspond: match = equal and replaced ones; pad = the i-th and the i-th."),
    ] = "match"
    heads: Annotated[
        Literal["each", "mean"], Field(description="Compare the attention of each head, or the mean over heads.")
    ] = "each"
    paper_softmax: Annotated[
        bool, Field(description="A softmax over the weights before the divergence, as the paper's text has it.")
    ] = False
    teacher: Annotated[
        Literal["none", "anti-stereotype", "stereotype"],
        Field(description="The twin whose attention is taken as given and gets no gradient."),
    ] = "none"
    pool: Annotated[
        Literal["mean", "last"], Field(description="What stands for a text in the triplet term: mean or last token.")
    ] = "mean"
    limit: Annotated[int, Field(ge=1, description="Items to train on, at most; drawn at random.")] = 800
    amount: Annotated[float, Field(gt=0, le=1, description="How much of the learned change is used: 1 = all.")] = 1.0

    @property
    def weighting(self) -> dict[str, float]:
        """Weight of each term."""
        own = {"cross_entropy": self.cross_entropy, "attention": self.attention, "triplet": self.triplet}
        preset = zip(own.items(), _PRESETS[self.preset], strict=False)
        return {name: value if weight is None else weight for (name, weight), value in preset}

    @property
    def wide(self) -> float:
        """The margin."""
        return _PRESETS[self.preset][3] if self.margin is None else self.margin

    @property
    def reads_unrelated(self) -> bool:
        """Whether a term needs the unrelated texts."""
        return self.weighting["triplet"] > 0

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME` [rows, rank] and `down:NAME` [rank, columns], or `delta:NAME`; `history:TERM` [steps]."""
        from evenhand.mitigate._klaad import Objective, chosen, learn

        return learn(Objective(model, self), chosen(self, items, rng), rng)

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """Changes of weights."""
        return weight_edits(tensors, self.amount)

    def for_rivals(self) -> dict[str, Any]:
        """How it trains, and on how many items."""
        return {**self.training(), "limit": self.limit}

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The same sentences in pairs drawn across targets, stereotypes with stereotypes and opposites with opposites.

        Pairs that are drawn across targets still make attention somewhat alike everywhere, so also in the twins.
        """
        return (Sham("pairs across targets", self, across_targets(items, rng)),) if len(items) > 1 else ()
