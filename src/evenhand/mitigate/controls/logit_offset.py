"""Control: one constant for each answer, fitted so that the model prefers none of them on the whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.edits import ScoreEdit
from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.requests import Choose, Scores
from evenhand.data.concepts import attributes, concepts
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

Key = tuple[tuple[str, ...], str]
"""The options of a request, and the answer that its prompt names first ("" if it names none)."""


class LogitOffset(Mitigation):
    """The trivial way to make answers even: add a constant to each."""

    name: ClassVar[str] = "logit_offset"
    card: ClassVar[Card] = Card(
        title="Adds one constant to the score of each answer (Yes and No, or the groups), so that none is preferred on "
        "the whole.",
        source="A control of ours.",
        formula="s_a = log of the summed P(form of a); c_a = -median over items of (s_a - mean over answers of s); "
        "score'(form of a) = score + amount * c_a. With two answers the median of their log-odds becomes 0.",
        differs="One set of constants for each list of options and, where the prompt names the answers, for each order "
        "in which it does ('Yes or No', 'No or Yes').",
        cautions="It knows nothing of the questions: half of its answers are Yes because half of them have to be. It "
        "changes scored answers only, not what the model writes, and only for options that it was fitted on.",
        needs="a decoder; items that choose among the same options",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("yes_no")
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("yes_no.yes_rate_gap",)
    test_on: ClassVar[tuple[str, ...]] = ()
    no_sham: ClassVar[str] = "It is a control itself."

    amount: Annotated[float, Field(gt=0, le=1, description="How much of the constants is added: 1 = all.")] = 1.0
    questions: Annotated[
        int,
        Field(ge=1, description="Requests to fit on, at most, for each list of options and order; drawn at random."),
    ] = 100
    chat: Annotated[
        Literal["auto", "on", "off"],
        Field(description="Ask in the chat format; auto: as a trial does, else where the prompt names the answers."),
    ] = "auto"

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """For each list of options and order a tensor of constants (nats), float32 [options], named by both as JSON.

        Raises:
            DataError: no item has options to choose among.
        """
        import numpy as np
        import torch

        groups: dict[Key, list[Choose]] = {}
        for item in items:
            request = _choice(item)
            if request is not None:
                groups.setdefault(_key(request), []).append(request)
        shared = {key: found for key, found in groups.items() if len(found) > 1}
        if not shared:
            raise DataError(
                f"{self.name} is fitted on items that choose among the same options, such as yes_no or emission; none "
                f"of the {len(items)} items does. Name others with --fit-on."
            )
        tensors: dict[str, Tensor] = {}
        for key, found in sorted(shared.items()):
            chosen = [found[n] for n in sorted(rng.permutation(len(found))[: self.questions])]
            chat = self.chat == "on" or (self.chat == "auto" and bool(key[1]) and model.has_chat_template)
            answers = model.answer(chosen, chat=chat)
            totals = [[one.total for one in answer.scores] for answer in answers if isinstance(answer, Scores)]
            tensors[json.dumps(key)] = torch.tensor(_constants(np.array(totals), _answers(key[0])), dtype=torch.float32)
        return Fitted(tensors, tuple(_said(name, tensor) for name, tensor in tensors.items() if len(tensors) <= 8))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One change of the scores of options."""
        constants = {
            (tuple(options), first): tuple(self.amount * value for value in tensors[name].tolist())
            for name in tensors
            for options, first in [json.loads(name)]
        }
        return [ScoreEdit(lambda request: (), lambda totals, others: totals, _offset(constants))]

    def can_read(self, items: Sequence[Item]) -> bool:
        """Items that ask to choose among the same answers after a prompt."""
        asked = [choice.options for item in items if (choice := _choice(item)) is not None]
        return len(set(asked)) < len(asked)


def _choice(item: Item) -> Choose | None:
    """The item's first request, if that is a choice among different answers after a prompt."""
    request = item.requests[0] if item.requests else None
    if isinstance(request, Choose) and request.prompt and len(set(_answers(request.options))) > 1:
        return request
    return None


def _offset(constants: Mapping[Key, tuple[float, ...]]) -> Callable[[Choose], tuple[float, ...]]:
    def offset(request: Choose) -> tuple[float, ...]:
        """What is added to each option (nats); nothing for options that were not fitted on."""
        return constants.get(_key(request), (0.0,) * len(request.options))

    return offset


def _key(request: Choose) -> Key:
    answers = _answers(request.options)
    places: dict[str, int] = {}
    for option, answer in zip(request.options, answers, strict=True):
        found = re.search(rf"(?<!\w){re.escape(option.strip())}(?!\w)", request.prompt)
        if found:
            places[answer] = min(found.start(), places.get(answer, found.start()))
    named = len(places) == len(set(answers))
    return request.options, min(places, key=lambda answer: places[answer]) if named else ""


def _answers(options: Sequence[str]) -> list[str]:
    """The answer that each option is a form of: a group of the concept cues, else the option without its case."""
    bare = [option.strip() for option in options]
    known = next((forms for forms in _forms() if set(bare) <= set(forms)), {})
    return [known.get(option, option.lower()) for option in bare]


@cache
def _forms() -> tuple[Mapping[str, str], ...]:
    """For each attribute of the concept cues, form -> group."""
    every = (concepts(attribute) for attribute in attributes())
    return tuple({form: group.id for group in found.groups for form in group.forms} for found in every)


def _constants(totals: np.ndarray, answers: Sequence[str]) -> list[float]:
    """The constant of each option (nats), from the log-probabilities [items, options]."""
    import numpy as np

    names = list(dict.fromkeys(answers))
    columns = [np.logaddexp.reduce(totals[:, [a == name for a in answers]], axis=1) for name in names]
    levels = np.stack(columns, axis=1)
    medians = np.median(levels - levels.mean(axis=1, keepdims=True), axis=0)
    by_name = dict(zip(names, (-medians).tolist(), strict=True))
    return [by_name[answer] for answer in answers]


def _said(name: str, tensor: Tensor) -> str:
    options, first = json.loads(name)
    shown = ", ".join(f"{option.strip()} {value:+.2f}" for option, value in zip(options, tensor.tolist(), strict=True))
    return f"Nats added{f' where the prompt names {first!r} first' if first else ''}: {shown}."
