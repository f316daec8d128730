"""ACT: sinks and calibrated weights by hand, what calibration must keep, and how heads are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.items import items_for
from tests.fixtures.untouched import untouched
from torch import Tensor

from evenhand.core.edits import AttentionEdit, Marked
from evenhand.core.errors import DataError, UnsupportedSite, UsageError
from evenhand.core.record import Map, Table
from evenhand.core.requests import Choose, Compare, Complete, Completion, Scores
from evenhand.mitigate._act import Sinks, calibrated, edit_of
from evenhand.mitigate._act_search import (
    questions,
    sinks_of,
)
from evenhand.mitigate._fit import fit
from evenhand.mitigate._mitigation import FitOn
from evenhand.mitigate.act import Act
from evenhand.model import Model
from evenhand.model.positions import prompts_end

ITEMS = items_for(Act.fit_on, ())
ALL_LAYERS: Mapping[str, Any] = {"skip_first": 0, "skip_last": 0, "alpha": 1.0, "min_queries": 2}
SINKS = Sinks(alpha=1.0, tau=None, include_first=False, min_queries=2)


def model_of(family: str = "llama") -> Model:
    made = Model.wrap(tiny.network(family), tiny.tokenizer(), batch_tokens=1024)
    assert made.anatomy.layers
    return made


def attention(length: int, *, rows: int = 2, heads: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Causal weights [B, H, L, L] and the queries that count."""
    scores = torch.randn(rows, heads, length, length, generator=torch.Generator().manual_seed(seed))
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return scores.masked_fill(~causal, -torch.inf).softmax(-1), causal.expand(rows, 1, -1, -1)


WEIGHTS = torch.tensor(
    [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.2, 0.6, 0.2, 0.0], [0.1, 0.5, 0.2, 0.2]], dtype=torch.float32
)[None, None]
"""One head; column means 1.8 / 4, 1.6 / 3, 0.4 / 2, 0.2."""
SEEN = torch.ones(4, 4, dtype=torch.bool).tril()[None, None]


@pytest.mark.parametrize(
    ("sinks", "wanted"),
    [
        (Sinks(2.0, None, False, 1), [False, True, False, False]),  # 2 / 4 = 0.5 < 0.533
        (Sinks(2.2, None, False, 1), [False, False, False, False]),
        (Sinks(9.9, 0.19, False, 1), [False, True, True, True]),
        (Sinks(9.9, 0.19, False, 2), [False, True, True, False]),
        (Sinks(1.0, None, True, 1), [True, True, False, False]),
    ],
)
def test_sinks_by_hand(sinks: Sinks, wanted: list[bool]) -> None:
    assert sinks.find(WEIGHTS, SEEN)[0, 0].tolist() == wanted


def test_calibrated_weights_by_hand() -> None:
    at = torch.tensor([False, True, False, False])[None, None]
    made = calibrated(WEIGHTS, at, 0.4)[0, 0]
    # row 2: 0.36 are freed and go to 0.2 and 0.2; row 3: 0.3 are freed and go to 0.1, 0.2, 0.2
    wanted = [[1, 0, 0, 0], [0.8, 0.2, 0, 0], [0.38, 0.24, 0.38, 0], [0.16, 0.2, 0.32, 0.32]]
    assert torch.allclose(made, torch.tensor(wanted, dtype=torch.float32), atol=1e-6)


def test_rows_keep_their_sums_and_no_key_after_the_query_gets_weight() -> None:
    weights, seen = attention(12)
    for beta in (0.0, 0.3, 1.0):
        made = calibrated(weights, SINKS.find(weights, seen), beta)
        assert torch.allclose(made.sum(-1), torch.ones(()), atol=1e-6)
        assert (made.triu(1) == 0).all()
        assert (made >= 0).all()


def test_it_is_the_identity_with_all_of_the_weight_or_without_sinks() -> None:
    weights, seen = attention(9)
    assert SINKS.find(weights, seen).any()
    assert torch.allclose(calibrated(weights, SINKS.find(weights, seen), 1.0), weights, atol=1e-7)
    none = torch.zeros(2, 3, 9, dtype=torch.bool)
    assert torch.equal(calibrated(weights, none, 0.2), weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_row_that_looks_at_nothing_but_sinks_stays(dtype: torch.dtype) -> None:
    weights = torch.tensor([[0.7, 0.3, 0.0], [0.5, 0.25, 0.25]], dtype=dtype)[None, None]
    made = calibrated(weights, torch.tensor([True, True, False])[None, None], 0.4)
    assert torch.equal(made[0, 0, 0], weights[0, 0, 0])
    assert torch.allclose(made.sum(-1).float(), torch.ones(()), atol=1e-2)
    assert made[0, 0, 1, 2] > 0.25


def test_padding_on_the_left_moves_the_sinks_along() -> None:
    weights, seen = attention(8, rows=1)
    found = SINKS.find(weights, seen)
    wide, counted = torch.full((1, 3, 11, 11), 1 / 11), torch.zeros(1, 1, 11, 11, dtype=torch.bool)
    wide[..., 3:, 3:], wide[..., 3:, :3], counted[..., 3:, 3:] = weights, 0.0, seen
    assert torch.equal(SINKS.find(wide, counted)[..., 3:], found)
    assert not SINKS.find(wide, counted)[..., :3].any()


@pytest.mark.parametrize("include_first", [False, True])
def test_what_opens_a_text_is_no_sink_in_the_middle_either(include_first: bool) -> None:
    """A chat format that writes the beginning-of-text token again: its columns keep their weight unless it may go."""
    template = "{% for m in messages %}<bos>{{ m['content'] }}{% endfor %}<bos>the cat said:"
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer(chat=template), batch_tokens=1024)
    assert model.anatomy.layers
    act = Act(**{**ALL_LAYERS, "alpha": 1e-6, "include_first": include_first, "heads": ("L0.heads.1",)})
    (edit,) = act.edits({"heads": torch.tensor([[0, 1]])}, model)
    assert isinstance(edit, AttentionEdit)
    assert edit.marked is not None
    seen: list[Tensor] = []

    def change(weights: Tensor, marks: Tensor) -> Tensor:
        seen.append(marks)
        return weights

    prompts = ["the cat sat on the mat", "a dog"]
    asked: list[Choose | Complete] = [Choose(prompt, (" yes", " no")) for prompt in prompts]
    asked += [Complete(prompt, 2) for prompt in prompts]
    spied = Marked(edit.marked.find, change, edit.marked.never)
    for request in asked:
        ids = model.tokenizer.apply_chat_template(
            [{"role": "user", "content": request.prompt}], add_generation_prompt=True, return_dict=False
        )
        opens = [token == model.tokenizer.bos_token_id for token in ids]
        assert sum(opens) == 2
        able = [place <= len(ids) - act.min_queries for place in range(len(ids))]
        seen.clear()
        with model.install([type(edit)(0, (1,), marked=spied)]):
            model.answer([request], chat=True)
        found = seen[-1][0, 0, : len(ids)].tolist()  # after passes of the self-check
        assert found == [one and (include_first or not opening) for one, opening in zip(able, opens, strict=True)]


def test_a_patch_that_changes_nothing_changes_nothing() -> None:
    model = model_of()
    asked = [item.requests[0] for item in ITEMS]
    plain = totals(model, asked)
    for settings in ({"beta": 1.0}, {"beta": 0.1, "alpha": 1e6}):
        made = Act(**{**ALL_LAYERS, **settings, "heads": ("L0.heads.1", "L1.heads.0")})
        with model.install(fit(model, made, ITEMS)):
            assert np.allclose(totals(model, asked), plain, atol=1e-4)
    with model.install(fit(model, Act(**{**ALL_LAYERS, "heads": ("L0.heads.1",)}), ITEMS)):
        assert not np.allclose(totals(model, asked), plain, atol=1e-2)


def totals(model: Model, asked: Any) -> list[float]:
    return [score.total for one in model.answer(asked) if isinstance(one, Scores) for score in one.scores]


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_what_follows_a_prompt_is_changed_at_the_sinks_of_the_prompt(family: str) -> None:
    """A token after the prompt attends as by hand: the plain forward's weights, calibrated at the prompt's sinks."""
    model = model_of(family)
    prompt, option = "the cat sat on the mat and the dog ran", " in the house"
    ids = model.tokenizer(prompt + option)["input_ids"]
    size = len(model.tokenizer(prompt)["input_ids"])
    found: list[Tensor] = []
    with model.attention([0], lambda _, w: found.append(w.clone())), torch.inference_mode():
        model.hf(torch.tensor([ids]))
    weights = found[0][:, :1]
    counted = weights[..., :size, :] > 0
    marks = SINKS.find(weights[..., :size, :], counted)
    assert marks.any()
    wanted = calibrated(weights, marks, 0.3)
    got: list[Tensor] = []
    edit = edit_of(0, (0,), SINKS, 0.3)
    assert edit.marked is not None
    change = edit.marked.change
    spied = type(edit.marked)(edit.marked.find, lambda w, m: got.append(change(w, m)) or got[-1])  # type: ignore[func-returns-value]
    with model.install([type(edit)(0, (0,), marked=spied)]):
        model.answer([Choose(prompt, (option,))])
    real = got[-1][:, :, : len(ids) - 1, : len(ids) - 1]
    assert torch.allclose(real, wanted[:, :, : len(ids) - 1, : len(ids) - 1], atol=1e-5)


def test_continuations_use_the_sinks_of_their_prompt_in_a_batch_with_padding() -> None:
    """Every token that is written, step by step with a cache, is the likeliest one of a plain pass over the text."""
    model = model_of()
    prompts = ["the cat sat on the mat and the dog ran", "is the cat good? yes", "the big house and a small dog"]
    with model.install([edit_of(layer, (0, 1, 2, 3), SINKS, 0.2) for layer in (0, 1, 2)]):
        written = model.answer([Complete(prompt, 6) for prompt in prompts])
        for prompt, one in zip(prompts, written, strict=True):
            assert isinstance(one, Completion)
            ids = model.tokenizer(prompt)["input_ids"]
            with torch.inference_mode(), prompts_end(model.hf, [len(ids) - 1]):
                logits = model.hf(torch.tensor([[*ids, *one.tokens]]), use_cache=False).logits[0, len(ids) - 1 : -1]
            assert logits.argmax(-1).tolist() == list(one.tokens)
    plain = model.answer([Complete(prompt, 6) for prompt in prompts])
    assert all(isinstance(one, Completion) for one in plain)
    assert plain != written


def test_a_text_without_a_prompt_does_not_change() -> None:
    model = model_of()
    asked = [Compare(("the cat sat on the mat and the dog ran.", "a cat"))]
    plain = totals(model, asked)
    with model.install([edit_of(layer, (0, 1, 2, 3), SINKS, 0.2) for layer in (0, 1, 2)]):
        assert np.allclose(totals(model, asked), plain, atol=1e-5)


@pytest.mark.parametrize("given", [(), ("L0.heads.1", "L2.heads.0")])
def test_the_sham_damps_sinks_of_as_many_heads_that_were_not_chosen(given: tuple[str, ...]) -> None:
    """Heads that have sinks: it takes as much as the method does, of columns of the same kind."""
    model = model_of()
    made = Act(**{**ALL_LAYERS, "tau": 0.22, "least": -1.0, "sample": 6, "rounds": 2, "heads": given})
    patch = fit(model, made, ITEMS, seed=5)
    heads, others = ({tuple(one) for one in patch.tensors[name].tolist()} for name in ("heads", "others"))
    every = [(layer, head) for layer in range(3) for head in range(4)]
    able = set(sinks_of(model, made._sinks(model), every, questions(model, ITEMS, "act")))
    assert others == able - heads
    assert 0 < len(able) < len(every)
    (sham,) = made.shams(ITEMS, patch.tensors, np.random.default_rng(0))
    theirs = {tuple(one) for one in fit(model, sham.method, ITEMS).tensors["heads"].tolist()}
    assert theirs <= others
    assert len(theirs) == len(heads)
    assert sham.name == "sinks of other heads"
    few = {"heads": torch.tensor(every[:3]), "others": patch.tensors["others"][:1]}
    (sham,) = made.shams(ITEMS, few, np.random.default_rng(0))
    assert sham.name == "sinks of other heads (1 for 3)"
    assert made.shams(ITEMS, {**few, "others": few["others"][:0]}, np.random.default_rng(0)) == ()


def test_refusals_leave_nothing_behind() -> None:
    model = model_of()
    with untouched(model.hf):
        with pytest.raises(DataError, match="right answer"):
            fit(model, Act(**ALL_LAYERS), items_for(FitOn("none such"), ("text",)))
        with pytest.raises(UsageError, match="Lower skip_first"):
            fit(model, Act(), ITEMS)
        with pytest.raises(UnsupportedSite, match="There is no layer"):
            fit(model, Act(heads=("L9.heads.0",)), ITEMS)
    with pytest.raises(UnsupportedSite, match="attention interface"):
        fit(model_of("bloom"), Act(**ALL_LAYERS), ITEMS)


def test_only_layers_with_calibrated_heads_have_an_edit() -> None:
    model = model_of()
    made = Act(**{**ALL_LAYERS, "heads": ("L2.heads.3", "L0.heads.1", "L2.heads.0")})
    edits = made.edits(fit(model, made, ITEMS).tensors, model)
    assert [(edit.layer, edit.heads) for edit in edits] == [(0, (1,)), (2, (0, 3))]  # type: ignore[union-attr]


def test_the_report_shows_gains_and_accepted_heads() -> None:
    model = model_of()
    patch = fit(model, Act(**{**ALL_LAYERS, "least": -1.0, "sample": 6, "rounds": 2}), ITEMS, seed=5)
    gains, table = patch.provenance.findings
    assert isinstance(gains, Map)
    assert isinstance(table, Table)
    assert [list(one) for one in gains.chosen] == patch.tensors["heads"].tolist()
    for layer, head in gains.chosen:
        assert (gains.values[layer][head] or 0.0) >= 0
    assert [row[0] for row in table.rows] == [f"L{layer}.heads.{head}" for layer, head in gains.chosen]


def test_no_head_may_pass_and_then_there_is_no_sham() -> None:
    model = model_of()
    made = Act(**{**ALL_LAYERS, "least": 0.9, "sample": 4, "rounds": 2})
    patch = fit(model, made, ITEMS, seed=1)
    assert patch.tensors["heads"].shape == (0, 2)
    assert "changes nothing" in patch.provenance.notes[-1]
    assert made.shams(ITEMS, patch.tensors, np.random.default_rng(0)) == ()
