"""The search for heads of ACT: what is asked, which heads have sinks, halving, and how sure the choice is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.mitigate.test_act import ITEMS, SINKS, model_of
from torch import Tensor

from evenhand.core.edits import AttentionEdit, Marked
from evenhand.measure.position_bias import PositionBias
from evenhand.mitigate._act import Sinks, edit_of
from evenhand.mitigate._act_search import Question, Search, accepted, outcomes, questions, uncertainty, with_sinks
from evenhand.model import Model
from evenhand.model.plan import Text


class AtThird(Sinks):
    """The third token of a prompt is the only sink."""

    def find(self, weights: Tensor, counted: Tensor) -> Tensor:
        return (torch.arange(weights.shape[-1]) == 2).expand(*weights.shape[:2], -1)


@pytest.mark.parametrize(("opening", "able"), [((1, 2), False), ((2,), True), ((), True)])
def test_the_search_leaves_out_what_opens_a_text_as_the_edit_does(opening: tuple[int, ...], able: bool) -> None:
    asked = [Question((Text((1, 40, 1, 50, 60), 4),), 0)]
    found = with_sinks(model_of(), AtThird(1.0, None, False, 1, opening), [0, 2], asked)
    assert found.shape == (1, 2, 4)
    assert (found == able).all()


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


class Noise(Search):
    """Gains in the log-probability that are nothing but chance, all heads with sinks everywhere."""

    def __init__(self, heads: int, questions: int) -> None:
        self.asked = [None] * questions  # type: ignore[list-item]
        self.heads = [(0, head) for head in range(heads)]
        self._acts = {head: np.ones(questions, dtype=np.bool_) for head in self.heads}
        self.gains, self.used, self.last = {}, 0, []
        self._noise = np.random.default_rng(0).normal(size=(heads, questions))

    def _extend(self, head: tuple[int, int], upto: int) -> None:
        noise = self._noise[head[1], :upto]
        self.gains[head] = np.stack([np.zeros(upto), noise], axis=-1)


@pytest.mark.parametrize(("rounds", "used", "left"), [(1, 0, 1600), (4, 16, 200)])
def test_halving_makes_heads_without_effect_no_likelier_to_be_accepted(rounds: int, used: int, left: int) -> None:
    """Half of them pass by chance, and so say the signs; the questions that decided who is left would pass them all."""
    search = Noise(1600, 32)
    last = search.halving(rounds)
    assert (search.used, len(last)) == (used, left)
    gains = np.stack([search.judged(head) for head in last])
    assert gains.shape == (left, 32 - used, 2)
    spread = 4 * np.sqrt(left) / 2
    assert accepted(gains.mean(axis=1), 0.0).sum() == pytest.approx(left / 2, abs=spread)
    assert uncertainty(gains, 0.0, np.random.default_rng(1))[1] == pytest.approx(left / 2, abs=spread)
    if used:
        seen = np.stack([search.gains[head][:used] for head in last])
        assert accepted(seen.mean(axis=1), 0.0).all()


def test_a_head_without_sinks_in_the_questions_that_judge_is_not_accepted() -> None:
    search = Noise(4, 8)
    search._acts[0, 2][4:] = False
    search._noise[2] = 9.0
    assert (0, 2) not in search.halving(2)
    assert (0, 2) in search.gains


@pytest.mark.parametrize("window", [4, 200])
@pytest.mark.parametrize("family", ["mistral", "gemma3"])
def test_sinks_of_the_search_are_those_of_the_edit_also_with_windows(family: str, window: int) -> None:
    model = Model.wrap(tiny.network(family, sliding_window=window), tiny.tokenizer(), batch_tokens=1024)
    asked = questions(model, ITEMS, "act")
    layers = range(len(model.anatomy.layers))
    sinks = Sinks(alpha=0.5, tau=None, include_first=False, min_queries=5)  # more queries than a short window shows
    found = with_sinks(model, sinks, layers, asked)
    assert found.any() == (window > 4 or family == "gemma3")
    for layer in layers:
        marks: list[Tensor] = []

        def find(weights: Tensor, counted: Tensor, marks: list[Tensor] = marks) -> Tensor:
            marks.append(sinks.find(weights, counted))
            return marks[-1]

        heads = tuple(range(model.anatomy.heads))
        edit = AttentionEdit(layer, heads, marked=Marked(find, lambda weights, _: weights))
        for number, question in enumerate(asked):
            prompt = list(question.texts[0].tokens[: question.texts[0].start])
            with model.install([edit]), torch.inference_mode():
                model.hf(torch.tensor([prompt]), use_cache=False)
            assert marks[-1][0].any(-1).tolist() == found[number, layer].tolist()


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
