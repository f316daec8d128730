"""Contextual calibration: the answer to an input without content is what the model would say anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.record import Card
from evenhand.data.content import CONTENT_FREE
from evenhand.mitigate._calibration import Asked, Calibration

if TYPE_CHECKING:
    import numpy as np


class ContextualCalibration(Calibration):
    """Divide by the label probabilities after inputs without content."""

    name: ClassVar[str] = "contextual_calibration"
    card: ClassVar[Card] = Card(
        title="Takes off what the model answers when the prompt's contents are 'N/A', nothing or '[MASK]'.",
        source="Calibrate Before Use: Improving Few-Shot Performance of Language Models. Zhao, Wallace, Feng, Klein, "
        "Singh, ICML 2021. https://arxiv.org/abs/2102.09690",
        formula="p(c) = summed P(form of label c); prior(c) ~ mean over contents of p(c); log: score' = score - amount "
        "* log prior; prob: share' = share - amount * (prior - 1 / labels)",
        differs="Prompts have no examples. Where a prompt holds several texts, each becomes the same stand-in. There "
        "is one prior for each list of options and, where the prompt lists the labels, for each order of them. The "
        "options keep the probability that they had together. Priors are at least 1e-6.",
        cautions="Acts only where options are scored, and only for lists of options that it was fitted on; not on what "
        "the model writes. An input without content is unlike any question, so its answer need not be what the model "
        "leans to when it reads one.",
        needs="a decoder; items that choose among the same labels",
    )

    contents: Annotated[
        tuple[str, ...], Field(min_length=1, description="What stands for every text of the item, one prompt for each.")
    ] = CONTENT_FREE
    templates: Annotated[
        int, Field(ge=1, description="Different prompts without contents to ask, at most; the most frequent ones.")
    ] = 8

    def asked(self, found: Sequence[Asked], rng: np.random.Generator) -> list[str]:
        """The most frequent templates with each of the contents; equally frequent ones in their order."""
        counts: dict[tuple[str, ...], int] = {}
        holders = {}
        for _, slots, _ in found:
            counts[slots.pieces] = counts.get(slots.pieces, 0) + 1
            holders[slots.pieces] = slots
        chosen = sorted(counts, key=lambda pieces: -counts[pieces])[: self.templates]
        return [holders[pieces].filled_with(text) for pieces in chosen for text in self.contents]
