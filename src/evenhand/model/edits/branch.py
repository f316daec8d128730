"""A branch beside the head, with a reference that is encoded by the edited model itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import BranchEdit
from evenhand.core.errors import UnsupportedSite
from evenhand.model.load import task_of

Added = Callable[[Tensor], Tensor]


@contextmanager
def branch(hf: PreTrainedModel, edit: BranchEdit) -> Iterator[None]:
    """Add `edit.fn(hidden, reference)` to what the vocabulary head gives, or to a classifier's logits."""
    head, body = _parts(hf)
    if not hf.training:  # in training at every step, and dropout would hide what is looked for
        check(hf)
    reference = reference_states(hf, edit.reference) if edit.reference else None
    with ExitStack() as undo:
        if head is not None:
            undo.callback(_beside_words(head, lambda hidden: edit.fn(hidden, reference)).remove)
        else:
            for handle in _beside_classes(hf, body, lambda hidden: edit.fn(hidden, reference)):
                undo.callback(handle.remove)
        yield


def _parts(hf: PreTrainedModel) -> tuple[nn.Module | None, nn.Module]:
    """The vocabulary head, None for a classifier, and what is below the heads.

    Raises:
        UnsupportedSite: the model has neither a vocabulary head nor classes.
    """
    head: Any = hf.get_output_embeddings()  # type: ignore[no-untyped-call]
    body: Any = hf.base_model
    if head is None and (task_of(hf) != "classifier" or body is hf):
        raise UnsupportedSite(
            f"{type(hf).__name__} has no vocabulary head and no classes that a branch could stand beside."
        )
    return head, body


def check(hf: PreTrainedModel) -> None:
    """See whether a branch has something to read.

    Raises:
        UnsupportedSite: the model has neither a vocabulary head nor classes, or it is a classifier whose first token
            does not see the others, so that a branch on its state would say the same of every text.
    """
    from evenhand.model.packed import input_device

    head, body = _parts(hf)
    if head is not None:
        return
    ids = torch.tensor([[5, 6, 7], [5, 7, 6]], device=input_device(hf)) % hf.config.vocab_size
    with torch.inference_mode():
        first, second = body(input_ids=ids)[0][:, 0].float()
    if torch.allclose(first, second, rtol=1e-5, atol=1e-6):
        raise UnsupportedSite(
            f"{type(hf).__name__} is a classifier whose first token does not see the others, so a branch on its state "
            "would say the same of every text. Use a classifier on an encoder."
        )


def _beside_words(head: nn.Module, added: Added) -> Any:
    def add(_: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        return output.add_(added(arguments[0]))  # a sum of its own would cost a copy of all logits

    return head.register_forward_hook(add)


def _beside_classes(hf: PreTrainedModel, body: nn.Module, added: Added) -> tuple[Any, Any]:
    """On the state of the first token, which classifiers on encoders read; padding is on the right."""
    seen: list[Tensor] = []

    def note(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        seen[:] = [output[0][:, 0]]

    def add(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        output.logits = output.logits + added(seen.pop())
        return output

    return body.register_forward_hook(note), hf.register_forward_hook(add)


def reference_states(hf: PreTrainedModel, ids: tuple[int, ...], *, grad: bool = False) -> Tensor:
    """Last hidden states of a sequence of token ids, as the head reads them.

    Args:
        hf: the model.
        ids: R of them.
        grad: keep the states in the graph, for training.

    Returns:
        [R, D].
    """
    from evenhand.model.packed import input_device

    caught: list[Tensor] = []
    head, body = _parts(hf)
    if head is not None:
        handle: Any = head.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    else:
        handle = body.register_forward_hook(lambda _, given, output: caught.append(output[0]))
    try:
        with nullcontext() if grad else torch.inference_mode():
            hf(input_ids=torch.tensor([ids], device=input_device(hf)), **({} if head is None else {"use_cache": False}))
    finally:
        handle.remove()
    states = caught[0].reshape(len(ids), -1)  # some models hand over all texts' tokens in one row
    return states if grad else states.detach().clone()
