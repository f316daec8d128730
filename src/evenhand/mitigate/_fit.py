"""One fit: a method, a model, items, a seed; a patch comes out and the model is as it was."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from evenhand import __version__
from evenhand.core.errors import DataError, PatchError, UsageError
from evenhand.core.items import Item
from evenhand.core.record import FittedOn, Provenance
from evenhand.data.overlap import shingles
from evenhand.mitigate._mitigation import Mitigation

if TYPE_CHECKING:
    from evenhand.model import Model, Patch


def fit(
    model: Model,
    method: Mitigation,
    items: Sequence[Item] = (),
    *,
    seed: int = 0,
    benchmark: str = "",
    fold: str = "",
    sham: str = "",
) -> Patch:
    """Fit a method.

    Args:
        model: the model; nothing may be installed on it.
        method: the method with its settings.
        items: what it is fitted on; none for methods that need none.
        seed: of everything that is random in fitting.
        benchmark: whose items they are, for the record and for the refusal of leakage.
        fold: the fold they are from.
        sham: name of what was taken out of the method, if this is a sham.

    Raises:
        UsageError: the model is of a kind that the method cannot change, or it needs items and there are none.
        PatchError: something is installed on the model.
        DataError: the items do not hold what the method needs.
    """
    import numpy as np

    from evenhand.model import Patch

    if model.patches or model.edits:
        raise PatchError("Something is installed on the model. Remove it first: a patch belongs to a model as it is.")
    if model.task not in method.tasks:
        raise UsageError(
            f"{method.name} changes models of kind {' or '.join(method.tasks)}; {model.name} is a {model.task}."
        )
    if method.fit_on is not None and not items:
        raise DataError(
            f"{method.name} is fitted on items and there are none. Its default is {method.fit_on.benchmark!r}."
        )
    base = model.identity
    began = time.perf_counter()
    fitted = method.fit(model, items, np.random.default_rng(seed))
    provenance = Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        seconds=round(time.perf_counter() - began, 3),
        evenhand=__version__,
        torch=version("torch"),
        transformers=version("transformers"),
        fitted_on=fitted_on(items, benchmark, fold) if items else None,
        sham=sham,
        notes=fitted.notes,
        findings=fitted.findings,
    )
    return Patch(method, dict(fitted.tensors), base, provenance)


def fitted_on(items: Sequence[Item], benchmark: str, fold: str) -> FittedOn:
    """What is remembered of the items, so that nothing is tested on them."""
    runs = shingles(text for item in items for text in item.material)
    return FittedOn(
        benchmark=benchmark,
        fold=fold,
        n_items=len(items),
        clusters=tuple(sorted({f"{benchmark}:{item.cluster}" for item in items})),
        origins=tuple(sorted({f"{item.origin.source}/{item.origin.file}:{item.origin.row}" for item in items})),
        shingles=tuple(sorted(hashlib.sha256(run.encode()).hexdigest()[:16] for run in runs)),
    )
