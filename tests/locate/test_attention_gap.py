from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.fixtures import planted, tiny
from tests.locate import made_up

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose, Compare
from evenhand.locate._run import locate
from evenhand.locate._twins import Twins, gaps, twins
from evenhand.locate.attention_gap import AttentionGap
from evenhand.model import Model


def pair(first: str, second: str, context: str = "") -> Item:
    request = Choose(context, (first, second, " mat")) if context else Compare((first, second, "mat"))
    texts = {"stereotype": first, "anti-stereotype": second}
    return Item("a", "a", Origin("t", "t", 1), (request,), texts=texts)


def kl(p: list[float], q: list[float]) -> float:
    return float(np.sum(np.array(p) * np.log(np.array(p) / np.array(q))))


def test_the_gap_of_weights_made_by_hand() -> None:
    # tokens 0, 1, 3 of the first correspond to 0, 2, 3 of the second; the others are dropped
    made = Twins(((1, 2, 3, 4), (1, 5, 2, 4)), ((0, 1, 3), (0, 2, 3)), (frozenset({2}), frozenset({1})))
    first = [[1.0, 0, 0, 0], [0.25, 0.75, 0, 0], [0.1, 0.3, 0.4, 0.2]]  # queries 0, 1, 3
    second = [[1.0, 0, 0, 0], [0.2, 0.6, 0.2, 0], [0.4, 0.3, 0.1, 0.2]]  # queries 0, 2, 3
    found = gaps(torch.tensor([[first], [second]]), [made])
    s1, a1 = [0.25, 0.75], [0.5, 0.5]
    s3, a3 = [0.1 / 0.6, 0.3 / 0.6, 0.2 / 0.6], [0.4 / 0.7, 0.1 / 0.7, 0.2 / 0.7]
    m1, m3 = np.mean([s1, a1], axis=0).tolist(), np.mean([s3, a3], axis=0).tolist()
    expected = [
        (kl(a1, s1) + kl(a3, s3)) / 2,
        (kl(s1, a1) + kl(s3, a3)) / 2,
        (kl(s1, m1) + kl(a1, m1) + kl(s3, m3) + kl(a3, m3)) / 4,
    ]
    assert found[:, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_the_second_softmax_flattens_the_gap() -> None:
    made = Twins(((1, 2), (1, 3)), ((0, 1), (0, 1)), (frozenset({1}), frozenset({1})))
    weights = torch.tensor([[[[1.0, 0.0], [0.9, 0.1]]], [[[1.0, 0.0], [0.2, 0.8]]]])
    plain, flat = gaps(weights, [made])[0], gaps(weights, [made], paper_softmax=True)[0]
    p, q = (np.exp(x) / np.exp(x).sum() for x in (np.array([0.2, 0.8]), np.array([0.9, 0.1])))
    assert float(flat) == pytest.approx(kl(p.tolist(), q.tolist()), abs=1e-5)
    assert float(flat) < float(plain) / 4


def test_pairs_of_different_sizes_in_one_batch_do_not_touch_each_other() -> None:
    short = Twins(((1, 2), (1, 3)), ((0, 1), (0, 1)), (frozenset({1}), frozenset({1})))
    long = Twins(((1, 2, 3), (1, 4, 3)), ((0, 1, 2), (0, 1, 2)), (frozenset({1}), frozenset({1})))
    weights = torch.rand((4, 2, 3, 3), generator=torch.Generator().manual_seed(0))
    together = gaps(weights, [short, long]).view(3, 2, 2)
    assert torch.allclose(together[:, 1], gaps(weights[2:], [long]).view(3, 1, 2)[:, 0], atol=1e-6)
    assert torch.allclose(together[:, 0], gaps(weights[:2, :, :2, :2], [short]).view(3, 1, 2)[:, 0], atol=1e-6)


def test_tokens_correspond_by_equal_blocks_and_replaced_ones_of_equal_length() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    made = twins(model, pair("the cat sat on a mat", "the dog sat on a mat"))
    assert made is not None
    assert made.kept[0] == made.kept[1] == tuple(range(len(made.ids[0])))
    assert [len(places) for places in made.changed] == [1, 1]
    longer = twins(model, pair("the cat sat", "the big cat sat"))
    assert longer is not None
    assert len(longer.kept[0]) == len(longer.kept[1]) == len(longer.ids[0])
    assert [len(places) for places in longer.changed] == [0, 1]
    assert twins(model, pair("the cat", "the cat")) is None


def test_a_context_is_read_with_both_texts() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    made = twins(model, pair(" cat sat", " dog sat", context="the house is big."))
    assert made is not None
    assert model.tokenizer.decode(made.ids[1], skip_special_tokens=True) == "the house is big. dog sat"


def test_values_are_those_of_the_models_own_weights() -> None:
    hf = tiny.network("llama")
    model = Model.wrap(hf, tiny.tokenizer())
    item = pair("the cat sat on a mat", "the dog sat on a mat")
    found = locate(model, AttentionGap(pairs=1), [item, item])
    hf.set_attn_implementation("eager")
    a, b = (
        [one[0].detach().double().numpy() for one in
         hf(torch.tensor([model.tokenizer(text).input_ids]), output_attentions=True).attentions]
        for text in item.texts.values()
    )  # fmt: skip
    expected = [
        np.mean([kl(b[n][h, i, : i + 1].tolist(), a[n][h, i, : i + 1].tolist()) for i in range(1, a[n].shape[1])])
        for n in range(3)
        for h in range(4)
    ]
    assert [score.details["kl"] for score in found.scores] == pytest.approx(expected, abs=1e-5)
    for score in found.scores:
        assert score.value == pytest.approx((score.details["kl"] or 0) - (score.details["gap_of_stand_ins"] or 0))


def test_a_planted_head_is_ranked_first() -> None:
    hits = 0
    for seed in range(5):
        made = planted.negative_head(seed, word="yes")
        rng = np.random.default_rng(seed)
        items = made_up.twins([" yes"] * 8, [str(rng.choice(made_up.CUES)) for _ in range(8)], rng)
        top = locate(Model.wrap(made.hf, made.tokenizer), AttentionGap(pairs=19), items).top(1)
        hits += bool(top) and top[0].site == str(made.sites[0])
    assert hits >= 4


def test_random_twins_in_a_random_model_are_seldom_found() -> None:
    false = 0
    for seed in range(6):
        made = planted.clean(seed)
        items = made_up.random_twins(8, np.random.default_rng(seed))
        found = locate(Model.wrap(made.hf, made.tokenizer), AttentionGap(pairs=19), items)
        false += bool(found.top(1))
    assert false <= 2


def test_texts_without_a_difference_are_refused() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    with pytest.raises(DataError, match="corresponding and with different tokens"):
        locate(model, AttentionGap(), [pair("the cat", "the cat")])


@pytest.mark.parametrize("family", ["gpt2", "gemma3", "bloom", "gpt_neo"])
def test_other_families_are_read_alike_in_batches_and_one_by_one(family: str) -> None:
    items = made_up.random_twins(4, np.random.default_rng(1))
    values = []
    for tokens in (16, 4096):
        model = Model.wrap(tiny.network(family), tiny.tokenizer(), batch_tokens=tokens)
        values.append([s.details["kl"] for s in locate(model, AttentionGap(pairs=1), items).scores])
    assert values[0] == pytest.approx(values[1], abs=1e-4)
