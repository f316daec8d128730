"""Splits: every cluster of a benchmark lies in one of four folds, the same on every machine and for ever.

A method is fitted on `fit`, its settings are chosen on `choose`, results are reported on `test`; `final` is touched
once, at the end. Within each stratum (a domain of StereoSet, a category of BBQ: what stands before the slash of a
cluster's name) the clusters are ranked by sha256("evenhand-1/<benchmark>/<cluster>") and cut at .4, .6 and .9 of the
ranks, so that every domain is in every fold as far as it has clusters. `splits.json` holds the result for the
benchmarks that methods are developed on, with a digest, so that a renamed cluster or a changed rule is noticed.

Clusters are named as the benchmarks name them in `Item.cluster`: `stereoset_cluster` for StereoSet's target terms,
`bbq_cluster` for BBQ's templates, `strategyqa_cluster` and `boolq_cluster` for the question sets of yes_no. The rule is
the same for all of its sets; questions that yes_no makes of BBQ lie where BBQ's templates do. "emission" holds the
concepts of `evenhand.data.concepts` ("gender/leadership") and, apart from them, their neutral cues; "gap" the pages of
GAP (URLs).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from pydantic import TypeAdapter

from evenhand.core.errors import DataError, UnknownName
from evenhand.core.record import Frozen

Fold = Literal["fit", "choose", "test", "final"]
FOLDS: tuple[Fold, ...] = get_args(Fold)
RULE = "evenhand-1"
_ENDS: tuple[tuple[float, Fold], ...] = ((0.4, "fit"), (0.6, "choose"), (0.9, "test"))


class Assignment(Frozen):
    """All clusters of a benchmark over the folds, and the digest of who is where."""

    folds: Mapping[str, Fold]
    sha256: str

    @property
    def counts(self) -> dict[Fold, int]:
        """How many clusters each fold has."""
        found = Counter(self.folds.values())
        return {name: found[name] for name in FOLDS}


def fold(benchmark: str, cluster: str) -> Fold:
    """The fold that a cluster of a benchmark with a fixed split lies in.

    Raises:
        UnknownName: no split is fixed for this benchmark, or it has no such cluster.
    """
    folds = _fixed(benchmark).folds
    if cluster not in folds:
        raise UnknownName(f"cluster of {benchmark}", cluster, folds)
    return folds[cluster]


def stereoset_cluster(bias_type: str, target: str) -> str:
    """The name of a StereoSet target term as a cluster, the term in lower case: 'profession/plumber'."""
    return f"{bias_type}/{target.lower()}"


def bbq_cluster(category: str, question_index: str) -> str:
    """The name of a BBQ template as a cluster: 'Age/1'."""
    return f"{category}/{question_index}"


def strategyqa_cluster(part: Literal["strategyqa", "strategyqa_train"], qid: str) -> str:
    """The name of a StrategyQA question, of its development or its training part: 'strategyqa/e0044a7b4d146d611e73'."""
    return f"{part}/{qid}"


def boolq_cluster(title: str) -> str:
    """The name of the article that BoolQ questions are about: 'boolq/Dairy cattle'."""
    return f"boolq/{title}"


def assignment(benchmark: str, clusters: Iterable[str]) -> Assignment:
    """What the rule makes of these clusters; repeated names count once."""
    strata: dict[str, list[tuple[bytes, str]]] = {}
    for cluster in set(clusters):
        key = hashlib.sha256(f"{RULE}/{benchmark}/{cluster}".encode()).digest()
        stratum, slash, _ = cluster.partition("/")
        strata.setdefault(stratum if slash else "", []).append((key, cluster))
    folds: dict[str, Fold] = {}
    for members in strata.values():
        for rank, (_, cluster) in enumerate(sorted(members)):
            fraction = (rank + 0.5) / len(members)
            folds[cluster] = next((name for end, name in _ENDS if fraction < end), "final")
    lines = sorted(f"{cluster}\t{name}\n" for cluster, name in folds.items())
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return Assignment(folds=dict(sorted(folds.items())), sha256=digest)


@cache
def fixed() -> Mapping[str, Assignment]:
    """The assignments that are fixed in `splits.json`, by benchmark."""
    content = json.loads(files("evenhand.data").joinpath("splits.json").read_text("utf-8"))
    return TypeAdapter(dict[str, Assignment]).validate_python(content["benchmarks"])


def check(benchmark: str, clusters: Iterable[str]) -> None:
    """Make sure that these are the clusters, and these the folds, that were fixed before any method was tried.

    Raises:
        UnknownName: no assignment is fixed for this benchmark.
        DataError: the assignment differs; the message shows both.
    """
    expected, found = _fixed(benchmark), assignment(benchmark, clusters)
    if found != expected:
        raise DataError(
            f"The split of {benchmark!r} is not the one that was fixed: expected {_shown(expected)}, "
            f"found {_shown(found)}. Results on other folds cannot be compared: use all of the benchmark's own "
            f"clusters under the names that evenhand.data.splits gives them."
        )


def _fixed(benchmark: str) -> Assignment:
    if benchmark not in fixed():
        raise UnknownName("fixed split", benchmark, fixed())
    return fixed()[benchmark]


def _shown(what: Assignment) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in what.counts.items())
    return f"{len(what.folds)} clusters ({counts}; sha256 {what.sha256})"
