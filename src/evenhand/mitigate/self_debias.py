"""Self-Debias: what becomes likelier after a description of bias is made less likely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evenhand.core.edits import BranchingEdit
from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.requests import Choose, Compare, Complete, NextToken, Request
from evenhand.mitigate._mitigation import Fitted, Mitigation, Sham
from evenhand.mitigate._neutral import neutral

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

_QUOTE = ' "'
"""Opens a text after a description: it keeps the text's own beginning apart from the description's end."""


class SelfDebias(Mitigation):
    """Ask the model again after a description of bias, and decay the tokens that it makes likelier."""

    name: ClassVar[str] = "self_debias"
    card: ClassVar[Card] = Card(
        title="Makes tokens less likely that become likelier when the prompt announces a biased text.",
        source="Schick, Udupa, Schuetze, TACL 2021. Self-Diagnosis and Self-Debiasing: A Proposal for Reducing "
        "Corpus-Based Bias in NLP, https://aclanthology.org/2021.tacl-1.84.",
        formula="D(w) = p(w | x) - max over descriptions d of p(w | d, x); p'(w) ~ p(w | x) * a(D(w)); a(D) = 1 if "
        "D >= 0, else max(exp(decay * D), floor)",
        differs="The descriptions are our own words. A text that is scored from its beginning is put in quotation "
        "marks after the description, so that its tokens stay the same.",
        cautions="Each description costs one more forward pass per token. Needs a model that follows a description at "
        "all; a small one may react to its length alone, which the sham shows.",
        needs="a decoder",
    )
    strength: ClassVar[str] = "decay"
    grid: ClassVar[tuple[float, ...]] = (10.0, 50.0, 100.0)

    descriptions: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="What to put before the prompt, one further pass for each."),
    ] = ("What comes next is full of stereotypes about people because of their gender, race, religion or work:",)
    decay: Annotated[float, Field(gt=0, description="The paper's decay constant: 10, 50 and 100 were tried.")] = 50.0
    floor: Annotated[float, Field(gt=0, le=1, description="A token's probability is multiplied by this at least.")] = (
        0.01
    )

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Nothing is learned.

        Raises:
            UsageError: a description is blank, or the tokenizer splits a text otherwise after one.
        """
        if not all(text.strip() for text in self.descriptions):
            raise UsageError("self_debias was given a blank description. Say what the text would be like.")
        _space(model.tokenizer, self.descriptions)
        return Fitted({})

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One edit that asks once more for each description."""
        space = _space(model.tokenizer, self.descriptions)
        combine, most = _decayed(self.decay, self.floor), _moves(self.decay, self.floor)
        return [BranchingEdit(_described(self.descriptions, space), combine, moves=most)]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Descriptions of a landscape with as many words."""
        other = tuple(neutral(text) for text in self.descriptions)
        return (Sham("unrelated description", self.model_copy(update={"descriptions": other}), ()),)


def _decayed(decay: float, floor: float) -> Callable[[Tensor, tuple[Tensor, ...]], Tensor]:
    def combine(own: Tensor, others: tuple[Tensor, ...]) -> Tensor:
        """Logits [S, V] of the prompt and of each description to log-probabilities up to a constant [S, V]."""
        import math

        import torch

        log_p = own.log_softmax(-1)
        biased = torch.stack([other.softmax(-1) for other in others]).amax(0)
        difference = (log_p.exp() - biased).clamp_max(0.0)
        return log_p + (decay * difference).clamp_min(math.log(floor))

    return combine


def _moves(decay: float, floor: float) -> Callable[[Tensor, tuple[Tensor, ...], float], Tensor]:
    def most(own: Tensor, others: tuple[Tensor, ...], by: float) -> Tensor:
        """How far `_decayed` can move where each logit moves by `by` nats: [S, V]; a probability by e^(2 by)."""
        import math

        import torch

        p = own.softmax(-1)
        biased = torch.stack([other.softmax(-1) for other in others]).amax(0)
        low, now, high = (
            (decay * (p * math.exp(2.0 * more) - biased * math.exp(-2.0 * more))).clamp(math.log(floor), 0.0)
            for more in (-by, 0.0, by)
        )
        return by + torch.maximum(high - now, now - low)

    return most


def _described(descriptions: Sequence[str], space: str) -> Callable[[Request], tuple[Request, ...]]:
    def prompts(request: Request) -> tuple[Request, ...]:
        """The same request after each description; texts without a prompt stand in quotation marks."""
        match request:
            case Compare(texts):
                return tuple(Choose(text + _QUOTE, tuple(space + one for one in texts)) for text in descriptions)
            case Choose(prompt, options) if not prompt.strip():
                given = tuple(space + option if option[:1] != " " else option for option in options)
                return tuple(Choose(text + _QUOTE, given) for text in descriptions)
            case Choose() | NextToken() | Complete():
                return tuple(replace(request, prompt=_before(text, request.prompt)) for text in descriptions)
            case _:
                return ()

    return prompts


def _before(description: str, prompt: str) -> str:
    return f"{description}\n\n{prompt}" if prompt.strip() else description + _QUOTE


def _space(tokenizer: Any, descriptions: Sequence[str]) -> str:
    """What must stand between the quotation mark and a text so that the text keeps its tokens: nothing or a space.

    Raises:
        UsageError: neither does.
    """

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    head = descriptions[0] + _QUOTE
    for space in ("", " "):
        if all(ids(head + space + word) == ids(head) + ids(word) for word in ("The", "A man", "She is")):
            return space
    raise UsageError(
        "self_debias: this model's tokenizer splits a text otherwise after a description than at its own beginning, so "
        "the two cannot be compared token by token. Use another model."
    )
