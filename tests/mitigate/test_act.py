"""ACT: sinks and calibrated weights by hand, what calibration must keep, and how heads are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.items import items_for
from tests.fixtures.untouched import untouched
from torch import Tensor

from evenhand.core.errors import DataError, UnsupportedSite, UsageError
from evenhand.core.record import Map, Table
from evenhand.core.requests import Choose, Compare, Complete, Completion, Scores
from evenhand.measure.position_bias import PositionBias
from evenhand.mitigate._act import Sinks, calibrated, edit_of
from evenhand.mitigate._act_search import Search, accepted, outcomes, questions, uncertainty
from evenhand.mitigate._fit import fit
from evenhand.mitigate._mitigation import FitOn
from evenhand.mitigate.act import Act
from evenhand.model import Model

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
        (Sinks(2.0, None, False, 1, shift=1), [False, False, True, False]),
        (Sinks(2.0, None, False, 1, shift=3), [False, True, False, False]),  # round the end, past the first token
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
    """Cached steps agree with plain scoring of what was written."""
    model = model_of()
    prompts = ["the cat sat on the mat and the dog ran", "is the cat good? yes", "the big house and a small dog"]
    with model.install([edit_of(layer, (0, 1, 2, 3), SINKS, 0.2) for layer in (0, 1, 2)]):
        written = model.answer([Complete(prompt, 6) for prompt in prompts])
        alone = [model.answer([Complete(prompt, 6)])[0] for prompt in prompts]
    assert written == alone
    plain = model.answer([Complete(prompt, 6) for prompt in prompts])
    assert all(isinstance(one, Completion) for one in plain)
    assert plain != written


def test_a_text_without_a_prompt_does_not_change() -> None:
    model = model_of()
    asked = [Compare(("the cat sat on the mat and the dog ran.", "a cat"))]
    plain = totals(model, asked)
    with model.install([edit_of(layer, (0, 1, 2, 3), SINKS, 0.2) for layer in (0, 1, 2)]):
        assert np.allclose(totals(model, asked), plain, atol=1e-5)


def test_outcomes_are_those_of_the_engine() -> None:
    model = model_of()
    asked = questions(model, ITEMS, "act")
    edit = edit_of(1, (0, 2), SINKS, 0.3)
    with model.install([edit]):
        scores = [[s.total for s in one.scores] for one in model.answer([i.requests[0] for i in ITEMS])]  # type: ignore[union-attr]
    found = outcomes(model, (edit,), asked)
    for row, values, question in zip(found, scores, asked, strict=True):
        assert row[0] == float(np.argmax(values) == question.truth)
        assert row[1] == pytest.approx(values[question.truth] - np.logaddexp.reduce(values), abs=1e-4)


@pytest.mark.parametrize("form", ["segments", "letters"])
def test_a_question_is_asked_once_and_its_right_option_is_known(form: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("".join(f"{n}?,a cat,a dog,a mat,a house,C\n" for n in ("one", "two", "three", "four")), "utf-8")
    items = [i for i in PositionBias(file=str(path), form=form).load().items if i.groups["place"] in "23"]
    asked = questions(model_of(), items, "act")
    assert len(asked) == 4
    said = model_of().tokenizer.decode(list(asked[0].texts[asked[0].truth].tokens)[asked[0].texts[0].start :])
    assert said == (" a mat" if form == "segments" else " B")


def test_heads_without_sinks_are_not_run_and_gain_nothing() -> None:
    model = model_of()
    asked = questions(model, ITEMS, "act")
    every = [(layer, head) for layer in range(3) for head in range(4)]
    high = Sinks(1.0, 0.5, False, 2)
    search = Search(model, high, 0.0, every, asked)
    search.exhaustive()
    assert search.passes < len(every) * len(asked)
    for layer, head in every:
        slow = outcomes(model, (edit_of(layer, (head,), high, 0.0),), asked) - search.plain
        assert np.allclose(search.gains.get((layer, head), 0.0), slow, atol=1e-4)


def test_halving_keeps_what_is_best_on_the_questions_seen() -> None:
    model = model_of()
    asked = questions(model, ITEMS, "act")[:4]
    every = [(layer, head) for layer in range(3) for head in range(4)]
    full = Search(model, SINKS, 0.2, every, asked)
    full.exhaustive()
    half = Search(model, SINKS, 0.2, every, asked)
    left = half.halving(2)
    first = sorted(full.heads, key=lambda head: (*(-full.gains[head][:2].mean(0)).round(9).tolist(), head))
    assert left == sorted(first[: (len(full.heads) + 1) // 2])
    for head in left:
        assert np.allclose(half.gains[head], full.gains[head], atol=1e-5)
    assert half.passes < full.passes


def test_a_head_is_accepted_if_it_does_not_hurt() -> None:
    gains = np.array([[0.0, 0.1], [-0.01, 0.2], [0.02, -0.1], [0.02, 0.0]])
    assert accepted(gains, 0.0).tolist() == [True, False, False, True]
    assert accepted(gains, 0.01).tolist() == [False, False, False, True]
    assert accepted(gains, -1.0).tolist() == [True, True, False, True]


def test_uncertainty_of_heads_that_always_or_by_chance_help() -> None:
    rng = np.random.default_rng(0)
    sure = np.full((1, 40, 2), 0.2)
    noise = np.stack([np.zeros((6, 40)), rng.normal(size=(6, 40))], axis=-1)
    again, chance = uncertainty(np.concatenate([sure, noise]), 0.0, rng)
    assert again[0] == 1.0
    assert ((again[1:] > 0.0) & (again[1:] < 1.0)).all()
    assert chance == pytest.approx(3.5, abs=0.5)


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
