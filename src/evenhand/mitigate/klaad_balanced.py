"""A balanced variant of KLAAD: a stereotype and its anti-stereotype are made equally likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._mitigation import Fitted, Sham
from evenhand.mitigate.klaad import Klaad

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model


class KlaadBalanced(Klaad):
    """KLAAD's loss, the difference of the twins' log-probabilities, an anchor, and a lead over the unrelated text."""

    name: ClassVar[str] = "klaad_balanced"
    card: ClassVar[Card] = Card(
        title="Fine-tunes so that a stereotype and its anti-stereotype are equally likely, near the untouched model.",
        source="A variant of ours of KLAAD (Kim, Lee, Lee, EMNLP 2025, https://arxiv.org/abs/2507.19962).",
        formula="minimise KLAAD's loss + b |LL(stereotype) - LL(anti)| + c mean over tokens of all three texts of "
        "KL(P_0 || P) + d mean over the twins of max(0, LL(unrelated) - LL(twin) + lead); LL = mean log P(token | "
        "tokens before) over the tokens after the context; P_0 = next-token distribution of the untouched model, its K "
        "likeliest tokens and the rest as one",
        differs="From KLAAD: the last three terms, and two passes, as the anchor holds the model back. Two texts could "
        "also be made equally likely by making both unlikely, or everything alike: the anchor, the cross-entropy on "
        "both and, where it is asked for, the last term, which is KLAAD's triplet with likelihoods in the place of "
        "states, stand against that, and the notes tell how the twins' mean likelihood went. As the rest counts as one "
        "token, the anchor is at most the whole divergence. These terms look at the untouched model's own texts only, "
        "never at a test.",
        cautions="It equalises what StereoSet scores, on StereoSet's kind of sentences: look at other data for what it "
        "is worth. Some stereotypes' words are commoner than those of their opposites; equal likelihood evens that "
        "out too. The effect may be larger on the targets that were trained on. English, and the "
        "groups that StereoSet names.",
        needs=Klaad.card.needs,
    )
    strength: ClassVar[str] = "balance"
    grid: ClassVar[tuple[float, ...]] = (10.0, 30.0, 60.0)

    balance: Annotated[
        float, Field(ge=0, description="Weight of the difference of the twins' log-probabilities; 0 = without.")
    ] = 30.0
    per: Annotated[
        Literal["token", "text"],
        Field(description="Log-probabilities are means over tokens, as StereoSet scores, or sums over the text."),
    ] = "token"
    anchor: Annotated[
        float, Field(ge=0, description="Weight of the divergence from the untouched model; 0 = without.")
    ] = 5.0
    coherence: Annotated[
        float, Field(ge=0, description="Weight of the lead that a twin has over the unrelated text; 0 = without.")
    ] = 0.0
    epochs: Annotated[float, Field(gt=0, description="Passes over the texts.")] = 2.0
    lead: Annotated[float, Field(ge=0, description="The lead beyond which there is nothing to win, nats a token.")] = (
        0.5
    )
    anchor_tokens: Annotated[
        int, Field(ge=1, description="Likeliest tokens that the anchor tells apart; the rest counts as one.")
    ] = 64
    without: Annotated[
        Literal["", "equality"],
        Field(description="For the sham: every pair is driven to the difference that another pair had before."),
    ] = ""

    @property
    def reads_unrelated(self) -> bool:
        """Whether a term needs the unrelated texts."""
        return super().reads_unrelated or self.coherence > 0

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME` [rows, rank] and `down:NAME` [rank, columns], or `delta:NAME`; `history:TERM` [steps]."""
        from evenhand.mitigate._klaad import Objective, chosen, learn, texts_of
        from evenhand.mitigate._klaad_balance import Balance

        found = chosen(self, items, rng)
        more = Balance(model, self, found, texts_of(found, self), rng)
        return learn(Objective(model, self, more), found, rng)

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The same pairs, driven not to equality but to differences that other pairs had in the untouched model.

        As far and at the same cost, but stereotypes stay as much likelier as they were on the whole. Pairs across
        targets, the sham of `klaad`, would be no sham here: to make any two sentences equally likely flattens all that
        the model says, a stereotype too.
        """
        return (Sham("differences of other pairs", self.model_copy(update={"without": "equality"}), items),)
