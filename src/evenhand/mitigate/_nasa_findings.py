"""What tuning heads found, for a report: maps of all heads, and what became of those that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand.core.record import Map, Table
from evenhand.core.sites import Site

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("head", "NAS before", "NAS after", "steps", "monitor after", "outcome", "why")


def tried(rows: Sequence[tuple[str, ...]]) -> Table:
    """One row for each head that was tried, in the order of tuning; the columns are `COLUMNS`."""
    return Table(
        title="Heads that were tried, in this order",
        columns=COLUMNS,
        rows=tuple(rows),
        note="NAS is the head's negative attention on the monitor, in the orders that are watched. What was rolled "
        "back was put back to the bit.",
    )


def maps(
    attention: Sequence[Tensor], layers: Sequence[int], heads: Sequence[Site], words: tuple[str, str]
) -> list[Map]:
    """Negative attention of all heads in each order and on average, on one scale, before anything was tuned.

    Args:
        attention: of the order with the word for yes first, then of the other, [layers, H].
        layers: numbers of the layers.
        heads: those that were tried; they are framed.
        words: for yes and for no.
    """
    yes, no = words
    largest = max(float(one.abs().max()) for one in attention)
    named = (f"'{yes} or {no}'", f"'{no} or {yes}'", "the mean of both orders")
    means = (*attention, sum(attention[1:], attention[0]) / len(attention))
    return [
        heads_map(f"Negative attention in {name}", values, layers, heads, largest=largest)
        for name, values in zip(named, means, strict=True)
    ]


def heads_map(
    title: str,
    values: Tensor,
    layers: Sequence[int],
    heads: Sequence[Site],
    *,
    unit: str = "",
    largest: float | None = None,
) -> Map:
    """A map of all heads, [layers, H]."""
    places = {layer: row for row, layer in enumerate(layers)}
    return Map(
        title=title,
        values=tuple(tuple(round(value, 4) for value in row) for row in values.tolist()),
        row_names=tuple(map(str, layers)) if list(layers) != list(range(len(layers))) else (),
        unit=unit,
        largest=None if largest is None or largest == 0 else round(largest, 4),
        chosen=tuple((places[site.layer], site.unit or 0) for site in heads),
    )
