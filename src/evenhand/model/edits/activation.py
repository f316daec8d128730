"""Changing activations, at all tokens or only at those after a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import ActivationEdit, Where
from evenhand.core.errors import PatchError
from evenhand.core.sites import Part
from evenhand.model import positions
from evenhand.model.anatomy import Anatomy, first_tensor, with_first

INPUTS = frozenset({Part.HEADS, Part.NEURONS, Part.FINAL})
"""Parts that are the input of a module; the others are the output of one."""


@contextmanager
def activation(hf: PreTrainedModel, anatomy: Anatomy, edit: ActivationEdit) -> Iterator[None]:
    """Put the change in place: a hook on the module whose input or output is the activation."""
    if edit.where != "all" and edit.site.part is Part.FINAL:
        raise PatchError(
            "The final state cannot be changed after a prompt only: the vocabulary head is handed the places whose "
            "logits are wanted, without their positions. Change the residual stream of the last layer instead."
        )
    with at_site(hf, anatomy, edit, lambda x: _changed(hf, edit, x)):
        yield


@contextmanager
def at_site(hf: PreTrainedModel, anatomy: Anatomy, edit: ActivationEdit, change: Any) -> Iterator[None]:
    """Replace the activation [B, L, D] of `edit.site` by `change(activation)`; None leaves it as it is.

    Some models flatten texts and tokens before a projection: there the shape is restored from the block's input.
    """
    module = anatomy.module(edit.site)
    as_input = edit.site.part in INPUTS and module is not hf
    shape: list[tuple[int, int]] = []

    def note(_: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]) -> None:
        hidden = next(a for a in (*arguments, *given.values()) if isinstance(a, Tensor))
        shape[:] = [(hidden.shape[0], hidden.shape[1])]

    def replaced(x: Tensor) -> Tensor | None:
        whole = x
        if x.dim() == 2:  # a row for each token of all texts, or, at the vocabulary head, for each wanted place
            whole = x.view(*shape[0], -1) if shape else x[None]
        made = change(whole)
        return None if made is None else made.reshape(x.shape)

    def before(_: nn.Module, arguments: tuple[Any, ...]) -> Any:
        made = replaced(arguments[0])
        return None if made is None else (made, *arguments[1:])

    def after(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        if module is hf:  # an encoder without a head: its last hidden state
            made = replaced(output.last_hidden_state)
            if made is not None:
                output.last_hidden_state = made
            return output
        made = replaced(first_tensor(output))
        return None if made is None else with_first(output, made)

    with ExitStack() as undo:
        if edit.site.part not in (Part.FINAL, Part.RESIDUAL):
            block = anatomy.layer(edit.site.layer).block
            undo.callback(block.register_forward_pre_hook(note, with_kwargs=True).remove)
        hook = module.register_forward_pre_hook(before) if as_input else module.register_forward_hook(after)
        undo.callback(hook.remove)
        yield


def _changed(hf: PreTrainedModel, edit: ActivationEdit, x: Tensor) -> Tensor:
    new = edit.fn(x)
    if edit.where == "all":
        return new
    return torch.where(_wanted(hf, edit.where, x)[..., None], new, x)


def _wanted(hf: PreTrainedModel, where: Where, x: Tensor) -> Tensor:
    """Which tokens are changed, bool [B, L]."""
    length = x.shape[1]
    last = positions.last_of_prompt(hf, x.shape[0], length).to(x.device)[:, None]
    places = torch.arange(length, device=x.device)[None]
    return places == last if where == "prompt_last" else places >= last
