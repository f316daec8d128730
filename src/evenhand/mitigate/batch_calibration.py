"""Batch calibration: the mean answer over many inputs is what the model would say anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.record import Card
from evenhand.mitigate._calibration import Asked, Calibration

if TYPE_CHECKING:
    import numpy as np


class BatchCalibration(Calibration):
    """Divide by the mean label probabilities over a batch of unlabelled inputs."""

    name: ClassVar[str] = "batch_calibration"
    card: ClassVar[Card] = Card(
        title="Takes off the mean of what the model answers over a batch of unlabelled questions.",
        source="Batch Calibration: Rethinking Calibration for In-Context Learning and Prompt Engineering. Zhou, Wan, "
        "Proleev, Mincu, Chen, Heller, Roy, ICLR 2024. https://arxiv.org/abs/2309.17249",
        formula="p(c | x) = share of label c among the labels; prior(c) = mean over x of p(c | x); log: score' = score "
        "- amount * log prior; prob: share' = share - amount * (prior - 1 / labels)",
        differs="The paper's batch is the test's own (transductive). That is inputs = test, and a report says so; by "
        "default the batch is drawn from other questions, in the fold that it is fitted on. The paper subtracts means "
        "in the space of scores without saying which; log divides by the mean probability, as the other calibrations "
        "do, and prob subtracts it. The weight (amount) is never learned from labels. One prior for each list of "
        "options and order of the labels. The options keep the probability that they had together.",
        cautions="If one label is right more often than others, that is taken for a prior too and taken off. Acts only "
        "where options are scored, and only for lists of options that it was fitted on; not on what the model writes.",
        needs="a decoder; items that choose among the same labels",
    )
    each_alike: ClassVar[bool] = True

    questions: Annotated[
        int, Field(ge=2, description="Inputs in the batch, at most, for each list of options and order; at random.")
    ] = 100

    inputs: Annotated[
        Literal["fit", "test"],
        Field(description="Whose questions it reads: other ones, or those of the test, without their answers."),
    ] = "fit"

    @property
    def reads_test(self) -> bool:
        """Whether it is set to the published, transductive form."""
        return self.inputs == "test"

    def asked(self, found: Sequence[Asked], rng: np.random.Generator) -> list[str]:
        """The prompts of so many items, as they are."""
        chosen = sorted(rng.permutation(len(found))[: self.questions].tolist())
        return [found[number][0].prompt for number in chosen]
