"""Contrast against the prompt without evidence: what the evidence makes likelier is made likelier still."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.edits import BranchingEdit
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.requests import Choose, Complete, NextToken, Request
from evenhand.mitigate._calibration import unrelated
from evenhand.mitigate._contrasting import contrast, moves, plausible
from evenhand.mitigate._evidence import Free, branches, with_prompt
from evenhand.mitigate._mitigation import LANGUAGE, Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class EvidenceContrast(Mitigation):
    """Contrast the logits of every token with those under the prompt without its evidence."""

    name: ClassVar[str] = "evidence_contrast"
    card: ClassVar[Card] = Card(
        title="Makes likelier what the evidence makes likelier, token by token, against the prompt without it.",
        source="Debiasing Multimodal Large Language Models. Zhang et al., 2024. https://arxiv.org/abs/2403.05262 "
        "(Visual Debias Decoding); https://github.com/yfzhang114/LLaVA-Align",
        formula="l, f = logits with and without the evidence; l' = (1 + alpha) * l - alpha * f; written tokens need "
        "p(w) >= beta * max p",
        differs="The paper's evidence is an image; here it is the context before a question, or the question itself "
        "where there is none, found by rules for prompts with 'Question:' or 'Q:' or with listed options. The limit "
        "of plausibility acts in writing only, because it would make the score of a given text meaningless, and is a "
        "steep ramp (50 nats for each nat below it) instead of a jump, so that texts do not depend on the batch.",
        cautions="Gains of such methods were found to come partly from answering Yes more often, and from the limit, "
        "which makes samples nearly greedy (https://arxiv.org/abs/2504.10020): read the Yes-rate beside, and compare "
        "what is written with the untouched model's greedy text. A request without a known form is left alone. Costs "
        "a second forward pass, in the same batch.",
        needs="a decoder",
    )
    strength: ClassVar[str] = "alpha"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("yes_no.yes_rate_gap",)
    test_on: ClassVar[tuple[str, ...]] = ("label_prior",)
    guards: ClassVar[tuple[str, ...]] = (*LANGUAGE, "yes_no.balanced_accuracy>=-2")
    rivals: ClassVar[tuple[str, ...]] = ("logit_offset",)

    alpha: Annotated[float, Field(ge=0, description="How far to go beyond the untouched logits; 0 = not at all.")] = 1.0
    beta: Annotated[
        float,
        Field(gt=0, le=1, description="A written token must be at least so likely, as a share of the likeliest."),
    ] = 0.2
    free: Annotated[
        Free,
        Field(description="Without the evidence: none leaves it out, na writes N/A for it, both takes the mean."),
    ] = "none"
    other: Annotated[bool, Field(description="Contrast with as many words on a landscape instead: the sham.")] = False

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Nothing is learned."""
        return Fitted({})

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One edit that asks once more, or twice."""
        prompts = _prompts(self.free, self.other)
        if self.alpha == 0:
            return [BranchingEdit(prompts, contrast(0.0))]
        written, most = plausible(self.alpha, self.beta), moves(self.alpha, self.beta)
        return [BranchingEdit(prompts, contrast(self.alpha), written, most)]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """A contrast with a landscape, as long as the prompt without evidence."""
        return (Sham("against unrelated text", self.model_copy(update={"other": True}), ()),)


def _prompts(free: Free, other: bool) -> Callable[[Request], tuple[Request, ...]]:
    find = branches(free)

    def prompts(request: Request) -> tuple[Request, ...]:
        found = [one for one in find(request) if isinstance(one, Choose | NextToken | Complete)]
        return tuple(with_prompt(one, unrelated(one.prompt)) if other else one for one in found)

    return prompts
