"""Post-hoc calibration: each answer is divided by the answer to its own prompt without the evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.edits import ScoreEdit
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.requests import Choose, Request
from evenhand.mitigate._calibration import Totals, unrelated
from evenhand.mitigate._evidence import Free, branches
from evenhand.mitigate._labels import labels, moved, shares
from evenhand.mitigate._mitigation import LANGUAGE, Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class PostHocCalibration(Mitigation):
    """Divide each choice by the same choice without its evidence."""

    name: ClassVar[str] = "post_hoc_calibration"
    card: ClassVar[Card] = Card(
        title="Takes off, question by question, what the model answers without the evidence.",
        source="Debiasing Multimodal Large Language Models. Zhang et al., 2024. https://arxiv.org/abs/2403.05262; "
        "https://github.com/yfzhang114/LLaVA-Align",
        formula="p, q = shares of the labels with and without the evidence; p'(c) ~ p(c) / (q(c) + floor)^amount",
        differs="The paper's evidence is an image; here it is the context before a question, or the question itself "
        "where there is none, found by rules for prompts with 'Question:' or 'Q:' or with listed options. Its unknown "
        "image becomes 'N/A'. The options keep the probability that they had together. Its other mode, one prior "
        "averaged over a set, is batch_calibration. Where labels are whole texts, this is their pointwise mutual "
        "information with the question.",
        cautions="Asks every question with evidence once or twice more. A request without a known form is left alone. "
        "Acts only where options are scored; evidence_contrast acts on what is written too.",
        needs="a decoder",
    )
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("label_prior.prior_distance", "yes_no.yes_rate_gap")
    test_on: ClassVar[tuple[str, ...]] = ()
    guards: ClassVar[tuple[str, ...]] = (*LANGUAGE, "yes_no.balanced_accuracy>=-2")

    amount: Annotated[float, Field(ge=0, le=1, description="Power of what is divided by: 1 = the paper's.")] = 1.0
    free: Annotated[
        Free,
        Field(description="Without the evidence: none leaves it out, na writes N/A for it, both takes the mean."),
    ] = "none"
    floor: Annotated[
        float, Field(gt=0, lt=1, description="Added to each label's share without the evidence, as in the paper.")
    ] = 1e-4
    other: Annotated[
        bool, Field(description="Ask as many words on a landscape instead of the prompt without evidence: the sham.")
    ] = False

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Nothing is learned."""
        return Fitted({})

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One change of the scores of options that asks again."""
        if self.amount == 0:
            return [ScoreEdit(lambda _: (), lambda own, _: own)]
        return [ScoreEdit(_again(self.free, self.other), lambda own, _: own, by_request=_divided(self))]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Divide by the choice after a landscape, as long as the prompt without evidence."""
        return (Sham("after unrelated text", self.model_copy(update={"other": True}), ()),)


def _again(free: Free, other: bool) -> Callable[[Choose], tuple[Choose, ...]]:
    find: Callable[[Request], tuple[Request, ...]] = branches(free)

    def requests(request: Choose) -> tuple[Choose, ...]:
        found = [one for one in find(request) if isinstance(one, Choose)]
        return tuple(Choose(unrelated(one.prompt), one.options) if other else one for one in found)

    return requests


def _divided(method: PostHocCalibration) -> Callable[[Choose, Totals, tuple[Totals, ...]], Totals]:
    def change(request: Choose, totals: Totals, others: tuple[Totals, ...]) -> Totals:
        """Scores divided by the mean shares of the further requests; the same where there are none."""
        named = labels(request.options)
        if not others or len(set(named)) < 2:
            return totals
        found = [shares(other, named) for other in others]
        mean = {label: math.fsum(one[label] for one in found) / len(found) for label in named}
        return moved(totals, named, {label: -method.amount * math.log(mean[label] + method.floor) for label in mean})

    return change
