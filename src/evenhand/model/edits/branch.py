"""A branch beside the vocabulary head, with a reference that is encoded by the edited model itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import BranchEdit
from evenhand.core.errors import UnsupportedSite


@contextmanager
def branch(hf: PreTrainedModel, edit: BranchEdit) -> Iterator[None]:
    """Add `edit.fn(hidden, reference)` to what the vocabulary head gives."""
    head: Any = hf.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is None:
        raise UnsupportedSite(f"{type(hf).__name__} has no vocabulary head that a branch could stand beside.")
    reference = reference_states(hf, edit.reference) if edit.reference else None

    def add(_: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        return output.add_(edit.fn(arguments[0], reference))  # a sum of its own would cost a copy of all logits

    handle = head.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def reference_states(hf: PreTrainedModel, ids: tuple[int, ...], *, grad: bool = False) -> Tensor:
    """Last hidden states of a sequence of token ids, as the vocabulary head reads them.

    Args:
        hf: the model.
        ids: R of them.
        grad: keep the states in the graph, for training.

    Returns:
        [R, D].
    """
    from evenhand.model.packed import input_device

    caught: list[Tensor] = []
    head: Any = hf.get_output_embeddings()  # type: ignore[no-untyped-call]
    handle = head.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    try:
        with nullcontext() if grad else torch.inference_mode():
            hf(input_ids=torch.tensor([ids], device=input_device(hf)), use_cache=False)
    finally:
        handle.remove()
    states = caught[0].reshape(len(ids), -1)  # some models hand over all texts' tokens in one row
    return states if grad else states.detach().clone()
