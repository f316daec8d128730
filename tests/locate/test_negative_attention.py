from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fixtures import planted, tiny
from tests.locate import made_up

from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.items import Item
from evenhand.core.requests import Choose
from evenhand.locate._run import locate
from evenhand.locate.negative_attention import NegativeAttention
from evenhand.model import Model
from evenhand.model.answer_words import Prompt, both_orders, encode, scores

TEXT = "Answer the following question with Yes or No.\n\nQuestion: Is Yes the house? No\nAnswer:"


def test_the_score_of_several_rows_and_split_words_is_the_sum_by_hand() -> None:
    # yes at 1; no at 2 and 3 (two tokens); queries 4 and 5
    prompt = Prompt((9,) * 6, (1,), (2, 3), 4)
    weights = torch.tensor([[[[0.3, 0.1, 0.15, 0.05, 0.4, 0.0], [0.1, 0.3, 0.05, 0.05, 0.2, 0.3]]]])
    total, rows = scores(weights, [prompt])
    expected = (0.2 + 0.1) * math.log(0.2 / 0.1) + (0.1 + 0.3) * math.log(0.1 / 0.3)
    assert float(total) == pytest.approx(expected, abs=1e-6)
    assert float(rows) == 2
    assert float(scores(weights[:, :, :1], [replace(prompt, ids=(9,) * 5)])[0]) == pytest.approx(0.3 * math.log(2))


def test_equal_weights_give_0_exchanged_words_negate_and_0_weight_is_finite() -> None:
    weights = torch.tensor([[[[0.0, 0.2, 0.2, 0.6]], [[0.0, 0.5, 0.1, 0.4]], [[0.7, 0.0, 0.3, 0.0]]]])
    forth = scores(weights, [Prompt((9,) * 4, (1,), (2,), 3)])[0][0]
    back = scores(weights, [Prompt((9,) * 4, (2,), (1,), 3)])[0][0]
    assert forth[0] == 0
    assert torch.allclose(forth, -back)
    assert float(forth[2]) == pytest.approx(0.3 * math.log(0.3 / 1e-12), rel=1e-5)


def test_rows_beyond_a_prompt_do_not_count() -> None:
    prompt = Prompt((9,) * 4, (0,), (1,), 2)
    weights = torch.tensor([[[[0.2, 0.4, 0.4, 0.0], [0.3, 0.3, 0.2, 0.2], [0.9, 0.1, 0.0, 0.0]]]])
    assert float(scores(weights, [prompt])[0]) == pytest.approx(0.6 * math.log(2), abs=1e-6)


def test_both_orders_exchange_the_words_of_the_instruction_only() -> None:
    first, second = both_orders(TEXT, "Yes", "No") or ("", "")
    assert first == TEXT
    assert second == TEXT.replace("Yes or No", "No or Yes")
    assert both_orders(second, "Yes", "No") == (first, second)
    assert both_orders("Is it so?\nNoon, Yesterday", "Yes", "No") is None


@pytest.mark.parametrize("chat", [False, True])
def test_words_are_found_in_the_instruction_and_queries_follow_it(chat: bool) -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer(chat=tiny.CHAT))
    prompt = encode(model, TEXT, "Yes", "No", chat=chat)
    assert prompt is not None
    tokens = model.tokenizer.convert_ids_to_tokens(prompt.ids)
    assert [tokens[n] for n in prompt.yes] == ["\u0120Yes"]
    assert [tokens[n] for n in prompt.no] == ["\u0120No"]
    after = model.tokenizer.decode(prompt.ids[prompt.start :])
    assert after.strip().startswith("Question:")
    assert after.endswith("assistant:" if chat else "Answer:")


def test_a_word_of_several_tokens_is_found_whole() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    prompt = encode(model, TEXT.replace("Yes", "Zebra"), "Zebra", "No", chat=False)
    assert prompt is not None
    assert len(prompt.yes) > 1
    assert model.tokenizer.decode([prompt.ids[n] for n in prompt.yes]).strip() == "Zebra"


def test_values_are_those_of_the_models_own_weights() -> None:
    """Against attention weights that transformers itself returns, one prompt at a time, rows and words counted here."""
    hf = tiny.network("llama")
    model = Model.wrap(hf, tiny.tokenizer())
    items = made_up.questions(4, np.random.default_rng(0))
    found = locate(model, NegativeAttention(pairs=1, null_sample=1), items)
    literal = locate(model, NegativeAttention(pairs=1, null_sample=1, paper_literal=True), items)
    hf.set_attn_implementation("eager")
    sums = np.zeros((4, 2, 3, 4))
    rows = np.zeros((4, 2))
    for n, item in enumerate(items):
        request = item.requests[0]
        assert isinstance(request, Choose)
        for order, text in enumerate((request.prompt, request.prompt.replace("Yes or No", "No or Yes"))):
            ids = model.tokenizer(text).input_ids
            names = model.tokenizer.convert_ids_to_tokens(ids)
            yes, no = names.index("\u0120Yes"), names.index("\u0120No")
            dot = names.index(".", max(yes, no))
            weights = hf(torch.tensor([ids]), output_attentions=True).attentions
            rows[n, order] = len(ids) - dot - 1
            for layer, one in enumerate(weights):
                for head in range(4):
                    a = one[0, head, dot + 1 :].detach().double().numpy()
                    sums[n, order, layer, head] = np.sum((a[:, yes] + a[:, no]) * np.log(a[:, no] / a[:, yes]))
    expected = (sums / rows[:, :, None, None]).mean(axis=(0, 1)).ravel()
    assert [score.value for score in found.scores] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [score.value for score in literal.scores] == pytest.approx(
        sums[:, 0].mean(axis=0).ravel().tolist(), abs=1e-4
    )
    assert [score.site for score in found.scores][:5] == [f"L0.heads.{n}" for n in range(4)] + ["L1.heads.0"]


def test_the_heads_of_yes_are_those_of_no_turned_round() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    items = made_up.questions(5, np.random.default_rng(0))
    no, yes = (locate(model, NegativeAttention(pairs=9, candidate=c), items) for c in ("no", "yes"))  # type: ignore[arg-type]
    assert [a.value for a in no.scores] == pytest.approx([-(b.value or 0) for b in yes.scores])
    assert [a.p_corrected for a in no.scores] == [b.p_corrected for b in yes.scores]


def test_a_question_that_comes_in_both_orders_counts_once() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    items = made_up.questions(3, np.random.default_rng(0))
    turned = [
        replace(item, id=f"{item.id}b", requests=(Choose(r.prompt.replace("Yes or No", "No or Yes"), r.options),))
        for item in items
        if isinstance(r := item.requests[0], Choose)
    ]
    found = locate(model, NegativeAttention(pairs=1), [*items, *turned])
    assert found.scores[0].n == 3
    plain = locate(model, NegativeAttention(pairs=1), items)
    assert [s.value for s in found.scores] == [s.value for s in plain.scores]


@pytest.mark.parametrize("word", ["No", "Yes"])
def test_a_planted_head_is_ranked_first(word: str) -> None:
    hits = 0
    for seed in range(5):
        made = planted.negative_head(seed, word=word)
        locator = NegativeAttention(sample=8, null_sample=2, candidate="no" if word == "No" else "yes")
        found = locate(Model.wrap(made.hf, made.tokenizer), locator, made_up.questions(8, np.random.default_rng(seed)))
        hits += found.top(1)[0].site == str(made.sites[0]) if found.top(1) else 0
    assert hits == 5


def test_exchanged_roles_find_heads_in_a_random_model_and_stand_in_words_seldom_do() -> None:
    """The reason why stand-in words are the null: every head of a random model prefers one of two words."""
    false = {"roles": 0, "words": 0}
    for seed in range(6):
        made = planted.clean(seed)
        model = Model.wrap(made.hf, made.tokenizer)
        items = made_up.questions(12, np.random.default_rng(seed))
        for against in false:
            locator = NegativeAttention(against=against, null_sample=2, pairs=19)  # type: ignore[arg-type]
            false[against] += any((s.p_corrected or 1) <= 0.05 for s in locate(model, locator, items).scores)
    assert false["roles"] >= 5
    assert false["words"] <= 2


def test_items_without_the_words_are_refused() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    item = replace(made_up.questions(1, np.random.default_rng(0))[0], requests=(Choose("the cat", (" sat", " ran")),))
    with pytest.raises(DataError, match="'Yes' and 'No' in its instruction"):
        locate(model, NegativeAttention(), [item])


def test_a_model_without_attention_is_refused() -> None:
    model = Model.wrap(tiny.network("mamba"), tiny.tokenizer())
    with pytest.raises(UnsupportedSite, match="no attention"):
        locate(model, NegativeAttention(), made_up.questions(3, np.random.default_rng(0)))


@pytest.mark.parametrize("family", ["gpt2", "gemma3", "falcon", "bloom", "gpt_neo"])
def test_other_families_are_read_alike_in_batches_and_one_by_one(family: str) -> None:
    items: list[Item] = made_up.questions(4, np.random.default_rng(1))
    values = []
    for tokens in (16, 4096):
        model = Model.wrap(tiny.network(family), tiny.tokenizer(), batch_tokens=tokens)
        values.append([s.value for s in locate(model, NegativeAttention(pairs=1, null_sample=1), items).scores])
    assert values[0] == pytest.approx(values[1], abs=1e-4)
