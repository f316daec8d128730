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
    check_shape(parameter, edit)
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


def check_shape(parameter: Tensor, edit: WeightEdit) -> None:
    """Make sure that a change fits.

    Raises:
        PatchError: its shape is not that of the parameter.
    """
    shape, delta = tuple(parameter.shape), edit.delta
    match delta:
        case LowRank(up, down):
            found = (*up.shape[:-1], *down.shape[1:]) if up.shape[-1:] == down.shape[:1] else None
            fits, said = found == shape, f"up {tuple(up.shape)} and down {tuple(down.shape)}"
        case Dense(whole):
            fits, said = tuple(whole.shape) == shape, str(tuple(whole.shape))
        case Slice(axis, index, values):
            fits = 0 <= axis < len(shape) and all(0 <= place < shape[axis] for place in index)
            fits = fits and tuple(values.shape) == (*shape[:axis], len(index), *shape[axis + 1 :])
            said = f"{len(index)} entries along axis {axis} with values {tuple(values.shape)}"
        case _:
            assert_never(delta)
    if not fits:
        raise PatchError(f"The change of {edit.param!r} does not fit its shape {shape}: {said}.")


def add(parameter: Tensor, edit: WeightEdit) -> None:
    """Add the change for good.

    Raises:
        PatchError: its shape is not that of the parameter.
    """
    check_shape(parameter, edit)
    delta = edit.delta
    with torch.no_grad():
        match delta:
            case LowRank(up, down):
                change = up.to(parameter.device, torch.float32) @ down.to(parameter.device, torch.float32)
                parameter.add_(change.to(parameter.dtype))
            case Dense(whole):
                parameter.add_(whole.to(parameter.device, parameter.dtype))
            case Slice(axis, _, values):
                parameter.index_add_(axis, _index(delta, parameter), values.to(parameter.device, parameter.dtype))
            case _:
                assert_never(delta)


def _touched(parameter: Tensor, edit: WeightEdit) -> Tensor:
    if isinstance(edit.delta, Slice):
        return parameter.index_select(edit.delta.axis, _index(edit.delta, parameter))
    return parameter


def _index(delta: Slice, parameter: Tensor) -> Tensor:
    return torch.as_tensor(list(delta.index), dtype=torch.long, device=parameter.device)
