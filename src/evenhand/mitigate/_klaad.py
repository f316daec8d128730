"""KLAAD's loss of a batch of triplets, from one forward pass, and the training with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.sites import FINAL
from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate import _klaad_view as view
from evenhand.mitigate._mitigation import Fitted
from evenhand.mitigate._sentences import drawn
from evenhand.mitigate._train import Batch, Trained, train, weight_edits
from evenhand.mitigate._triplets import Places, Triplet, corresponding, triplet

if TYPE_CHECKING:
    import numpy as np

    from evenhand.mitigate.klaad import Klaad
    from evenhand.model import Model


class More(Protocol):
    """Further terms of a variant."""

    weights: Mapping[str, float]

    def terms(self, logits: Tensor, surprisals: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """[B] each, from logits [k B, L, V] and the twins' surprisals [2 B, L - 1]; those without a weight are told."""


class Objective:
    """The loss of a batch and the terms that it is made of, before they are weighted.

    Terms of weight 0 are not computed. Where no term needs the unrelated texts k = 2, else 3.
    """

    def __init__(self, model: Model, settings: Klaad, more: More | None = None) -> None:
        self.model = model
        self.settings = settings
        self.more = more
        self.weights = {**settings.weighting, **(more.weights if more else {})}
        self._kept: dict[int, Places] = {}

    def __call__(self, network: Any, batch: Batch) -> dict[str, Tensor]:
        """One number per example: "loss" and every term."""
        given, twins = self.settings, 2 * len(batch.index)
        found: dict[str, Tensor] = {}
        with ExitStack() as within:
            if self.weights["attention"]:
                self._watch(within, batch, found)
            states = within.enter_context(self.model.trace([FINAL], grad=True)) if self.weights["triplet"] else {}
            logits = network(input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False).logits
        surprisals = terms.surprisals(logits[:twins], batch.tokens[:twins])
        if self.weights["cross_entropy"]:
            rows = terms.mean_over(surprisals, batch.mask[:twins, 1:])
            found["cross_entropy"] = rows.view(2, -1).mean(0)
        if self.weights["triplet"]:
            (last,) = states[FINAL]
            found["triplet"] = terms.triplet_loss(last, batch.mask, margin=given.wide, pool=given.pool)
        if self.more is not None:
            found |= self.more.terms(logits, surprisals, batch)
        weighted = [self.weights[name] * value for name, value in found.items() if self.weights.get(name)]
        return {"loss": torch.stack(weighted).sum(0), **found}

    def _watch(self, within: ExitStack, batch: Batch, found: dict[str, Tensor]) -> None:
        """Have the last layer's attention read in the coming forward pass, at the corresponding tokens only."""
        given, count = self.settings, len(batch.index)
        kept = [self._places(batch, row) for row in range(count)]
        most = max(1, *(len(first) for first, _ in kept))
        rows = [first for first, _ in kept] + [second for _, second in kept]
        rows += [()] * (len(batch.tokens) - len(rows))

        def read(_: int, weights: Tensor) -> None:
            found["attention"] = terms.attention_gap(
                weights[: 2 * count],
                kept,
                heads=given.heads,
                paper_softmax=given.paper_softmax,
                teacher=given.teacher,
            )

        last = len(self.model.anatomy.layers) - 1
        queries = terms.padded(rows, most, batch.tokens.device)
        within.enter_context(self.model.attention([last], read, rows=queries))

    def _places(self, batch: Batch, row: int) -> Places:
        """Corresponding tokens of the twins of an example."""
        number = int(batch.index[row])
        if number not in self._kept:
            first, second = (
                batch.tokens[place][batch.mask[place] == 1].tolist() for place in (row, row + len(batch.index))
            )
            self._kept[number] = corresponding(first, second, self.settings.align)
        return self._kept[number]

    def unread(self) -> int:
        """How many of the examples seen have too few corresponding tokens for the attention term."""
        return sum(len(first) < 2 for first, _ in self._kept.values())


def chosen(settings: Klaad, items: Sequence[Item], rng: np.random.Generator) -> list[Triplet]:
    """The triplets to train on.

    Raises:
        DataError: an item lacks a text.
        UsageError: every term has weight 0.
    """
    settings.texts(items)
    return [triplet(item) for item in drawn(items, rng, settings.limit)]


def texts_of(found: Sequence[Triplet], settings: Klaad) -> list[tuple[str, ...]]:
    """What one forward pass reads of each triplet."""
    return [one.texts if settings.reads_unrelated else one.texts[:2] for one in found]


def learn(objective: Objective, found: Sequence[Triplet], rng: np.random.Generator) -> Fitted:
    """Train; `history:TERM` [steps] beside the change of weights says how each term went.

    Raises:
        UsageError: every term has weight 0.
    """
    if not any(objective.weights.values()):
        raise UsageError(f"{objective.settings.name}: every term has weight 0. Give one of them a weight.")
    model, settings = objective.model, objective.settings
    texts = texts_of(found, settings)
    before = view.attention_of(model, texts, settings)
    trained = train(model, texts, objective, settings, seed=int(rng.integers(2**31)))
    with model.install(weight_edits(trained.tensors, settings.amount)):
        after = view.attention_of(model, texts, settings)
    notes = [*trained.notes, _made_of(trained, objective.weights), *filter(None, [view.told(before, after)])]
    if objective.unread():
        notes.append(f"{objective.unread():,} twins have no two corresponding tokens: no attention is compared there.")
    tensors = {**trained.tensors, **view.terms_of(trained.steps)}
    return Fitted(tensors, tuple(notes), view.findings(before, after, trained.steps))


def _made_of(trained: Trained, weights: Mapping[str, float]) -> str:
    """What the loss was made of over all steps."""
    parts = []
    for name, weight in weights.items():
        if weight and trained.steps:
            mean = sum(step.terms[name] for step in trained.steps) / len(trained.steps)
            parts.append(f"{weight:g} x {name} {mean:.4g} = {weight * mean:.4g}")
    return "The loss, mean of all steps: " + ", ".join(parts) + "."
