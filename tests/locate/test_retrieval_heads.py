"""Retrieval heads: a planted one is found, none in models without; scores by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import planted_heads, tiny
from tests.fixtures.items import items_for

from evenhand.core.errors import DataError
from evenhand.locate._run import locate
from evenhand.locate.retrieval_heads import RetrievalHeads
from evenhand.model import Model
from evenhand.model.needles import Needle, copied, looked_at, needles, written

ITEMS = items_for(RetrievalHeads.locate_on, ("text",))
TEXTS = [item.texts["text"] for item in ITEMS]
QUICK = RetrievalHeads(sample=12, words=4, length=40, shuffles=99)


def model_of(hf: object) -> Model:
    made = Model.wrap(hf, tiny.tokenizer(), batch_tokens=2048)  # type: ignore[arg-type]
    assert made.anatomy.layers
    return made


def test_scores_by_hand() -> None:
    """Tokens 7, 8, 7 hidden in places 2 to 4; each row of `looked` is a head, each column a step."""
    one = Needle((1, 5, 7, 8, 7, 9, 7, 8, 7), (2, 3, 4), (5, 6, 7))
    assert one.words == (7, 8, 7)
    looked = np.array([[2, 3, 4], [2, 3, 2], [3, 2, 3], [5, 3, 0], [4, 3, 4]])
    every = np.ones(3, dtype=np.bool_)
    # the second head looks at the first 7 twice: it counts once; the third looks at tokens that do not come next
    assert copied(looked, one, range(3), every).tolist() == pytest.approx([1, 2 / 3, 0, 1 / 3, 2 / 3])
    assert copied(looked, one, range(3), np.array([True, False, False]))[0] == pytest.approx(1 / 3)
    assert copied(looked, one, [1, 0, 2], every)[2] == pytest.approx(2 / 3)


def test_needles_hide_words_where_they_say() -> None:
    tokenizer: Any = tiny.tokenizer()
    made = needles(tokenizer, TEXTS, 8, words=4, length=30, rng=np.random.default_rng(0))
    for one in made:
        answer = [one.ids[query + 1] if query + 1 < len(one.ids) else None for query in one.queries]
        assert tuple(answer) == one.words
        assert len(one.queries) == len(one.places)
        said = tokenizer.decode(one.ids)
        assert said.count(tokenizer.decode(one.words)) >= 2
        assert said.startswith("<bos>")
    assert len({one.places[0] for one in made}) > 2
    with pytest.raises(DataError, match="twice as many"):
        needles(tokenizer, ["one two"], 2, words=4, length=30, rng=np.random.default_rng(0))


def test_where_heads_look_is_what_the_weights_say() -> None:
    model = model_of(tiny.network("llama"))
    made = needles(model.tokenizer, TEXTS, 3, words=4, length=30, rng=np.random.default_rng(1))
    found = looked_at(model, made, [0, 2])
    for one, rows in zip(made, found, strict=True):
        caught: dict[int, torch.Tensor] = {}

        def keep(layer: int, weights: torch.Tensor, caught: dict[int, torch.Tensor] = caught) -> None:
            caught[layer] = weights[0].clone()

        with torch.inference_mode(), model.attention([0, 2], keep):
            model.hf(torch.tensor([one.ids]))
        wanted = torch.cat([caught[0], caught[2]])[:, list(one.queries)].argmax(-1).numpy()
        assert (rows == wanted).mean() > 0.99  # two equal weights may fall either way


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_head_that_copies_is_found(seed: int) -> None:
    found = locate(model_of(planted_heads.copying(seed)), QUICK, ITEMS, seed=seed)
    best = max(found.scores, key=lambda score: score.value or 0.0)
    assert best.site == str(planted_heads.COPYING)
    assert best.value is not None
    assert best.value > 0.2  # words are spelt by letters here, which follow the same letters elsewhere, too
    assert best.null is not None
    assert best.value > 4 * best.null
    assert best.details["retrieval"] == 1.0
    assert best.p_corrected is not None
    assert best.p_corrected <= 0.02
    assert [score.site for score in found.top()] == [best.site]


def test_models_without_such_a_head_seldom_have_one() -> None:
    """24 models of random weights: in at most one or two is any of 12 heads found at the level of 5 %."""
    found = [
        bool(locate(model_of(tiny.network("llama", seed=seed)), QUICK, ITEMS, seed=seed).top()) for seed in range(24)
    ]
    assert sum(found) <= 3


def test_the_papers_way_counts_what_the_model_would_write() -> None:
    model = model_of(tiny.network("llama"))
    made = needles(model.tokenizer, TEXTS, 4, words=4, length=30, rng=np.random.default_rng(1))
    assert all(len(kept) == len(one.words) for kept, one in zip(written(model, made), made, strict=True))
    found = locate(model, QUICK.model_copy(update={"written": True}), ITEMS)
    assert all(score.value is None for score in found.scores)
    assert "passes 0 of 12" in found.notes[1]
