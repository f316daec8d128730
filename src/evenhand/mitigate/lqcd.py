"""Leading query contrastive decoding: the neutral question is contrasted with the leading one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.edits import BranchingEdit
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.requests import Choose, Complete, NextToken, Request
from evenhand.mitigate._contrasting import contrast, moves, plausible, reversed_moves, reversed_roles
from evenhand.mitigate._evidence import with_prompt
from evenhand.mitigate._leading import neutral_question
from evenhand.mitigate._mitigation import LANGUAGE, Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class Lqcd(Mitigation):
    """Answer a leading question as its neutral wording, and contrast that with the leading one."""

    name: ClassVar[str] = "lqcd"
    card: ClassVar[Card] = Card(
        title="Takes the hint out of a leading question and contrasts the neutral question with the leading one.",
        source="Towards Analyzing and Mitigating Sycophancy in Large Vision-Language Models. Zhao et al., 2024. "
        "https://arxiv.org/abs/2408.11261",
        formula="n, l = logits under the neutral and under the leading prompt; l' = (1 + alpha) * n - alpha * l; "
        "written tokens need p_n(w) >= beta * max p_n",
        differs="No code was published; alpha = 1 and beta = 0.1 are our choice. The paper rewrites a leading question "
        "with a language model; here rules leave out sentences that open with an opinion (after the question, or "
        "before it if they name an answer), question tags and negated questions, in the question only. A question in "
        "which they find no hint is asked as it is. The limit of plausibility acts in writing only and is a steep ramp "
        "(50 nats for each nat below it) instead of a jump. The paper's scaling by the query's sentiment is left out.",
        cautions="The sham is the neutral question alone: where the rules find the hint, that already undoes it, and "
        "the contrast has to show what it adds. Hints in other words than the rules know stay. A premise that opens "
        "like an opinion is taken for a hint if it follows the question, or names an answer before it (The teacher "
        "said No to Tim). Gains of contrasts were found to come partly from answering Yes more often "
        "(https://arxiv.org/abs/2504.10020): read the Yes-rate beside, and compare what is written with the untouched "
        "model's greedy text. Costs a second forward pass, in the same batch, for leading questions.",
        needs="a decoder; English",
    )
    strength: ClassVar[str] = "alpha"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("sycophancy.ctr",)
    test_on: ClassVar[tuple[str, ...]] = ("yes_no",)
    guards: ClassVar[tuple[str, ...]] = (*LANGUAGE, "sycophancy.accuracy>=-2", "yes_no.balanced_accuracy>=-2")

    alpha: Annotated[float, Field(ge=0, description="Strength of the contrast; 0 = the neutral question alone.")] = 1.0
    beta: Annotated[
        float,
        Field(gt=0, le=1, description="A written token must be at least so likely, as a share of the likeliest."),
    ] = 0.1

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Nothing is learned."""
        return Fitted({})

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One edit that asks a leading question once more, neutrally."""
        combine = reversed_roles(contrast(self.alpha))
        if self.alpha == 0:
            return [BranchingEdit(_neutrally, combine)]
        written, most = plausible(self.alpha, self.beta), moves(self.alpha, self.beta)
        return [BranchingEdit(_neutrally, combine, reversed_roles(written), reversed_moves(most))]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The neutral question alone, without a contrast, at the same cost."""
        return (Sham("neutral question alone", self.model_copy(update={"alpha": 0.0}), ()),)


def _neutrally(request: Request) -> tuple[Request, ...]:
    if not isinstance(request, Choose | NextToken | Complete):
        return ()
    prompt = neutral_question(request.prompt)
    return () if prompt is None else (with_prompt(request, prompt),)
