"""Where a prompt ends in the forward pass under way, and what edits remember of it while it is continued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel


@dataclass(slots=True)
class _Prompts:
    """The prompts of the passes under way.

    Attributes:
        last: column of the last token of each row, None if nobody said.
        segments: where the segments of each row begin, and the end of the last one, as columns.
        kept: what edits keep.
    """

    last: Tensor | None = None
    segments: tuple[tuple[int, ...], ...] = ()
    kept: dict[object, Any] = field(default_factory=dict)


_under_way: WeakKeyDictionary[PreTrainedModel, _Prompts] = WeakKeyDictionary()
_read: WeakKeyDictionary[PreTrainedModel, Tensor] = WeakKeyDictionary()


@contextmanager
def prompts_end(hf: PreTrainedModel, last: Sequence[int], segments: Sequence[Sequence[int]] = ()) -> Iterator[None]:
    """Say for the forward passes inside where the prompts of the rows end and where their segments lie.

    Args:
        hf: the model.
        last: column of the last prompt token of each row.
        segments: columns of the first token of each segment and of the one after the last segment, for each row.
    """
    before = _under_way.get(hf)
    _under_way[hf] = _Prompts(torch.tensor(list(last)), tuple(map(tuple, segments)) if any(segments) else ())
    try:
        yield
    finally:
        if before is None:
            del _under_way[hf]
        else:
            _under_way[hf] = before


def prompts_are_read(hf: PreTrainedModel) -> None:
    """Say that the passes that follow continue the prompts: they lie in the cache."""
    known = _under_way.get(hf)
    if known is not None and known.last is not None:
        known.last = torch.full_like(known.last, -1)


def last_of_prompt(hf: PreTrainedModel, rows: int, length: int) -> Tensor:
    """Column of the last prompt token of each row, int [B]; -1 if it lies before this pass.

    If nobody said so: a pass over several tokens is a prompt that ends in the last column (padding lies on the left),
    one over a single token continues a prompt.
    """
    known = _under_way.get(hf)
    if known is not None and known.last is not None and len(known.last) == rows:
        return known.last
    return torch.full((rows,), length - 1 if length > 1 else -1)


@contextmanager
def tokens_are_kept(hf: PreTrainedModel) -> Iterator[None]:
    """Keep the token ids of each pass inside for `tokens_of`, as the input embedding reads them."""

    def keep(_: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]) -> None:
        _read[hf] = arguments[0] if arguments else given["input"]

    hook = hf.get_input_embeddings().register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
        _read.pop(hf, None)


def tokens_of(hf: PreTrainedModel, rows: int, columns: int) -> Tensor:
    """Token ids of the columns of the pass under way, int [B, Lk]; -1 in the cache, or where nobody kept them."""
    found = _read.get(hf)
    if found is None or found.dim() != 2 or len(found) != rows or found.shape[1] > columns:
        return torch.full((rows, columns), -1)
    return functional.pad(found, (columns - found.shape[1], 0), value=-1)


def segments_of(hf: PreTrainedModel) -> tuple[tuple[int, ...], ...]:
    """Where the segments of each row lie (see `prompts_end`); () if no row has any."""
    known = _under_way.get(hf)
    return known.segments if known is not None else ()


def kept(hf: PreTrainedModel) -> dict[object, Any]:
    """What edits keep of the prompts under way; prompts that nobody announced share one memory."""
    return _under_way.setdefault(hf, _Prompts()).kept
