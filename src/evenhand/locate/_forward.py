"""Plain forward passes over token ids for locators: rows of their own, padded on the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.sites import Part, Site

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model

T = TypeVar("T")


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and what of them is real, int [B, L] each."""
    import torch

    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    real = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(list(row))
        real[number, : len(row)] = 1
    return ids, real


def in_batches(model: Model, lengths: Sequence[int], share: float = 1.0) -> Iterator[list[int]]:
    """Numbers of things of similar length, within a share of the model's budget of tokens."""
    from evenhand.model.jobs import batches

    yield from batches(lengths, max(1, int(model.budget.pack * share)))


def read_attention(
    model: Model,
    rows: Sequence[Sequence[int]],
    queries: Sequence[Sequence[int]],
    reduce: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """What `reduce` makes of the weights of every layer in one forward pass: float64 [layers, B', H].

    Layers without attention are left out; the order is that of `attention_sites`.

    Args:
        model: the model.
        rows: token ids of each text.
        queries: wanted queries of each text; shorter lists are filled up by repeating their last.
        reduce: weights [B, H, R, Lk], in float32 on the device of the model, to numbers [B', H].
    """
    import numpy as np
    import torch

    layers = attention_layers(model)
    ids, real = padded(rows)
    longest = max(map(len, queries))
    wanted = torch.tensor([[*q, *[q[-1]] * (longest - len(q))] for q in queries])
    found: dict[int, Tensor] = {}

    def reader(layer: int, weights: Tensor) -> None:
        found[layer] = reduce(weights.float()).double().cpu()

    device = model.device
    with torch.inference_mode(), model.attention(layers, reader, rows=wanted):
        model.hf(input_ids=ids.to(device), attention_mask=real.to(device), logits_to_keep=1)
    return np.stack([found[layer].numpy() for layer in layers])


def attention_layers(model: Model) -> list[int]:
    """Numbers of the layers that have attention.

    Raises:
        UnsupportedSite: none has.
    """
    found = [number for number, layer in enumerate(model.anatomy.layers) if layer.attention is not None]
    if not found or not model.anatomy.heads:
        raise UnsupportedSite(
            f"{type(model.hf).__name__} has no attention that could be found, so there are no heads to look at."
        )
    return found


def attention_sites(model: Model) -> list[Site]:
    """Every head of every layer that has attention, in order."""
    heads = range(model.anatomy.heads)
    return [Site(layer, Part.HEADS, head) for layer in attention_layers(model) for head in heads]


def drawn(things: Sequence[T], sample: int, rng: np.random.Generator) -> list[T]:
    """At most `sample` of them at random, in their order."""
    if len(things) <= sample:
        return list(things)
    return [things[n] for n in sorted(rng.choice(len(things), size=sample, replace=False))]


def some(things: Sequence[T], what: str, locator: str, on: str) -> None:
    """Raise unless there is something left to read.

    Raises:
        DataError: there is nothing.
    """
    if not things:
        raise DataError(f"{locator}: none of the items {what}. Name other items, e.g. --on {on}.")
