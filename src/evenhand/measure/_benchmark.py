"""What a benchmark is: rows to items, items to requests, responses to signed values. No I/O but reading its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from evenhand.core.items import Item, Score
from evenhand.core.record import Card, DataUse, Frozen, RunNote
from evenhand.core.requests import Response


@dataclass(frozen=True, slots=True)
class Loaded:
    """Items of a benchmark together with what they were read from."""

    items: tuple[Item, ...]
    data: tuple[DataUse, ...]
    notes: tuple[RunNote, ...] = ()


class Benchmark(Frozen, ABC):
    """One file = one benchmark. The class is its configuration: every field is a CLI setting and is recorded.

    Attributes:
        name: the file's name and the registered name.
        version: raised whenever numbers would change.
        metrics: names of the metrics in `evenhand.metrics`, in the order of the report; the first is the headline.
        by: the group columns that estimates are broken down by, each on its own.
        collateral: those of them by which a trial shows the headline of every arm; () = the first.
        tasks: kinds of models that can be measured.
        folds_of: name of its fixed split in `data.splits`, "" for its own name.
        chat: True if `--chat auto` means the chat template for instruct models; False for likelihoods of given text.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    card: ClassVar[Card]
    metrics: ClassVar[tuple[str, ...]]
    by: ClassVar[tuple[str, ...]] = ()
    collateral: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[str, ...]] = ("decoder",)
    folds_of: ClassVar[str] = ""
    chat: ClassVar[bool] = False

    @abstractmethod
    def load(self) -> Loaded:
        """Read the files and build all items, in file order.

        Raises:
            MissingFile: a file was found in none of its places.
            MalformedRows: rows that do not fit, each with file, line, field and what was expected.
        """

    @abstractmethod
    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Signed values of one item from the responses to its requests. Pure."""

    def select(self) -> dict[str, dict[str, str]]:
        """Metrics that look at part of the items only: metric name -> the group values it is restricted to."""
        return {}
