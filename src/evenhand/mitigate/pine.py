"""PINE: segments of a prompt are read in an order that does not depend on the order in which they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.edits import SegmentEdit
from evenhand.core.errors import DataError, UnsupportedRequest, UnsupportedSite
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.requests import Choose, Scores
from evenhand.core.segments import segmented, split
from evenhand.mitigate._mitigation import LANGUAGE, FitOn, Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class Pine(Mitigation):
    """Let segments see each other, and each query see them in the order of their importance to it."""

    name: ClassVar[str] = "pine"
    card: ClassVar[Card] = Card(
        title="Makes the answer independent of the order of the segments of a prompt (options, documents).",
        source="Eliminating Position Bias of Language Models: A Mechanistic Approach, Wang et al., ICLR 2025, "
        "https://arxiv.org/abs/2407.01100; code: https://github.com/wzq016/PINE.",
        formula="P = softmax of q_m . k_n / sqrt(K) without positions over the tokens n of all segments but the "
        "query's own; importance of segment j to segment i = sum over m in i, n in j of P[m, n] / |j|, to a token t "
        "after the segments = sum over n in j of P[t, n] / |j|; a query sees its own segment last, before it the more "
        "important ones nearer, at the positions of this order; segments see each other whole; in all layers and "
        "heads",
        differs="In batches, with a cache, without a loop over segments; queries are turned rather than keys, which is "
        "the same for rotary positions. The own segment's tokens are left out of P, as in the code; the paper does not "
        "mention it. order='given' and 'reverse' are ablations.",
        cautions="Only prompts that mark segments change (evenhand.core.segments). Letters before options change when "
        "options move, so only unlabelled segments are invariant. Two segments of almost equal importance may change "
        "places by rounding: in half precision answers still move. Windows of attention shorter than the prompt are "
        "refused.",
        needs="a decoder with rotary positions; prompts with segments",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("position_bias")
    primary: ClassVar[tuple[str, ...]] = ("position_bias.changed_answers", "position_bias.recall_spread")
    test_on: ClassVar[tuple[str, ...]] = ("arc",)
    guards: ClassVar[tuple[str, ...]] = (*LANGUAGE, "position_bias.accuracy>=-2")

    order: Annotated[
        Literal["importance", "given", "reverse"],
        Field(
            description="importance: PINE; given: as in the prompt (the sham); reverse: the least important nearest."
        ),
    ] = "importance"
    sample: Annotated[int, Field(ge=1, description="Prompts whose segments are turned round to see that it works.")] = 8

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Nothing is learned: some prompts are asked with their segments turned round, and the change is noted.

        Raises:
            DataError: the items have no prompts with segments.
            UnsupportedSite: the model's positions cannot be turned, or its attention is shorter than these prompts.
        """
        found = [request for item in items for request in item.requests[:1] if isinstance(request, Choose)]
        asked = [request for request in dict.fromkeys(found) if len(split(request.prompt)[1]) > 1]
        if not asked:
            raise DataError(
                f"pine reads prompts with segments, and none of the {len(items)} items has any. Fit it on "
                "position_bias, or mark them in the prompts of your items: see evenhand.core.segments."
            )
        some = [asked[n] for n in sorted(rng.permutation(len(asked))[: self.sample])]
        turned = [_turned(request) for request in some]
        before = _change(model, some, turned)
        try:
            with model.install(self.edits({}, model)):
                after = _change(model, some, turned)
        except UnsupportedRequest as error:
            raise UnsupportedSite(f"pine cannot read the prompts that it was to be tried on. {error}") from error
        return Fitted(
            {},
            (
                f"With the segments of {len(some)} prompts turned round, scores of options change by up to "
                f"{before:.3g} nats in the untouched model and by up to {after:.3g} nats with the patch.",
            ),
        )

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One edit."""
        return [SegmentEdit(_importance(self.order))]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Segments see each other and stand in the order of the prompt: the same cost, without importance."""
        return (Sham("order of the prompt", self.model_copy(update={"order": "given"}), items),)


def _importance(order: str) -> Callable[[Tensor, Tensor], Tensor]:
    def importance(mass: Tensor, lengths: Tensor) -> Tensor:
        """Mass [B, H, Lq, S] and lengths [B, 1, 1, S] to importance [B, H, Lq, S]."""
        import torch

        if order == "given":
            return torch.arange(mass.shape[-1], device=mass.device, dtype=mass.dtype).expand_as(mass)
        mean = mass / lengths.clamp_min(1)
        return -mean if order == "reverse" else mean

    return importance


def _turned(request: Choose) -> Choose:
    """The request with its segments in reverse order."""
    prefix, parts, suffix = split(request.prompt)
    return Choose(segmented(prefix, parts[::-1], suffix), request.options)


def _change(model: Model, some: Sequence[Choose], others: Sequence[Choose]) -> float:
    """The largest change of an option's log-probability (nats)."""
    answers = [one for one in model.answer([*some, *others]) if isinstance(one, Scores)]
    pairs = zip(answers[: len(some)], answers[len(some) :], strict=True)
    return max(abs(a.total - b.total) for one, other in pairs for a, b in zip(one.scores, other.scores, strict=True))
