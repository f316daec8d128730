"""Segments: marks become places among tokens; attention over them, by hand and in every order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched
from torch import Tensor

from evenhand.core.edits import AttentionEdit, SegmentEdit
from evenhand.core.errors import PatchError, UnsupportedRequest, UnsupportedSite
from evenhand.core.requests import Choose, Complete, Completion, NextToken, Scores, WordScores
from evenhand.core.segments import plain, segmented
from evenhand.model import Model
from evenhand.model.check import one_by_one
from evenhand.model.encode import Counts, Encoder, segments
from evenhand.model.positions import prompts_end
from evenhand.model.segments import Spans

PREFIX, SUFFIX = "is the", " and the cat"
PARTS = (" the cat sat", " a big dog ran on", " no", " the small house and mat")
ORDERS = list(itertools.permutations(PARTS))
ROTARY = ["llama", "qwen2", "qwen3", "gemma3", "gemma2", "mistral", "phi", "gpt_neox", "cohere", "granite"]
WINDOWED = ("gemma2", "gemma3", "mistral")
NEAR = 1e-4


def by_mass(mass: Tensor, lengths: Tensor) -> Tensor:
    return mass / lengths.clamp_min(1)


EDIT = SegmentEdit(by_mass)


def model_of(family: str, **settings: Any) -> Model:
    wide = {"sliding_window": 200} if family in WINDOWED else {}
    model = Model.wrap(tiny.network(family, **{**wide, **settings}), tiny.tokenizer(), batch_tokens=2048)
    assert model.anatomy.layers
    return model


def asked(options: tuple[str, ...] = (" yes", " no", " the mat ran")) -> list[Choose]:
    return [Choose(segmented(PREFIX, order, SUFFIX), options) for order in ORDERS]


def totals(model: Model, requests: Sequence[Choose]) -> np.ndarray[Any, Any]:
    return np.array([[s.total for s in one.scores] for one in model.answer(requests) if isinstance(one, Scores)])


def test_parts_are_encoded_apart_and_their_places_are_kept() -> None:
    tokenizer = tiny.tokenizer()
    encoder = Encoder(tokenizer, tiny.shared("llama").config)
    prompt = segmented("walk", ["ing", " cat"], "?")
    ids = encoder.prompts([Complete(prompt)], Counts())[0]
    apart = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in ("walk", "ing", " cat", "?")]
    assert ids == [tokenizer.bos_token_id, *itertools.chain(*apart)]
    assert segments(ids) == (2, 3, 4)
    text = encoder.encode([Choose(prompt, (" yes",))]).texts[0]
    assert text.tokens[:5] == tuple(ids)
    assert (text.start, text.segments) == (5, (2, 3, 4))
    word = encoder.encode([NextToken(prompt, (" yes",))]).texts[0]
    assert word.segments == (2, 3, 4)


def test_a_prompt_that_is_cut_loses_its_first_places() -> None:
    encoder = Encoder(tiny.tokenizer(), tiny.shared("llama").config)
    prompt = segmented(" the" * 100, [" cat" * 100, " dog" * 20], " no" * 30)
    ids = encoder.prompts([Complete(prompt, 56)], Counts())[0]
    assert len(ids) == 200
    assert segments(ids) == (50 - 1 + 1, 150, 170)


def test_without_an_edit_a_prompt_with_segments_is_its_tokens() -> None:
    model = model_of("llama")
    order = (" the cat", " a dog")
    marked = Choose(segmented("is", order, " good?"), (" yes", " no"))
    unmarked = Choose(plain(marked.prompt), marked.options)
    assert np.allclose(totals(model, [marked]), totals(model, [unmarked]), atol=1e-5)


def test_spans_by_hand() -> None:
    spans = Spans.of(((1, 3, 4), (), (0, 2, 2)), 6, torch.device("cpu"))
    assert spans.owner.tolist() == [[-1, 0, 0, 1, -1, -1], [-1] * 6, [0, 0, -1, -1, -1, -1]]
    assert spans.place[0, 1:4].tolist() == [0, 1, 0]
    assert spans.lengths.tolist() == [[2, 1], [0, 0], [2, 0]]
    assert spans.begin.tolist() == [[0, 2], [0, 0], [0, 2]]
    assert spans.columns[0].tolist() == [[1, 2], [3, 4]]
    assert spans.real[0].tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("family", ROTARY)
def test_no_order_changes_a_score_or_a_continuation(family: str) -> None:
    model = model_of(family)
    usual = totals(model, asked())
    assert np.ptp(usual, axis=0).max() > 0.05
    with untouched(model.hf), model.install([EDIT]):
        found = totals(model, asked())
        assert np.ptp(found, axis=0).max() <= NEAR
        assert np.abs(found - usual).max() > 0.05
        alone = totals(model, asked()[:1])
        assert np.allclose(alone, found[:1], atol=NEAR)
        prompts = [one.prompt for one in asked()]
        for heat in (0.0, 1.0):
            written = model.answer([Complete(prompt, 8, temperature=heat, seed=3) for prompt in prompts])
            assert len({one.tokens for one in written if isinstance(one, Completion)}) == 1
        words = model.answer([NextToken(prompt, (" yes", " no")) for prompt in prompts])
        assert np.ptp([one.logprobs for one in words if isinstance(one, WordScores)], axis=0).max() <= NEAR
    assert np.array_equal(totals(model, asked()), usual)


def test_cached_steps_in_a_padded_batch_are_plain_scores() -> None:
    """Every token that is written is the likeliest one of a plain forward pass over the whole text."""
    model = model_of("llama")
    prompts = [segmented(PREFIX, order, SUFFIX) for order in (PARTS, PARTS[:2], PARTS[1:])] + ["the cat sat on"]
    with model.install([EDIT]):
        written = model.answer([Complete(prompt, 6) for prompt in prompts])
        for prompt, one in zip(prompts, written, strict=True):
            assert isinstance(one, Completion)
            encoder = Encoder(model.tokenizer, model.hf.config)
            ids = encoder.prompts([Complete(prompt)], Counts())[0]
            size, places = len(ids), segments(ids)
            whole = torch.tensor([[*ids, *one.tokens]])
            with torch.inference_mode(), prompts_end(model.hf, [size - 1], [places]):
                logits = model.hf(whole, use_cache=False).logits[0, size - 1 : -1]
            assert logits.argmax(-1).tolist() == list(one.tokens)


def test_options_that_share_their_prompt_in_the_cache_are_scored_as_one_by_one() -> None:
    """Prompts of several lengths in one batch, each read once for its options."""
    model = model_of("llama")
    parts = [(PARTS, SUFFIX), (PARTS[:2], " ran"), (PARTS[::-1], SUFFIX)]
    options = (" yes", " no", " the mat ran")
    requests = [Choose(segmented(PREFIX, segs, after), options) for segs, after in parts]
    texts = Encoder(model.tokenizer, model.hf.config).encode(requests).texts
    with model.install([EDIT]):
        work = model.prepare(requests)
        assert work.road.startswith("padded with shared prefix cache")
        assert work.tokens < sum(len(text.tokens) - 1 for text in texts)
        found = totals(model, requests).ravel()
        wanted = [sum(values) for values in one_by_one(model.hf, texts)]
    assert np.allclose(found, wanted, atol=NEAR)


def test_prompts_without_segments_do_not_change_beside_ones_that_have_them() -> None:
    model = model_of("llama")
    mixed = [*asked()[:2], Choose("the cat sat on", (" the mat", " no"))]
    bare = [mixed[-1]]
    usual = totals(model, bare)
    with model.install([EDIT]):
        found = [one for one in model.answer(mixed) if isinstance(one, Scores)]
        assert np.allclose([s.total for s in found[-1].scores], usual[0], atol=NEAR)


def test_orders_are_as_given_where_all_segments_are_alike_important() -> None:
    """With equal importance and a single query after the segments, nothing is moved for that query."""
    model = model_of("llama", num_hidden_layers=1)
    prompt = segmented(PREFIX, PARTS, SUFFIX)
    request = [Choose(prompt, (" yes",))]
    usual = totals(model, request)
    with model.install([SegmentEdit(lambda mass, lengths: torch.arange(mass.shape[-1]).expand_as(mass).float())]):
        assert np.allclose(totals(model, request), usual, atol=NEAR)  # the last segment is the most important: nearest
    with model.install([SegmentEdit(lambda mass, lengths: -torch.arange(mass.shape[-1]).expand_as(mass).float())]):
        assert not np.allclose(totals(model, request), usual, atol=1e-2)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_scores_are_those_of_a_plain_computation(family: str) -> None:
    """The definition with loops, one query and one head at a time, keys turned to their new positions."""
    model = model_of(family)
    prompt = segmented(PREFIX, PARTS, SUFFIX)
    encoder = Encoder(model.tokenizer, model.hf.config)
    ids = encoder.prompts([Complete(prompt)], Counts())[0]
    wanted = by_loops(model.hf, ids, segments(ids))
    with model.install([EDIT]), torch.inference_mode(), prompts_end(model.hf, [len(ids) - 1], [segments(ids)]):
        found = model.hf(torch.tensor([ids]), use_cache=False).logits[0]
    last = segments(ids)[-1]
    assert torch.allclose(found[last:].log_softmax(-1), wanted[last:].log_softmax(-1), atol=2e-4)
    assert torch.allclose(found[:last].log_softmax(-1), wanted[:last].log_softmax(-1), atol=2e-4)


def turned(x: Tensor, position: int, base: float = 10000.0) -> Tensor:
    """One vector at a position, as Llama turns it."""
    half = len(x) // 2
    angle = position / base ** (torch.arange(half) * 2 / len(x))
    first, second = x[:half], x[half:]
    return torch.cat((first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()))


def by_loops(hf: Any, ids: Sequence[int], borders: Sequence[int]) -> Tensor:
    """Logits [L, V]."""
    start, end = borders[0], borders[-1]
    docs = [list(range(a, b)) for a, b in itertools.pairwise(borders)]
    owner = {place: number for number, doc in enumerate(docs) for place in doc}
    with torch.inference_mode():
        x = hf.model.embed_tokens(torch.tensor(list(ids)))
        for layer in hf.model.layers:
            own = layer.self_attn
            y = layer.input_layernorm(x)
            q, k, v = (m(y).view(len(ids), -1, 8).transpose(0, 1) for m in (own.q_proj, own.k_proj, own.v_proj))
            out = torch.zeros(len(ids), 4, 8)
            for head in range(4):
                keys, values = k[head // 2], v[head // 2]
                shares = torch.zeros(len(ids), len(docs))
                for place in [*range(start, end), *range(end, len(ids))]:
                    others = [n for n in range(start, end) if owner[n] != owner.get(place)]
                    weights = torch.stack([q[head][place] @ keys[n] for n in others]) / math.sqrt(8)
                    for n, weight in zip(others, weights.softmax(-1), strict=True):
                        shares[place, owner[n]] += weight
                for place in range(len(ids)):
                    if place < start:
                        visible = [(n, n) for n in range(place + 1)]
                        at = place
                    else:
                        mine = docs[owner[place]] if place in owner else [place]
                        mass = shares[mine].sum(0)
                        rank = sorted(
                            (d for d in range(len(docs)) if d != owner.get(place)),
                            key=lambda d: -float(mass[d]) / len(docs[d]),
                        )
                        rank = [owner[place], *rank] if place in owner else rank
                        new, stop = {}, end
                        for d in rank:
                            stop -= len(docs[d])
                            new.update({n: stop + i for i, n in enumerate(docs[d])})
                        at = new.get(place, place)
                        visible = [(n, n) for n in range(start)]
                        visible += [(n, m) for n, m in new.items() if m <= at]
                        visible += [(n, n) for n in range(end, place + 1)]
                    scores = torch.stack([turned(q[head][place], at) @ turned(keys[n], m) for n, m in visible])
                    weights = (scores / math.sqrt(8)).softmax(-1)
                    out[place, head] = sum(w * values[n] for w, (n, _) in zip(weights, visible, strict=True))
            x = x + own.o_proj(out.reshape(len(ids), -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return hf.lm_head(hf.model.norm(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", ["gpt2", "opt", "bloom", "falcon", "gpt_neo"])
def test_models_whose_positions_cannot_be_turned_are_refused(family: str) -> None:
    model = model_of(family)
    with untouched(model.hf), pytest.raises(UnsupportedSite, match=r"rotary positions|attention interface"):
        model.install([EDIT])


def test_angles_that_depend_on_the_length_are_refused() -> None:
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = model_of("llama", rope_parameters=scaled)
    with untouched(model.hf), pytest.raises(UnsupportedSite, match="length of the text"):
        model.install([EDIT])


@pytest.mark.parametrize("family", WINDOWED)
def test_a_window_shorter_than_the_text_is_refused_in_words(family: str) -> None:
    model = model_of(family, sliding_window=16)
    with model.install([EDIT]), pytest.raises(UnsupportedRequest, match="window has no meaning"):
        model.answer(asked()[:1])


@pytest.mark.parametrize("family", WINDOWED)
def test_a_long_prompt_without_segments_is_written_on_beside_one_with_segments(family: str) -> None:
    """Only a batch of prompts with segments is held to the window."""
    model = model_of(family, sliding_window=24)
    long = Complete("the cat sat on the mat and the dog ran " * 4, 4)
    short = Complete(segmented("is", (" the cat", " a dog"), " good?"), 4)
    plain = model.answer([long])
    with model.install([EDIT]):
        assert model.answer([short, long]) == [*model.answer([short]), *plain]


def test_a_model_that_is_not_understood_is_found_out_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama, "rotate_half", lambda x: x)
    model = model_of("llama")
    with pytest.raises(UnsupportedSite, match="not the same keys"):
        model.install([EDIT])


def test_two_edits_of_segments_or_attention_beside_them_are_refused() -> None:
    model = model_of("llama")
    with model.install([EDIT]):
        with untouched(model.hf), pytest.raises(PatchError, match="at once"):
            model.install([EDIT])
        edit = AttentionEdit(0, (0,), lambda w: w)
        with model.install([edit]), pytest.raises(UnsupportedRequest, match="neither"):
            model.answer(asked()[:1])
