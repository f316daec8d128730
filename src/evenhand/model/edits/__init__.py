"""Edits put in place: one file = one kind. `install` is the only way in."""

from __future__ import annotations

from contextlib import ExitStack
from typing import assert_never

from transformers import PreTrainedModel

from evenhand.core import edits as kinds
from evenhand.model.anatomy import Anatomy
from evenhand.model.attention import edited, segmented
from evenhand.model.edits.activation import activation
from evenhand.model.edits.branch import branch
from evenhand.model.edits.embedding import embedding
from evenhand.model.edits.logits import logits
from evenhand.model.edits.weight import weight


def install(hf: PreTrainedModel, anatomy: Anatomy, edit: kinds.Edit, undo: ExitStack) -> None:
    """Put one edit in place; `undo` takes it away again. Edits of requests change nothing in the model itself."""
    match edit:
        case kinds.ActivationEdit():
            undo.enter_context(activation(hf, anatomy, edit))
        case kinds.WeightEdit():
            undo.enter_context(weight(hf, edit))
        case kinds.EmbeddingEdit():
            undo.enter_context(embedding(hf, edit))
        case kinds.AttentionEdit():
            undo.enter_context(edited(hf, anatomy, edit))
        case kinds.SegmentEdit():
            undo.enter_context(segmented(hf, anatomy, edit))
        case kinds.BranchEdit():
            undo.enter_context(branch(hf, edit))
        case kinds.LogitsEdit():
            undo.enter_context(logits(hf, edit))
        case kinds.BranchingEdit() | kinds.ScoreEdit() | kinds.PromptEdit():
            pass
        case _:
            assert_never(edit)
