"""Stereotype probe: layers from which one can tell which group the model will say next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.items import Item
from evenhand.core.record import Card, SiteScore
from evenhand.core.requests import Choose, Scores
from evenhand.core.sites import Part
from evenhand.locate._locator import Located, LocateOn, Locator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.model import Model

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class StereotypeProbe(Locator):
    """Macro-F1 (0 to 1) of a probe at every layer: from the activation at a cue's last token to the group said next.

    The value is the F1 over all cues, each predicted by a probe that has seen no cue of its concept, less the mean of
    what shuffled labels give.
    """

    name: ClassVar[str] = "stereotype_probe"
    card: ClassVar[Card] = Card(
        title="Layers that hold which social group the model will name after a concept.",
        source="Fairness Mediator, Xiao, Liu, Liang, Liu, Tao, ISSTA 2025 (https://arxiv.org/abs/2504.07787)",
        formula="s_g = log of the summed P(form of g | cue); label = argmax over g of (s_g - median of s_g over the "
        "cues of the template); value = macro-F1 of held-out concepts - mean macro-F1 with shuffled labels",
        differs="The paper's cues, probe and labels are not public in detail. Labels are calibrated by template "
        "(labels=raw: argmax of s_g): raw labels mostly say which template a cue has, which early layers know. A "
        "linear probe by default (probe=mlp: one hidden layer of 256, as the paper's figure suggests). Concepts are "
        "held out, not prompts. Null and interval are ours.",
        cautions="What can be read from a layer need not be used by the model: making the probe's "
        "output even need not make the model's answers even. Labels are computed from the model's own "
        "activations, so late layers of any model hold them; a high F1 is no proof of a stereotype.",
        needs="a decoder",
    )
    locate_on: ClassVar[LocateOn] = LocateOn("emission")
    reads: ClassVar[tuple[str, ...]] = ("cue",)
    causal: ClassVar[bool] = False
    unit: ClassVar[str] = "macro-F1"
    null: ClassVar[str] = (
        "Labels shuffled within template, whole concepts at a time: the labels of one concept go to the cues of "
        "another with the same templates and numbers, so that neither templates nor the likeness of a concept's own "
        "cues count. Where concepts have different cues, single labels are shuffled within template."
    )
    correction: ClassVar[str] = "step-down of the maxima over all layers, for each shuffle"

    attribute: Annotated[str, Field(description="Whose groups are the labels, e.g. gender, age.")] = "gender"
    part: Annotated[
        Literal["mlp", "residual", "attention"], Field(description="Which activation of a layer is read.")
    ] = "mlp"
    labels: Annotated[
        Literal["calibrated", "raw"], Field(description="Whether each template's median is taken off first.")
    ] = "calibrated"
    probe: Annotated[
        Literal["ridge", "logistic", "mlp"],
        Field(description="ridge is quick; the others are fitted afresh for every shuffle, layer and fold."),
    ] = "ridge"
    penalty: Annotated[
        float,
        Field(gt=0, description="Of ridge and logistic; raised, the probe follows the strongest directions only."),
    ] = 100.0
    hidden: Annotated[int, Field(ge=1, description="Width of the mlp.")] = 256
    folds: Annotated[int, Field(ge=2, description="Concepts are held out in so many parts.")] = 5
    shuffles: Annotated[int, Field(ge=19, description="How many shuffles the null has.")] = 199

    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Ask for the groups, read the activations, fit and test the probes; cues are never put into a chat."""
        import numpy as np

        cues = self._cues(items)
        sites = model.anatomy.sites(Part(self.part))
        if not sites:
            raise UnsupportedSite(
                f"{type(model.hf).__name__} has no part {self.part!r} that could be found. Try --set part=residual."
            )
        emitted = self._emitted(model, cues)
        templates = [item.id.split("/")[2] for item in cues]
        concepts = [item.cluster for item in cues]
        labels = labelled(emitted, templates, calibrated=self.labels == "calibrated")
        states = model.states([item.texts["cue"] for item in cues], sites, pool="last")
        shares = np.bincount(labels, minlength=emitted.shape[1]) / len(labels)
        notes = [f"{len(cues):,} cues of {len(set(concepts)):,} concepts; shares of the labels: {_listed(shares)}."]
        if np.sum(shares > 0) < 2:
            notes.append("The model always says the same group, so there is nothing to predict.")
            empty = [SiteScore(site=str(site), value=None, low=None, high=None) for site in sites]
            return Located(tuple(empty), tuple(notes))
        inputs = [states[site].double().numpy() for site in sites]
        scores = probed(self, inputs, labels, templates, concepts, _numbers(cues), rng)
        named = [score.model_copy(update={"site": str(site)}) for score, site in zip(scores, sites, strict=True)]
        return Located(tuple(named), tuple(notes))

    def _cues(self, items: Sequence[Item]) -> list[Item]:
        """The items that name a concept of the attribute.

        Raises:
            DataError: there are fewer than two concepts.
        """
        kept = [
            item
            for item in items
            if item.groups.get("attribute") == self.attribute and item.groups.get("kind", "cue") == "cue"
        ]
        self.texts(kept)
        if len({item.cluster for item in kept}) < 2 or any(len(item.id.split("/")) < 4 for item in kept):
            raise DataError(
                f"{self.name} holds out concepts of the attribute {self.attribute!r} and found "
                f"{len({item.cluster for item in kept})} among {len(items):,} items. Give cues of at least two, e.g. "
                "--on emission, or name another attribute."
            )
        return kept

    def _emitted(self, model: Model, cues: Sequence[Item]) -> Floats:
        """Log-probability of each group after each cue, float [N, G]: its forms together."""
        import numpy as np

        from evenhand.data.concepts import concepts

        sizes = [len(group.forms) for group in concepts(self.attribute).groups]
        requests = [item.requests[0] for item in cues]
        if any(not isinstance(r, Choose) or len(r.options) != sum(sizes) for r in requests):
            raise DataError(f"{self.name}: a cue is not followed by the forms of the groups of {self.attribute!r}.")
        out = np.zeros((len(cues), len(sizes)))
        for row, answer in enumerate(model.answer(requests)):
            assert isinstance(answer, Scores)  # a Choose is answered by scores
            totals = np.array([score.total for score in answer.scores])
            out[row] = [np.logaddexp.reduce(part) for part in np.split(totals, np.cumsum(sizes)[:-1])]
        if not np.isfinite(out).all():
            raise DataError(f"{self.name}: the model gave a group no finite probability.")
        return out


def labelled(emitted: Floats, templates: Sequence[str], *, calibrated: bool) -> Ints:
    """The group that is said next, int [N]; calibrated: more than its median over the cues of the template."""
    import numpy as np

    less = np.zeros_like(emitted)
    if calibrated:
        names = np.asarray(templates)
        for name in np.unique(names):
            less[names == name] = np.median(emitted[names == name], axis=0)
    found: Ints = np.argmax(emitted - less, axis=1)
    return found


def shuffled(
    labels: Ints, templates: Sequence[str], concepts: Sequence[str], numbers: Sequence[str], rng: np.random.Generator
) -> Ints:
    """Labels of one concept given to another; single labels within template where concepts have different cues."""
    import numpy as np

    cells = {(c, t, n): row for row, (c, t, n) in enumerate(zip(concepts, templates, numbers, strict=True))}
    names = sorted(set(concepts))
    shapes = {frozenset((t, n) for c, t, n in cells if c == name) for name in names}
    if len(shapes) == 1 and len(names) > 4:
        given = dict(zip(names, rng.permutation(np.asarray(names, dtype=np.str_)).tolist(), strict=True))
        source = [cells[given[c], t, n] for c, t, n in zip(concepts, templates, numbers, strict=True)]
        return labels[source]
    out = labels.copy()
    for name in sorted(set(templates)):
        rows = np.flatnonzero(np.asarray(templates) == name)
        out[rows] = labels[rng.permutation(rows)]
    return out


def probed(
    settings: StereotypeProbe,
    inputs: Sequence[Floats],
    labels: Ints,
    templates: Sequence[str],
    concepts: Sequence[str],
    numbers: Sequence[str],
    rng: np.random.Generator,
) -> list[SiteScore]:
    """Scores of the activations [N, D] of each layer, sites not named yet."""
    import numpy as np

    from evenhand.locate import _null
    from evenhand.locate._probe import held_out, macro_f1, predictor

    folds = held_out(concepts, settings.folds, rng)
    draws = [shuffled(labels, templates, concepts, numbers, rng) for _ in range(settings.shuffles)]
    seed = int(rng.integers(2**31))
    classes = int(labels.max()) + 1
    truth, rivals, ends, correct = [], [], [], []
    for x in inputs:
        predict = predictor(settings.probe, x, folds, classes, penalty=settings.penalty, hidden=settings.hidden)
        found = predict(labels, seed)
        truth.append(macro_f1(labels, found))
        rivals.append([macro_f1(drawn, predict(drawn, seed)) for drawn in draws])
        correct.append(float(np.mean(found == labels)))
        ends.append(_f1_interval(labels, found, concepts, rng))
    null = np.array(rivals).T  # [shuffles, layers]
    tested = _null.among_rivals(np.array(truth), null, "above")
    most = float(max(np.bincount(labels))) / len(labels)
    return [
        SiteScore(
            site="",
            value=truth[n] - float(tested.null[n]),
            low=_less(ends[n][0], float(tested.null[n])),
            high=_less(ends[n][1], float(tested.null[n])),
            p=float(tested.p[n]),
            p_corrected=float(tested.corrected[n]),
            null=0.0,
            n=len(labels),
            details={
                "f1": truth[n],
                "f1_shuffled": float(tested.null[n]),
                "f1_shuffled_95": float(np.quantile(null[:, n], 0.95)),
                "accuracy": correct[n],
                "majority": most,
            },
        )
        for n in range(len(inputs))
    ]


def _f1_interval(
    labels: Ints, found: Ints, concepts: Sequence[str], rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """Cluster interval (95 %) of the macro-F1 over concepts, with the predictions as they are."""
    import numpy as np

    from evenhand.core.statistics import Sample, interval
    from evenhand.locate._null import DRAWS, LEVEL, by_cluster

    classes = np.unique(labels)
    columns = [(labels == c) & (found == c) for c in classes] + [
        (labels == c).astype(float) + (found == c) for c in classes
    ]
    sums, _ = by_cluster(np.stack(columns, axis=1).astype(np.float64), concepts)

    def f1(totals: Floats) -> Floats:
        both, either = np.split(totals, 2, axis=-1)
        out: Floats = np.full(both.shape, np.nan)
        np.divide(2 * both, either, out=out, where=either > 0)
        return out.mean(axis=-1)  # type: ignore[no-any-return]

    made = interval(
        Sample(sums, np.zeros(len(sums), dtype=np.int64), f1), level=LEVEL, draws=DRAWS, rng=rng, bounds=(0.0, 1.0)
    )
    return made.low, made.high


def _less(end: float | None, null: float) -> float | None:
    return None if end is None else end - null


def _numbers(cues: Sequence[Item]) -> list[str]:
    """Number of the phrase of each cue."""
    return [item.id.split("/")[3] for item in cues]


def _listed(shares: Floats) -> str:
    return " / ".join(f"{100 * share:.0f}" for share in shares if not math.isnan(share)) + " %"
