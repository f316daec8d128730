"""Where a prompt ends in the forward pass under way, for edits that act after the prompt only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

_ends: WeakKeyDictionary[PreTrainedModel, Tensor] = WeakKeyDictionary()


@contextmanager
def prompts_end(hf: PreTrainedModel, last: Sequence[int]) -> Iterator[None]:
    """Say for the forward passes inside in which column the last prompt token of each row lies."""
    before = _ends.get(hf)
    _ends[hf] = torch.tensor(list(last))
    try:
        yield
    finally:
        if before is None:
            del _ends[hf]
        else:
            _ends[hf] = before


def prompts_are_read(hf: PreTrainedModel) -> None:
    """Say that the passes that follow continue the prompts: they lie in the cache."""
    if hf in _ends:
        _ends[hf] = torch.full_like(_ends[hf], -1)


def last_of_prompt(hf: PreTrainedModel, rows: int, length: int) -> Tensor:
    """Column of the last prompt token of each row, int [B]; -1 if it lies before this pass.

    If nobody said so: a pass over several tokens is a prompt that ends in the last column (padding lies on the left),
    one over a single token continues a prompt.
    """
    known = _ends.get(hf)
    if known is not None and len(known) == rows:
        return known
    return torch.full((rows,), length - 1 if length > 1 else -1)
