"""Replacing rows of the input embedding, with a tied vocabulary head untied or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import EmbeddingEdit
from evenhand.core.errors import PatchError


@contextmanager
def embedding(hf: PreTrainedModel, edit: EmbeddingEdit) -> Iterator[None]:
    """Put the rows in place. To untie, the head keeps the old weight and the embedding gets a copy of its own."""
    table: Any = hf.get_input_embeddings()
    before: nn.Parameter = table.weight
    rows = _rows(edit, before)
    untie = edit.head == "untie" and tied(hf)
    if untie:
        table.weight = nn.Parameter(before.detach().clone(), requires_grad=before.requires_grad)
    weight: Tensor = table.weight
    kept = weight.detach().index_select(0, rows)
    try:
        with torch.no_grad():
            weight.index_copy_(0, rows, edit.values.to(weight.device, weight.dtype))
        yield
    finally:
        if untie:
            table.weight = before
        else:
            with torch.no_grad():
                weight.index_copy_(0, rows, kept)


def tied(hf: PreTrainedModel) -> bool:
    """Whether the vocabulary head uses the input embedding's weight."""
    head: Any = hf.get_output_embeddings()  # type: ignore[no-untyped-call]
    table: Any = hf.get_input_embeddings()
    return head is not None and head.weight is table.weight


def _rows(edit: EmbeddingEdit, weight: Tensor) -> Tensor:
    rows = torch.as_tensor(list(edit.rows), dtype=torch.long, device=weight.device)
    fits = tuple(edit.values.shape) == (len(rows), weight.shape[1]) and len(set(edit.rows)) == len(rows)
    if not fits or (len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < len(weight))):
        raise PatchError(
            f"{len(rows)} embedding rows with values {tuple(edit.values.shape)} do not fit a table of "
            f"{tuple(weight.shape)}: each row once, and one vector for each."
        )
    return rows
