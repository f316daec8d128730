"""Run a locator on a model; what it finds is one record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evenhand.core.errors import DataError, UsageError
from evenhand.core.items import Item
from evenhand.core.record import DataUse, Sites
from evenhand.locate._locator import Locator

if TYPE_CHECKING:
    from evenhand.model import Model


def locate(
    model: Model,
    locator: Locator,
    items: Sequence[Item],
    *,
    seed: int = 0,
    chat: bool = False,
    data: Sequence[DataUse] = (),
    fold: str = "",
    command: str = "",
) -> Sites:
    """Score all sites of a model.

    Args:
        model: the model, with or without patches installed.
        locator: the locator with its settings.
        items: what it reads.
        seed: of its null and its intervals.
        chat: put prompts into the chat format.
        data: where the items are from, for the record.
        fold: the fold they are from.
        command: the command line, for the record.

    Raises:
        UsageError: the model is of a kind that the locator cannot look into.
        DataError: there are no items, or they do not hold what the locator needs.
        UnsupportedSite: this architecture lacks a part that the locator needs.
    """
    import numpy as np

    if model.task not in locator.tasks:
        raise UsageError(
            f"{locator.name} looks into models of kind {' or '.join(locator.tasks)}; {model.name} is a {model.task}."
        )
    if not items:
        raise DataError(f"{locator.name} reads items and there are none.")
    began = time.perf_counter()
    found = locator.locate(model, items, np.random.default_rng(seed), chat=chat)
    return Sites(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        locator=locator.name,
        settings=locator.model_dump(mode="json"),
        command=command,
        model=model.identity,
        patch=model.patches[-1].summary() if model.patches else None,
        data=tuple(data),
        fold=fold,
        n_items=len(items),
        seed=seed,
        causal=locator.causal,
        unit=locator.unit,
        null=locator.null,
        correction=locator.correction,
        ideal=locator.ideal,
        scores=found.scores,
        notes=found.notes,
        seconds=round(time.perf_counter() - began, 3),
    )
