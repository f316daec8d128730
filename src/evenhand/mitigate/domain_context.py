"""Domain-context calibration: the answer to random words of the domain is what the model would say anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.record import Card
from evenhand.data.content import Domain
from evenhand.mitigate._calibration import Asked, Calibration

if TYPE_CHECKING:
    import numpy as np


class DomainContext(Calibration):
    """Divide by the label probabilities after random texts in the words of the domain."""

    name: ClassVar[str] = "domain_context"
    card: ClassVar[Card] = Card(
        title="Takes off what the model answers to random words of the same domain.",
        source="Mitigating Label Biases for In-context Learning. Fei, Hou, Chen, Bosselut, ACL 2023. "
        "https://arxiv.org/abs/2305.19148; https://github.com/fywalter/label-bias",
        formula="n random texts: as many words as a text has on average, drawn with replacement from all words of the "
        "domain, and a full stop; p(c) = summed P(form of label c); prior(c) ~ mean over texts of p(c); log: score' = "
        "score - amount * log prior; prob: share' = share - amount * (prior - 1 / labels)",
        differs="The paper's words are those of the test's own inputs (transductive). That is inputs = test, and a "
        "report says so; by default they are those of other questions, in the fold that it is fitted on. Prompts have "
        "no examples. Each kind of text of an item (passage, "
        "question, option) has words and a length of its own. One prior for each list of options and order of the "
        "labels. The options keep the probability that they had together. Priors are at least 1e-6.",
        cautions="Acts only where options are scored, and only for lists of options that it was fitted on; not on what "
        "the model writes.",
        needs="a decoder; items that choose among the same labels",
    )

    texts_drawn: Annotated[int, Field(ge=1, description="Random texts for each list of options and order.")] = 20

    inputs: Annotated[
        Literal["fit", "test"],
        Field(description="Whose questions it reads: other ones, or those of the test, without their answers."),
    ] = "fit"

    @property
    def reads_test(self) -> bool:
        """Whether it is set to the published, transductive form."""
        return self.inputs == "test"

    def asked(self, found: Sequence[Asked], rng: np.random.Generator) -> list[str]:
        """Prompts of randomly chosen items with random texts in the places of their own."""
        domain = Domain.of({key: texts[key] for key in slots.keys} for _, slots, texts in found)
        chosen = rng.integers(0, len(found), self.texts_drawn)
        return [found[number][1].filled(domain.draw(rng)) for number in chosen.tolist()]
