"""An instruction before every prompt: not to rely on stereotypes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.edits import PromptEdit
from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._mitigation import Fitted, Mitigation, Sham
from evenhand.mitigate._neutral import neutral

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

_WORDINGS: Mapping[str, str] = {
    "equal": "Treat all people alike, whatever their gender, race, religion, age or origin, and do not let stereotypes "
    "guide what you say.",
    "unknown": "People of every group deserve the same treatment. If the text does not say who did something, do not "
    "guess from the group that a person belongs to; say that it cannot be known.",
    "reflect": "Before you answer, ask yourself whether you would say the same about a person of another group. If you "
    "would not, say something else.",
    "role": "You are a careful writer who never relies on clichés about women, men, nations, religions or professions.",
}
"""Wordings of our own, of the kinds that the literature tries."""


class Instruction(Mitigation):
    """Put a sentence against stereotypes before every prompt."""

    name: ClassVar[str] = "instruction"
    card: ClassVar[Card] = Card(
        title="Asks the model, before every prompt, not to rely on stereotypes.",
        source="Causal-Guided Active Learning for Debiasing Large Language Models, Sun et al., ACL 2024, "
        "https://aclanthology.org/2024.acl-long.778 (a principle and the unknown answer); wordings of our own.",
        formula="prompt' = instruction, an empty line, prompt; a text that is scored from its beginning stands after "
        "the instruction",
        differs="None of the wordings is a published one. In the chat format the instruction is part of the user's "
        "message, not of a system message.",
        cautions="Wordings move numbers as much as instructions do: compare with the sham, which is as long. Numbers "
        "of texts that are otherwise scored from their beginning change because they now follow something.",
        needs="a decoder that follows instructions",
    )
    test_on: ClassVar[tuple[str, ...]] = ("crows_pairs", "yes_no")

    wording: Annotated[
        Literal["equal", "unknown", "reflect", "role"],
        Field(description="Which instruction: a principle, the unknown answer, reflection, or a role."),
    ] = "equal"
    text: Annotated[str | None, Field(description="An instruction of your own instead.")] = None

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Nothing is learned.

        Raises:
            UsageError: the instruction is blank.
        """
        if not self._said.strip():
            raise UsageError("instruction was given a blank text. Leave `text` out or say something.")
        return Fitted({}, (f"Before every prompt: {self._said!r}.",))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One change of prompts."""
        return [PromptEdit(_after(self._said))]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """As many words on a landscape."""
        return (Sham("neutral text", self.model_copy(update={"text": neutral(self._said)}), ()),)

    @property
    def _said(self) -> str:
        return _WORDINGS[self.wording] if self.text is None else self.text


def _after(said: str) -> Callable[[str], str]:
    return lambda prompt: f"{said}\n\n{prompt}" if prompt.strip() else said
