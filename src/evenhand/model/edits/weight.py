"""Adding to parameters, and putting back the very bits that were there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

import torch
from torch import Tensor
from transformers import PreTrainedModel

from evenhand.core.edits import Dense, LowRank, Slice, WeightEdit
from evenhand.core.errors import PatchError


@contextmanager
def weight(hf: PreTrainedModel, edit: WeightEdit) -> Iterator[None]:
    """Add the change; a copy of what it touches is kept and copied back, since subtracting would leave rounding."""
    parameter = parameter_of(hf, edit.param)
    kept = _touched(parameter, edit).detach().clone()
    add(parameter, edit)
    try:
        yield
    finally:
        with torch.no_grad():
            if isinstance(edit.delta, Slice):
                parameter.index_copy_(edit.delta.axis, _index(edit.delta, parameter), kept)
            else:
                parameter.copy_(kept)


def parameter_of(hf: PreTrainedModel, name: str) -> Tensor:
    """The parameter of this name; a tied one answers to all its names.

    Raises:
        PatchError: there is none.
    """
    try:
        parameter = hf.get_parameter(name)
    except AttributeError as error:
        raise PatchError(f"{type(hf).__name__} has no parameter {name!r} that the patch could change.") from error
    return parameter


def add(parameter: Tensor, edit: WeightEdit) -> None:
    """Add the change for good.

    Raises:
        PatchError: its shape is not that of the parameter.
    """
    delta = edit.delta
    try:
        with torch.no_grad():
            match delta:
                case LowRank(up, down):
                    change = up.to(parameter.device, torch.float32) @ down.to(parameter.device, torch.float32)
                    parameter.add_(change.to(parameter.dtype))
                case Dense(whole):
                    if whole.shape != parameter.shape:
                        raise RuntimeError(f"{tuple(whole.shape)} is not {tuple(parameter.shape)}")
                    parameter.add_(whole.to(parameter.device, parameter.dtype))
                case Slice(axis, _, values):
                    parameter.index_add_(axis, _index(delta, parameter), values.to(parameter.device, parameter.dtype))
                case _:
                    assert_never(delta)
    except (RuntimeError, IndexError) as error:
        raise PatchError(
            f"The change of {edit.param!r} does not fit its shape {tuple(parameter.shape)}: {error}"
        ) from error


def _touched(parameter: Tensor, edit: WeightEdit) -> Tensor:
    if isinstance(edit.delta, Slice):
        return parameter.index_select(edit.delta.axis, _index(edit.delta, parameter))
    return parameter


def _index(delta: Slice, parameter: Tensor) -> Tensor:
    return torch.as_tensor(list(delta.index), dtype=torch.long, device=parameter.device)
