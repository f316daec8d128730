"""CrAWD: text attends to sensitive words, the largest weights decay, and what is left adds to the logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate import _crawd_reference as references
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation, Sham
from evenhand.mitigate._sentences import drawn, plain
from evenhand.mitigate._train import TrainSettings, weight_edits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class Crawd(TrainSettings, Mitigation):
    """Fine-tune with a block beside the head that attends to sensitive words, the largest weights made smaller."""

    name: ClassVar[str] = "crawd"
    card: ClassVar[Card] = Card(
        title="Fine-tunes with cross-attention from the text to sensitive words, whose largest weights decay.",
        source="CrAWD: Haque, Fu, Xu, Yuan, Niu, Findings of EMNLP 2025, https://aclanthology.org/2025.findings-emnlp.854",
        formula="h, b = last hidden states of text and reference; beta = softmax((h WQ)(b WK)^T / sqrt(d)), per head; "
        "beta' = factor * beta where beta is among the largest top % of its row, else beta; u = LayerNorm(h + (beta' b "
        "WV) WO); x = LayerNorm(u + FFN(u)); logits = head(h) + x down up; minimise CE = mean of -log P(token | tokens "
        "before)",
        differs="The paper speaks of the largest weights of the matrix: taken so, a token's logits depend on later "
        "tokens. Here they are those of each token's row (scope=matrix is the paper's word; when the model is used, a "
        "mean of the training's thresholds takes the place of the text's own). Padding is no key and sets no "
        "threshold. What opens a text is read before the reference but is no key. The paper's head on both states is "
        "the model's own, kept, and a branch of rank 64 that begins at zero (head_rank=0: of full rank), so that "
        "training begins at the model itself. Width and activation of the feed-forward part are not given: as wide as "
        "the hidden state, GELU. The paper trains four-bit weights for five passes at lr=1e-5 on 21,000 records or "
        "more, cut to 32 tokens, adapters on all layers (layers=all epochs=5 lr=1e-5 dropout=0.1 length=32). Here "
        "fine_tuning, its rival, trains on the same texts as long, so that the two differ in the block alone. A mean "
        "over sentences, each weighing the same. In a classifier the branch reads the first token's state, and the "
        "class head that is there is kept; scope=matrix is that token's row.",
        cautions="Nothing in the loss asks for less bias: it is cross-entropy, and what comes after the weights can "
        "learn to undo their decay. For a fixed reference the branch is a function of the hidden state alone. Naming a "
        "group less often is not treating it alike: read gas.gas with gas.perplexity_listed, and beside "
        "word_list_bias, which does the same without any training. Which weights are largest changes by jumps: in "
        "bfloat16 the same token may fall on either side. Sensitive words are English.",
        needs="a decoder, or a classifier on an encoder, in float32 or bfloat16, whose hidden size can be divided into "
        "the heads; any text, or texts with a class",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("perplexity", {"documents": 5000})
    tasks: ClassVar[tuple[str, ...]] = ("decoder", "classifier")
    strength: ClassVar[str] = "factor"
    grid: ClassVar[tuple[float, ...]] = (0.5, 0.2, 0.0)
    primary: ClassVar[tuple[str, ...]] = ("gas.gas", "gas.gld", "stereoset.ss")
    test_on: ClassVar[tuple[str, ...]] = ("crows_pairs",)
    rivals: ClassVar[tuple[str, ...]] = ("fine_tuning", "word_list_bias")

    reference: Annotated[
        tuple[str, ...],
        Field(
            description="Sensitive words by attribute, several joined: gender (he, she), race, age, religion, "
            "orientation, disability, appearance, status, or full (all 21). Empty = only `words`."
        ),
    ] = ("gender",)
    words: Annotated[
        tuple[str, ...], Field(description="Sensitive words of your own, after those of `reference`.")
    ] = ()
    top: Annotated[
        float, Field(gt=0, le=100, description="Per cent of the weights that decay (K), rounded up to a whole number.")
    ] = 40.0
    factor: Annotated[
        float, Field(ge=0, le=1, description="What these weights are multiplied by (lambda); 1 = no decay.")
    ] = 0.2
    scope: Annotated[
        Literal["row", "matrix"],
        Field(description="Largest of every token's weights (row), or of a whole training text's (matrix)."),
    ] = "row"
    mask_from: Annotated[
        Literal["head", "head_mean"],
        Field(description="Each head has its own largest weights, or all take those of the heads' mean."),
    ] = "head"
    renormalise: Annotated[bool, Field(description="Bring a token's weights back to sum 1 after decay.")] = False
    heads: Annotated[int, Field(ge=1, description="Heads of the cross-attention.")] = 8
    inner: Annotated[int, Field(ge=0, description="Width of the feed-forward part; 0 = that of the hidden state.")] = 0
    head_rank: Annotated[
        int, Field(ge=0, description="Rank of the branch's vocabulary head; 0 = full, as large as the model's own.")
    ] = 64
    attention_dropout: Annotated[
        float, Field(ge=0, lt=1, description="Share of the cross-attention's weights that is dropped in training.")
    ] = 0.1
    epochs: Annotated[float, Field(gt=0, description="Passes over the texts.")] = 2.0
    sentences: Annotated[int, Field(ge=1, description="Texts to train on, at most; drawn at random.")] = 400
    gendered: Annotated[
        bool, Field(description="Of running text, only sentences that name a gender, as cda reads them.")
    ] = False
    without: Annotated[
        Literal["", "words"],
        Field(
            description="For the sham: in the place of the reference words that name no group, as frequent and as long."
        ),
    ] = ""

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME`, `down:NAME`; block `extra:NAME`; `tau` [H]; ids `reference.before`, `.keys`, `.after`."""
        from evenhand.mitigate import _crawd_learn as learning

        words = references.words_of(self.reference, self.words)
        if model.task != "classifier":
            texts = self._texts(items, rng)
            words = self._referred(model, words, texts, rng)
            return learning.learn(model, self, words, texts, int(rng.integers(2**31)))
        if not _have_classes(items):
            raise DataError(f"{self.name} of a classifier is fitted on texts with a class: --fit-on classes:FILE.csv.")
        chosen = drawn(items, rng, self.sentences)
        goal = learning.class_loss(learning.class_numbers(model, [str(item.facts["label"]) for item in chosen]))
        texts = [item.texts["text"] for item in chosen]
        words = self._referred(model, words, texts, rng)
        return learning.learn(model, self, words, texts, int(rng.integers(2**31)), goal)

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """Changes of weights, and the block beside the vocabulary head."""
        from evenhand.mitigate._crawd_learn import branch_edit

        return [*weight_edits(tensors), branch_edit(model, self, tensors)]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """A reference of words that name no group, as frequent and of as many tokens; and the own one without decay."""
        return (
            Sham("other words", self.model_copy(update={"without": "words"}), items),
            Sham("no decay", self.model_copy(update={"factor": 1.0}), items),
        )

    def for_rivals(self) -> dict[str, Any]:
        """How it trains, and on which texts."""
        return {**self.training(), "sentences": self.sentences, "gendered": self.gendered}

    def _referred(
        self, model: Model, words: tuple[str, ...], texts: Sequence[str], rng: np.random.Generator
    ) -> tuple[str, ...]:
        """The words of the reference, or for the sham what stands in for them."""
        return references.stand_ins(words, texts, rng, references.size_in(model)) if self.without else words

    def _texts(self, items: Sequence[Item], rng: np.random.Generator) -> list[str]:
        """What it is trained on; of texts with a class, all."""
        if _have_classes(items):
            return [item.texts["text"] for item in items]
        return plain(items, rng, limit=self.sentences, gendered=self.gendered, method=self.name)


def _have_classes(items: Sequence[Item]) -> bool:
    """Whether they are texts with a class, as `classes` lays them out."""
    return all("text" in item.texts and "label" in item.facts for item in items)
