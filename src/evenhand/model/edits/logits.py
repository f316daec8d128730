"""Changing next-token scores on their way out of the model, in scoring and in generation alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from evenhand.core.edits import LogitsEdit


@contextmanager
def logits(hf: PreTrainedModel, edit: LogitsEdit) -> Iterator[None]:
    """Put the change behind the model's forward, after its final scaling and soft caps."""

    def change(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        output.logits = edit.fn(output.logits)
        return output

    handle = hf.register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()
