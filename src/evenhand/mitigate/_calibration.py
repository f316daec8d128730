"""What the calibrations by a fitted prior share: one prior for each kind of choice, measured once, taken off later.

Afterwards a choice costs no forward pass beyond the untouched model's.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.edits import ScoreEdit
from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Scores
from evenhand.data.content import Slots, slots
from evenhand.mitigate._labels import Kind, choice, kind, labels, moved, shares
from evenhand.mitigate._mitigation import LANGUAGE, FitOn, Fitted, Mitigation, Sham
from evenhand.mitigate._neutral import neutral

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

FLOOR = 1e-6
"""No label's prior, and no share in probabilities, is taken for less."""
Space = Literal["log", "prob"]
Totals = tuple[float, ...]
Asked = tuple[Choose, Slots, Mapping[str, str]]
"""A request, its prompt without contents, and the contents."""


class Calibration(Mitigation):
    """A prior over labels from prompts that a subclass makes; a choice is corrected for it."""

    fit_on: ClassVar[FitOn | None] = FitOn("yes_no")
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("label_prior.prior_distance", "yes_no.yes_rate_gap")
    test_on: ClassVar[tuple[str, ...]] = ()
    guards: ClassVar[tuple[str, ...]] = (*LANGUAGE, "yes_no.balanced_accuracy>=-2")
    rivals: ClassVar[tuple[str, ...]] = ("logit_offset",)
    each_alike: ClassVar[bool] = False
    """Whether every prompt counts alike, however much probability it leaves to the labels."""

    amount: Annotated[float, Field(ge=0, le=1, description="How much of the prior is taken off: 1 = all.")] = 1.0
    space: Annotated[
        Space,
        Field(description="log: divide by the prior (subtract its logarithm); prob: subtract it from probabilities."),
    ] = "log"
    chat: Annotated[
        Literal["auto", "on", "off"],
        Field(description="Ask in the chat format; auto: as a trial does, else where the prompt lists labels."),
    ] = "auto"
    prompts: Annotated[
        Literal["own", "landscape"],
        Field(description="own: those of the items; landscape: as many words on a landscape instead, as the sham has."),
    ] = "own"

    @abstractmethod
    def asked(self, found: Sequence[Asked], rng: np.random.Generator) -> list[str]:
        """The prompts whose answers are the prior of one kind of choice."""

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """For each kind of choice the prior of its labels, float32 [labels], named by the kind as JSON.

        Raises:
            DataError: no item is a choice whose prompt holds the item's texts.
        """
        import torch

        tensors: dict[str, Tensor] = {}
        formats: dict[bool, None] = {}
        for key, found in sorted(self._by_kind(items).items()):
            prompts = self.asked(found, rng)
            if self.prompts == "landscape":
                prompts = [unrelated(prompt) for prompt in prompts]
            chat = self.chat == "on" or (self.chat == "auto" and bool(key[1]) and model.has_chat_template)
            formats[chat] = None
            answers = model.answer([Choose(prompt, key[0]) for prompt in prompts], chat=chat)
            totals = [[one.total for one in answer.scores] for answer in answers if isinstance(answer, Scores)]
            found_prior = prior(totals, labels(key[0]), each_alike=self.each_alike)
            tensors[json.dumps(key)] = torch.tensor(list(found_prior.values()), dtype=torch.float32)
        said = [_said(name, one) for name, one in tensors.items() if len(tensors) <= 8]
        if model.has_chat_template:
            how = [f"{'in' if chat else 'without'} the chat format" for chat in formats]
            said.append(f"Asked {' and '.join(how)}; a prior of one format need not hold in the other.")
        return Fitted(tensors, tuple(said))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One change of the scores of options, without any further request."""
        priors: dict[Kind, dict[str, float]] = {}
        for name, tensor in tensors.items():
            options, first = json.loads(name)
            named = dict.fromkeys(labels(options))
            priors[tuple(options), first] = dict(zip(named, tensor.tolist(), strict=True))
        return [ScoreEdit(lambda _: (), lambda own, _: own, by_request=_corrected(priors, self.amount, self.space))]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The prior after texts about a landscape instead of the prompts, as many and as long."""
        return (Sham("prior of unrelated text", self.model_copy(update={"prompts": "landscape"}), items),)

    def can_read(self, items: Sequence[Item]) -> bool:
        """Items that ask to choose among labels, with texts that stand in their prompts."""
        return any(_asked(item) is not None for item in items)

    def _by_kind(self, items: Sequence[Item]) -> dict[Kind, list[Asked]]:
        groups: dict[Kind, list[Asked]] = {}
        for item in items:
            if (one := _asked(item)) is not None:
                groups.setdefault(kind(one[0]), []).append(one)
        groups = {key: found for key, found in groups.items() if len(found) > 1}
        if not groups:
            raise DataError(
                f"{self.name} is fitted on items that choose among the same labels and whose texts stand in their "
                f"prompts, such as yes_no or mmlu; none of the {len(items):,} items does. Name others with --fit-on."
            )
        return groups


def prior(totals: Sequence[Sequence[float]], named: Sequence[str], *, each_alike: bool) -> dict[str, float]:
    """Mean share of each label, over prompts, from log-probabilities (nats) of options; at least `FLOOR`.

    Args:
        totals: [prompts][options].
        named: the label of each option.
        each_alike: normalise within each prompt first; otherwise the means are normalised.
    """
    weights = [1.0 if each_alike else math.fsum(math.exp(total) for total in row) for row in totals]
    sums = dict.fromkeys(named, 0.0)
    for row, weight in zip(totals, weights, strict=True):
        for label, share in shares(row, named).items():
            sums[label] += weight * share
    whole = math.fsum(sums.values())
    return {label: max(value / whole, FLOOR) for label, value in sums.items()}


def calibrated(totals: Totals, named: Sequence[str], base: Mapping[str, float], amount: float, space: Space) -> Totals:
    """Log-probabilities (nats) of options after a prior over their labels was taken off.

    log: score - amount * log prior. prob: share - amount * (prior - 1 / labels), at least `FLOOR`. Either way the
    options keep the probability that they had together, and the forms of a label their proportions.
    """
    if amount == 0:
        return totals
    if space == "log":
        return moved(totals, named, {label: -amount * math.log(value) for label, value in base.items()})
    now = shares(totals, named)
    new = {label: max(now[label] - amount * (base[label] - 1.0 / len(base)), FLOOR) for label in base}
    return moved(totals, named, {label: math.log(new[label] / max(now[label], 1e-300)) for label in base})


def unrelated(prompt: str) -> str:
    """As many words on a landscape, with the prompt's own last line."""
    head, break_, last = prompt.rpartition("\n")
    return neutral(head).rstrip() + break_ + last if head.strip() else neutral(prompt)


def _corrected(
    priors: Mapping[Kind, Mapping[str, float]], amount: float, space: Space
) -> Callable[[Choose, Totals, tuple[Totals, ...]], Totals]:
    fitted = {options for options, _ in priors}

    def change(request: Choose, totals: Totals, _: tuple[Totals, ...]) -> Totals:
        """Corrected scores; the same for kinds of choices that were not fitted on."""
        base = priors.get(kind(request)) if request.options in fitted else None
        return totals if base is None else calibrated(totals, labels(request.options), base, amount, space)

    return change


def _asked(item: Item) -> Asked | None:
    request = choice(item)
    found = slots(request.prompt, item.texts) if request is not None else None
    return (request, found, item.texts) if request is not None and found is not None else None


def _said(name: str, tensor: Tensor) -> str:
    options, first = json.loads(name)
    named = list(dict.fromkeys(labels(options)))
    values = tensor.tolist()
    shown = ", ".join(f"{label} {value:.3f}" for label, value in zip(named, values, strict=True))
    entropy = -math.fsum(value * math.log(value) for value in values) / math.log(len(values))
    distance = 0.5 * math.fsum(abs(value - 1 / len(values)) for value in values)
    where = f" where {first!r} is listed first" if first else ""
    return f"Prior{where}: {shown} (entropy {entropy:.3f} of 1, {distance:.3f} from uniform)."
