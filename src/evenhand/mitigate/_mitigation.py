"""What a mitigation is: its class is its configuration; `fit` learns tensors, `edits` says what they change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.record import Card, Finding, Frozen

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


LANGUAGE = ("perplexity.perplexity<=+5%", "stereoset.lms>=-2")
"""Guards of methods that change how the model reads and writes everything."""


@dataclass(frozen=True)
class FitOn:
    """The items that a method is fitted on unless others are named: a benchmark with settings."""

    benchmark: str
    settings: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitted:
    """What fitting gives.

    Attributes:
        tensors: what it learned, on the CPU, float32 unless there is a reason.
        notes: remarks for the reader.
        findings: curves, maps and tables for the report: F1 by layer, heads that were tried, losses over the steps.
    """

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Sham:
    """A method that lacks only the claimed mechanism, at equal size and cost.

    Attributes:
        name: short, e.g. "shuffled labels".
        method: what is fitted instead.
        items: what it is fitted on.
    """

    name: str
    method: Mitigation
    items: Sequence[Item]


class Mitigation(Frozen, ABC):
    """One file = one method. Every field is a setting on the command line, and is saved with the patch.

    Attributes:
        name: the file's name and the registered name.
        fit_on: the items it is fitted on by default, None if it needs none.
        reads: the texts that each item must have (keys of `Item.texts`).
        tasks: kinds of models that it can change.
        transductive: whether it reads the unlabelled inputs of the test, whatever its settings are.
        strength: the field that makes it stronger or weaker, "" if there is none.
        grid: values of `strength` to try on the choose-fold, weakest first.
        primary: "benchmark.metric" of the numbers that it claims to better, named before anything is fitted.
        test_on: benchmarks to measure besides those of `primary` and of the guards: where else it may help or harm.
        guards: rules on what must not get worse, unless others are named. At least one must be able to fail: a method
            that acts after prompts alone cannot change the perplexity of a text. Those on benchmarks that a trial does
            not measure are left out, except on perplexity, which is then measured too.
        rivals: names of controls that stand in the same table, fitted on the same items.
        no_sham: why there is no sham, where `shams` gives none; a report prints it.
    """

    name: ClassVar[str]
    card: ClassVar[Card]
    fit_on: ClassVar[FitOn | None] = None
    reads: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[str, ...]] = ("decoder",)
    transductive: ClassVar[bool] = False
    strength: ClassVar[str] = ""
    grid: ClassVar[tuple[float, ...]] = ()
    primary: ClassVar[tuple[str, ...]] = ("stereoset.ss",)
    test_on: ClassVar[tuple[str, ...]] = ("crows_pairs",)
    guards: ClassVar[tuple[str, ...]] = LANGUAGE
    rivals: ClassVar[tuple[str, ...]] = ()
    no_sham: ClassVar[str] = ""

    @abstractmethod
    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Learn from items. The model is left as it was, bit by bit.

        Raises:
            DataError: the items do not hold what the method needs.
            UnsupportedSite: this architecture lacks a part that the method needs.
        """

    @abstractmethod
    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """What the tensors change in this model. Cheap, and the same for the same tensors."""

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The method without its mechanism, after it was fitted: `tensors` tell its size."""
        return ()

    def for_rivals(self) -> dict[str, Any]:
        """Settings that a rival with a setting of the same name takes over, so that it differs in the method alone."""
        return {}

    @property
    def reads_test(self) -> bool:
        """Whether, as it is set, it reads the unlabelled inputs of the test: a trial gives it those and says so."""
        return self.transductive

    def asking(self, chat: Literal["auto", "on", "off"]) -> Self:
        """The method as it is fitted in a trial: a setting `chat` that is left open ("auto") becomes the trial's."""
        return self.model_copy(update={"chat": chat}) if getattr(self, "chat", "") == "auto" else self

    def can_read(self, items: Sequence[Item]) -> bool:
        """Whether it can be fitted on items like these, so that a rival gets the same ones where it can."""
        return bool(items) and all(key in items[0].texts for key in self.reads)

    def texts(self, items: Sequence[Item]) -> list[tuple[str, ...]]:
        """The texts in `reads`, of each item.

        Raises:
            DataError: an item lacks one.
        """
        for item in items:
            lacking = [key for key in self.reads if key not in item.texts]
            if lacking:
                raise DataError(
                    f"{self.name} reads {' and '.join(map(repr, self.reads))} of every item, but {item.id!r} has "
                    f"{', '.join(map(repr, item.texts)) or 'no texts'}. Fit it on other items, e.g. "
                    f"--fit-on {self.fit_on.benchmark if self.fit_on else 'pairs:FILE.csv'}."
                )
        return [tuple(item.texts[key] for key in self.reads) for item in items]
