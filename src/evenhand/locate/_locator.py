"""What a locator is: its class is its configuration; it scores sites against a null of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.record import Card, Frozen, SiteScore

if TYPE_CHECKING:
    import numpy as np

    from evenhand.model import Model


@dataclass(frozen=True)
class LocateOn:
    """The items that a locator reads unless others are named: a benchmark with settings."""

    benchmark: str
    settings: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Located:
    """What a locator found: a score for each site, in the order of the model, and remarks for the reader."""

    scores: tuple[SiteScore, ...]
    notes: tuple[str, ...] = ()


class Locator(Frozen, ABC):
    """One file = one locator. Every field is a setting on the command line and is recorded.

    Attributes:
        name: the file's name and the registered name.
        locate_on: the items it reads by default.
        reads: the texts that each item must have (keys of `Item.texts`).
        tasks: kinds of models that it can look into.
        causal: whether it changes the model at a site and watches the effect, or only reads.
        unit: of the values.
        ideal: the value of a site that has nothing to do with the bias, None if there is none.
        null: what the values are compared with, in a sentence.
        correction: how p values are corrected for many sites, in a sentence.
    """

    name: ClassVar[str]
    card: ClassVar[Card]
    locate_on: ClassVar[LocateOn]
    reads: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[str, ...]] = ("decoder",)
    causal: ClassVar[bool]
    unit: ClassVar[str] = ""
    ideal: ClassVar[float | None] = 0.0
    null: ClassVar[str]
    correction: ClassVar[str]

    @abstractmethod
    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Score the sites. The model is left as it was.

        Raises:
            DataError: the items do not hold what the locator needs.
            UnsupportedSite: this architecture lacks a part that the locator needs.
        """

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
                    f"{', '.join(map(repr, item.texts)) or 'no texts'}. Name other items, e.g. "
                    f"--on {self.locate_on.benchmark}."
                )
        return [tuple(item.texts[key] for key in self.reads) for item in items]
