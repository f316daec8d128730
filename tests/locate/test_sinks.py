"""Sinks: the score by hand, a planted sink, and models without one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.fixtures import planted_heads, tiny
from tests.fixtures.items import items_for

from evenhand.core.errors import DataError
from evenhand.locate._run import locate
from evenhand.locate.sinks import Sinks, _even
from evenhand.model import Model

ITEMS = items_for(Sinks.locate_on, ("text",))
QUICK = Sinks(length=24, sample=8, draws=99)


def model_of(hf: object) -> Model:
    made = Model.wrap(hf, tiny.tokenizer(), batch_tokens=2048)  # type: ignore[arg-type]
    assert made.anatomy.layers
    return made


def test_the_score_is_the_mean_attention_to_the_first_token() -> None:
    model = model_of(tiny.network("llama"))
    found = locate(model, QUICK, ITEMS)
    ids = [model.tokenizer(item.texts["text"])["input_ids"][:24] for item in ITEMS]
    caught: dict[int, torch.Tensor] = {}
    with torch.inference_mode(), model.attention([0, 1, 2], lambda layer, w: caught.update({layer: w.clone()})):
        model.hf(torch.tensor(ids))
    firsts = torch.stack([caught[layer][..., 0].mean(-1) for layer in range(3)], dim=1).flatten(1)  # [N, 12]
    for number, score in enumerate(found.scores):
        assert score.value == pytest.approx(float(firsts[:, number].mean()), abs=1e-5)
        assert score.details["sink_rate"] == pytest.approx(float((firsts[:, number] > 0.3).float().mean()))
    rate = 100 * float((firsts > 0.3).float().mean())
    assert f"{rate:.2f} % of heads" in found.notes[1]


def test_even_attention_by_hand() -> None:
    assert _even(3).tolist() == pytest.approx([(1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 2, 1 / 3])


def test_a_planted_sink_is_found_and_heads_that_look_at_all_alike_are_none() -> None:
    found = locate(model_of(planted_heads.sink()), QUICK, ITEMS)
    assert [score.site for score in found.top()] == [str(planted_heads.SINK)]
    best = found.top()[0]
    assert best.value is not None
    assert best.value > 0.9
    assert best.details["sink_rate"] == 1.0
    even = float(_even(24)[0])
    for score in found.scores:
        if score.site != best.site:
            assert score.value == pytest.approx(even, abs=1e-4)
            assert score.null == pytest.approx(even, abs=1e-4)


def test_texts_that_are_too_short_are_refused() -> None:
    with pytest.raises(DataError, match="64 tokens or more"):
        locate(model_of(tiny.network("llama")), Sinks(length=64), [replace(ITEMS[0], texts={"text": "the cat"})])


def test_other_tokens_of_the_same_texts_are_the_null() -> None:
    """Only the opening token is special in the planted model; without it there is no sink."""
    found = locate(model_of(planted_heads.sink()), QUICK.model_copy(update={"opening": False}), ITEMS)
    assert found.top() == ()
    assert all(score.value == pytest.approx(float(_even(24)[0]), abs=1e-4) for score in found.scores)
