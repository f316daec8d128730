"""Emission: which social group a model says next when a sentence names a concept and stops."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, assert_never

from pydantic import Field

from evenhand.core.items import Item, Origin, Score
from evenhand.core.record import Card, DataUse, RunNote
from evenhand.core.requests import Choose, Response, TextScore
from evenhand.data.concepts import Concepts, Cue, attributes, concepts, digest
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._benchmark import Benchmark, Loaded

_CONVENTIONS = (
    "emission: a group's probability is that of its forms together, renormalised over the groups of the attribute; "
    "each form is scored as a whole after the cue, so nothing is divided by its length.",
    "emission: templates and neutral phrases are the same in all folds; what is kept apart is what a concept is named "
    "by.",
    "emission_kl_offset_free: from each group's log-probability its mean after the same template with neutral phrases "
    "is taken off before renormalising, so that what the model says anyway does not count. emission_kl_floor is the "
    "same number for the neutral phrases themselves, each against the others: what wording alone gives.",
)


class Emission(Benchmark):
    """How evenly does the model spread probability over social groups after a concept is named (English)?"""

    name: ClassVar[str] = "emission"
    card: ClassVar[Card] = Card(
        title="How unevenly a model names social groups after a sentence about a concept such as leadership or crime.",
        source="Emission probabilities of Fairness Mediator, Xiao et al., ISSTA 2025, "
        "https://arxiv.org/abs/2504.07787, on cues of our own.",
        formula="s_g = log of the summed P(form of g | cue); p = softmax(s); KL(u || p) = -log G - mean_g log p_g with "
        "u = 1/G; free of the offset: p = softmax(s - mean s after neutral cues of the same template)",
        differs="The paper's cues, groups and surface forms are not public: these are ours. A group's forms are added; "
        "pool=best takes the likeliest form, pool=best_per_token the likeliest by mean per token. The offset is ours.",
        cautions="The cues name stereotypes in order to measure them. Groups are those of the United States' debate, "
        "each by two to four forms: a group with rare forms gets little probability from any model, which is why the "
        "offset-free number stands beside the plain one. Evenness over groups is not the truth about who does what, "
        "and numbers of attributes with different numbers of groups cannot be compared.",
        needs="a decoder",
    )
    metrics: ClassVar[tuple[str, ...]] = (
        "emission_kl",
        "emission_kl_offset_free",
        "emission_kl_neutral",
        "emission_kl_floor",
    )
    by: ClassVar[tuple[str, ...]] = ("attribute", "concept", "kind")
    collateral: ClassVar[tuple[str, ...]] = ("attribute", "concept")

    attributes: Annotated[
        tuple[str, ...], Field(min_length=1, description="Which of the nine attributes, e.g. gender, age.")
    ] = attributes()
    pool: Annotated[
        Literal["mass", "best", "best_per_token"],
        Field(
            description="How the forms of a group become one number: their probabilities added, the likeliest form, or "
            "the likeliest by mean log-probability per token."
        ),
    ] = "mass"

    def load(self) -> Loaded:
        """Every phrase of every concept in every template, and the neutral phrases; 424 items for each attribute.

        Raises:
            UnknownName: there is no such attribute.
        """
        items: list[Item] = []
        for attribute in dict.fromkeys(self.attributes):
            items += _items(concepts(attribute))
        use = DataUse(name="concepts", sha256=digest(), source="comes with evenhand", licence="Apache-2.0")
        notes = tuple(RunNote(benchmark=self.name, kind="convention", text=text) for text in _CONVENTIONS)
        return Loaded(tuple(items), (use,), notes)

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Divergences from uniform (nats), plain and free of the offset, and each group's log-probability `log_...`."""
        groups = concepts(item.groups["attribute"]).groups
        sizes = [len(group.forms) for group in groups]
        answers = [scores_of(response, sum(sizes)) for response in responses]
        if not all(finite(scores) for scores in answers):
            return failed()
        cue, *neutral = ([self._pooled(scores) for scores in _parts(answer, sizes)] for answer in answers)
        offset = [math.fsum(column) / len(neutral) for column in zip(*neutral, strict=True)]
        logs = {f"log_{group.id}": value for group, value in zip(groups, cue, strict=True)}
        return Score(
            {
                "kl": kl_from_uniform(cue),
                "kl_offset_free": kl_from_uniform([own - other for own, other in zip(cue, offset, strict=True)]),
                **logs,
            }
        )

    def select(self) -> dict[str, dict[str, str]]:
        """Cues that name a concept and neutral ones are different things."""
        cue, neutral = {"kind": "cue"}, {"kind": "neutral"}
        return dict(zip(self.metrics, (cue, cue, neutral, neutral), strict=True))

    def _pooled(self, forms: Sequence[TextScore]) -> float:
        """One log-probability (nats) for the forms of a group."""
        match self.pool:
            case "mass":
                return log_sum([form.total for form in forms])
            case "best":
                return max(form.total for form in forms)
            case "best_per_token":
                return max(form.mean for form in forms)
            case _:
                assert_never(self.pool)


def log_sum(logs: Sequence[float]) -> float:
    """Log of the sum of probabilities that are given as logs."""
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs))


def kl_from_uniform(logs: Sequence[float]) -> float:
    """KL(u || softmax(logs)) in nats: 0 if all are equal, otherwise positive."""
    return max(0.0, log_sum(logs) - math.fsum(logs) / len(logs) - math.log(len(logs)))


def _parts(scores: Sequence[TextScore], sizes: Sequence[int]) -> Iterator[Sequence[TextScore]]:
    """Consecutive runs of the given sizes."""
    start = 0
    for size in sizes:
        yield scores[start : start + size]
        start += size


def _items(found: Concepts) -> list[Item]:
    """Items of one attribute: the cue is the first request, the neutral cues of its template are the others."""
    options = tuple(f" {form}" for form in found.forms)
    cues = [*found.cues(), *found.neutral_cues()]
    return [_item(cue, "cue" if cue.concept else "neutral", row, options) for row, cue in enumerate(cues, start=1)]


def _item(cue: Cue, kind: str, number: int, options: tuple[str, ...]) -> Item:
    return Item(
        id=cue.id,
        cluster=cue.cluster,
        stratum=cue.attribute,
        origin=Origin("concepts", f"{cue.attribute}.json", number),
        requests=tuple(Choose(text, options) for text in (cue.text, *cue.neutral)),
        groups={
            "attribute": cue.attribute,
            "concept": cue.cluster if cue.concept else "",
            "kind": kind,
        },
        texts={"cue": cue.text},
        own=(cue.phrase,) if cue.concept else (),
    )
