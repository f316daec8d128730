"""Items of a benchmark, where they came from, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from evenhand.core.requests import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item came from: file in its source, row counted from 1; kept through any conversion."""

    source: str
    file: str
    row: int


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is measured: what to ask, in which cluster it lies, to which groups it belongs.

    Attributes:
        id: unique within the benchmark and stable between runs; two runs are paired on it.
        cluster: items that share a source of chance (a template, a target term); intervals resample clusters.
        stratum: clusters are resampled within strata (a benchmark's categories), "" if there are none.
        block: items of a cluster that belong together (the rows of one BBQ question with the same persons): a sample
            takes them all or none. "" = the item is a block of its own.
        origin: file and row.
        groups: the columns that estimates are broken down by, e.g. `{"category": "gender"}`.
        requests: what the model is asked.
        facts: what `score` needs besides the responses, plain data.
        texts: what to show a reader, e.g. `{"stereotype": "...", "anti-stereotype": "..."}`.
        own: what of the texts is the item's own, where the rest is a frame that items of all folds share on purpose;
            None = all of them.
    """

    id: str
    cluster: str
    origin: Origin
    requests: tuple[Request, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    stratum: str = ""
    block: str = ""
    own: tuple[str, ...] | None = None

    @property
    def material(self) -> tuple[str, ...]:
        """What must not be both fitted and tested on."""
        return tuple(self.texts.values()) if self.own is None else self.own


class Status(StrEnum):
    """What became of an item: only `scored` items enter estimates, the rest is counted as unscored."""

    SCORED = "scored"
    EXCLUDED = "excluded"  # the benchmark's own rule leaves it out (said in the note)
    FAILED = "failed"  # the model gave no finite number


@dataclass(frozen=True, slots=True)
class Score:
    """The signed values of one item. A value that is undefined for this item is None, never 0."""

    values: Mapping[str, float | None]
    status: Status = Status.SCORED
    note: str = ""


class ScoreTable:
    """Scores of many items as columns, the input of every metric.

    Attributes:
        clusters: int array [N], cluster number of each item, 0..C-1.
        cluster_names: the C names.
        strata: int array [C], stratum number of each cluster.
        stratum_names: their names.
    """

    def __init__(
        self,
        values: Mapping[str, NDArray[np.float64]],
        groups: Mapping[str, NDArray[np.str_]],
        clusters: Sequence[str],
        strata: Sequence[str],
        n_unscored: int = 0,
    ) -> None:
        import numpy as np

        self.values = dict(values)
        self.groups = dict(groups)
        self.n_unscored = n_unscored
        names, self.clusters = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
        self.cluster_names: list[str] = [str(name) for name in names]
        stratum_names, item_strata = np.unique(np.asarray(strata, dtype=np.str_), return_inverse=True)
        self.stratum_names: list[str] = [str(name) for name in stratum_names]
        self.strata = np.zeros(len(names), dtype=np.int64)
        self.strata[self.clusters] = item_strata
        if not np.array_equal(self.strata[self.clusters], item_strata):
            raise ValueError("a cluster lies in two strata; cluster names must be unique across strata")

    def __len__(self) -> int:
        return len(self.clusters)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """Column of values, float [N]; NaN where an item has no such value."""
        return self.values[name]

    @classmethod
    def of(cls, items: Sequence[Item], scores: Sequence[Score]) -> ScoreTable:
        """Columns of the scored items; the others are only counted."""
        kept = [(item, score) for item, score in zip(items, scores, strict=True) if score.status is Status.SCORED]
        return cls.from_columns(
            [score.values for _, score in kept],
            [item.groups for item, _ in kept],
            [item.cluster for item, _ in kept],
            [item.stratum for item, _ in kept],
            n_unscored=len(items) - len(kept),
        )

    @classmethod
    def from_columns(
        cls,
        values: Sequence[Mapping[str, float | None]],
        groups: Sequence[Mapping[str, str]],
        clusters: Sequence[str],
        strata: Sequence[str],
        n_unscored: int = 0,
    ) -> ScoreTable:
        """Columns from one mapping per scored item; a value that is None or missing becomes NaN."""
        import numpy as np

        value_names = dict.fromkeys(name for row in values for name in row)
        group_names = dict.fromkeys(name for row in groups for name in row)

        def number(value: float | None) -> float:
            return float("nan") if value is None else float(value)

        return cls(
            {name: np.array([number(row.get(name)) for row in values], dtype=np.float64) for name in value_names},
            {name: np.array([row.get(name, "") for row in groups], dtype=np.str_) for name in group_names},
            clusters,
            strata,
            n_unscored=n_unscored,
        )

    def where(self, keep: NDArray[np.bool_]) -> ScoreTable:
        """The items for which `keep` [N] is true; clusters and strata are numbered afresh."""
        import numpy as np

        names = np.asarray(self.cluster_names, dtype=np.str_)[self.clusters[keep]]
        strata = np.asarray(self.stratum_names, dtype=np.str_)[self.strata[self.clusters[keep]]]
        return ScoreTable(
            {name: column[keep] for name, column in self.values.items()},
            {name: column[keep] for name, column in self.groups.items()},
            list(names),
            list(strata),
        )
