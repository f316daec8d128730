"""Marks: which queries belong to the prompt, and how marks last while it is continued."""

from __future__ import annotations

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched
from torch import Tensor

from evenhand.core.edits import AttentionEdit, Marked
from evenhand.model import Model
from evenhand.model.marks import counted
from evenhand.model.positions import prompts_are_read, prompts_end

IDS = torch.tensor([[1, 40, 7, 90, 33, 12, 8, 77, 65], [1, 22, 5, 6, 91, 60, 14, 3, 200]])


def added(visible: Tensor) -> Tensor:
    return torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)


def test_queries_of_the_prompt_without_padding_by_hand() -> None:
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    padded = causal.clone()
    padded[:, :2] = False  # two columns of padding on the left, whose own rows see anything
    padded[:2] = True
    visible = torch.stack([causal, padded])[:, None]
    found = counted(torch.zeros(2, 1, 5, 5), added(visible), torch.tensor([2, 4]))
    assert found[0, 0].any(-1).tolist() == [True, True, True, False, False]
    assert torch.equal(found[0, 0, :3], causal[:3])
    assert found[1, 0].any(-1).tolist() == [False, False, True, True, True]
    assert not found[1, 0, :, :2].any()


def test_a_window_hides_old_keys_but_no_query() -> None:
    causal = torch.ones(6, 6, dtype=torch.bool).tril().triu(-2)
    found = counted(torch.zeros(1, 1, 6, 6), added(causal[None, None]), torch.tensor([5]))
    assert torch.equal(found[0, 0], causal)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "mistral"])
def test_marks_last_while_the_prompt_is_continued(family: str) -> None:
    hf = tiny.network(family)
    model = Model.wrap(hf, tiny.tokenizer())
    assert model.anatomy.layers
    seen: list[tuple[int, Tensor]] = []

    def find(weights: Tensor, counted: Tensor) -> Tensor:
        marks = torch.zeros(*weights.shape[:2], weights.shape[-1], dtype=torch.bool)
        marks[..., weights.shape[-1] - 2] = True
        return marks

    def change(weights: Tensor, marks: Tensor) -> Tensor:
        seen.append((weights.shape[-1], marks))
        return weights

    edit = AttentionEdit(0, (1,), marked=Marked(find, change))
    assert not edit.pointwise
    with untouched(hf), torch.inference_mode(), model.install([edit]), prompts_end(hf, [5, 5]):
        cache = hf(IDS[:, :6], use_cache=True).past_key_values
        prompts_are_read(hf)
        for place in range(6, 9):
            with prompts_end(hf, [3]):  # another prompt in between, as where a close choice is decided
                hf(IDS[:1, :4])
            hf(IDS[:, place : place + 1], past_key_values=cache, use_cache=True)
    steps = seen[::2][1:]
    for step, (columns, marks) in enumerate(steps, start=7):
        assert marks.shape == (2, 1, columns)
        wanted = torch.arange(step)[step - columns :] == 4
        assert torch.equal(marks[0, 0], wanted)
