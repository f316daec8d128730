"""Continuations: greedy is transformers' greedy, samples follow the softmax, and neither depends on the batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.fixtures import tiny
from transformers import GenerationConfig

from evenhand.core.errors import ModelError
from evenhand.core.requests import Complete, Completion
from evenhand.model import Model
from evenhand.model.generate import CLOSE, choose

PROMPTS = [
    "the cat",
    "the dog ran on a mat. the cat sat",
    "a",
    "",
    "is the cat good? the dog ran",
    "walking on the mat",
]
CLOSE_32 = CLOSE[torch.float32]


def _model(network: Any = None, **settings: Any) -> Model:
    return Model.wrap(network or tiny.shared("llama"), tiny.tokenizer(), **settings)


def _written(model: Model, requests: list[Complete]) -> list[Completion]:
    out = model.answer(requests)
    assert all(isinstance(one, Completion) for one in out)
    return out  # type: ignore[return-value]


def test_greedy_is_the_greedy_of_transformers() -> None:
    network, tokenizer = tiny.shared("llama"), tiny.tokenizer()
    found = _written(_model(), [Complete(prompt, 12) for prompt in PROMPTS])
    for prompt, one in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([tokenizer(prompt).input_ids])
        plain = GenerationConfig(max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=2)
        with torch.inference_mode():
            wanted = network.generate(ids, attention_mask=torch.ones_like(ids), generation_config=plain)
        tokens = wanted[0, ids.shape[1] :].tolist()
        assert list(one.tokens) == (tokens[: tokens.index(2)] if 2 in tokens else tokens)
        assert one.text == tokenizer.decode(one.tokens, skip_special_tokens=True)


def test_the_same_request_writes_the_same_whatever_the_batch_and_the_order() -> None:
    requests = [
        Complete(prompt, 5 + number, temperature=temperature, top_p=top_p, seed=number)
        for number, prompt in enumerate(PROMPTS)
        for temperature, top_p in ((0.0, 1.0), (1.0, 1.0), (0.7, 0.9))
    ]
    alone = [_written(_model(), [request])[0] for request in requests]
    for size in (3, 8):
        for start in range(0, len(requests), size):
            part = slice(start, start + size)
            assert _written(_model(batch_tokens=4096), requests[part]) == alone[part], size
    order = np.random.default_rng(0).permutation(len(requests))
    assert _written(_model(batch_tokens=128), [requests[i] for i in order]) == [alone[i] for i in order]


def test_tokens_that_tie_exactly_are_decided_alike_in_every_batch() -> None:
    network = tiny.network("llama")
    with torch.no_grad():
        head = network.get_output_embeddings().weight
        head[1::2] = head[: len(head) - 1 : 2]  # each token has a twin with the same logit at every step
    model = _model(network, batch_tokens=4096)
    requests = [Complete(prompt, 8) for prompt in PROMPTS]
    together = _written(model, requests)
    assert together == [_written(model, [request])[0] for request in requests]
    assert _written(model, requests[::-1]) == together[::-1]


def test_a_near_tie_is_decided_by_the_plain_forward_and_a_clear_choice_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.network("llama")
    asked: list[tuple[int, ...]] = []
    forward = network.forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("use_cache") is False:
            asked.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(network, "forward", spy)
    model = _model(network)
    requests = [Complete("the cat", 6), Complete("a", 2)]
    first, second = _written(model, requests)
    clear = len(asked)
    best = torch.tensor(first.tokens[0])
    with torch.no_grad():
        head = network.get_output_embeddings().weight
        head[int(best) ^ 1] = head[int(best)]
    asked.clear()
    assert len(_written(model, requests)) == 2
    assert clear == 0
    assert (1, len(tiny.tokenizer()("the cat").input_ids)) in asked
    assert len(asked) <= len(first.tokens) + len(second.tokens)  # rows that have ended ask for nothing


def test_a_row_ends_at_the_end_of_text_or_at_its_own_length() -> None:
    network, tokenizer = tiny.shared("llama"), tiny.tokenizer()
    (free,) = _written(_model(), [Complete("the cat", 9)])
    assert (len(free.tokens), free.finished) == (9, False)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(free.tokens[4])
    stop = free.tokens.index(free.tokens[4])
    requests = [Complete("the cat", 9), Complete("the cat", 2), Complete("the dog", 7)]
    ended, short, _ = _written(Model.wrap(network, tokenizer), requests)
    assert (ended.tokens, ended.finished) == (free.tokens[:stop], True)
    assert (short.tokens, short.finished) == (free.tokens[:2], False)


def test_the_settings_that_came_with_a_model_do_not_change_what_it_writes() -> None:
    network = tiny.network("llama")
    requests = [Complete("the cat", 8), Complete("the dog", 8, temperature=1.0)]
    plain = _written(_model(network), requests)
    own = GenerationConfig(
        repetition_penalty=5.0,
        no_repeat_ngram_size=1,
        suppress_tokens=[plain[0].tokens[0]],
        do_sample=True,
        temperature=0.1,
        min_new_tokens=3,
        num_beams=3,
        max_time=1e-9,
    )
    network.generation_config = own
    assert _written(_model(network), requests) == plain
    assert network.generation_config is own


def test_a_model_writes_to_the_end_of_its_context_and_not_beyond() -> None:
    network = tiny.network("gpt2", n_positions=32)
    (one,) = _written(_model(network), [Complete("the cat sat on a mat. " * 20, 10)])
    assert len(one.tokens) == 10 or one.finished


def test_seeds_give_different_texts_and_a_seed_the_same() -> None:
    requests = [Complete("the cat", 6, temperature=1.0, seed=seed) for seed in range(8)]
    found = _written(_model(), requests)
    assert len({one.tokens for one in found}) == 8
    assert _written(_model(), requests) == found


# Out of memory.


def _holding(network: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the network hold only so many rows at once; rows of the batches that were refused."""
    refused: list[int] = []
    forward = network.forward

    def small(*args: Any, **kwargs: Any) -> Any:
        if len(kwargs["input_ids"]) > rows:
            refused.append(len(kwargs["input_ids"]))
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(network, "forward", small)
    return refused


def test_a_batch_that_does_not_fit_is_halved_until_it_does_with_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.network("llama")
    requests = [Complete(prompt, 6, temperature=t, seed=3) for prompt in PROMPTS for t in (0.0, 1.0)]
    model = _model(network, batch_tokens=4096)
    whole, own = _written(model, requests), network.generation_config
    refused = _holding(network, 2, monkeypatch)
    assert _written(model, requests) == whole
    assert refused[:3] == [12, 6, 3]
    assert network.generation_config is own


def test_a_single_prompt_that_does_not_fit_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.network("llama")
    _holding(network, 0, monkeypatch)
    with pytest.raises(ModelError, match=r"A prompt of 3 tokens with up to 9 new ones .*fewer new tokens"):
        _written(_model(network), [Complete("the cat", 4), Complete("the dog", 9)])


# The choice of one token.

LOGPROBS = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04]).log()
DRAWS = 1000


def _drawn(temperature: float, top_p: float = 1.0) -> Counter[int]:
    return Counter(choose(LOGPROBS, Complete("", 1, temperature, top_p, seed), 0, 1e-6)[0] for seed in range(DRAWS))


def _p_value(counts: Counter[int], probabilities: torch.Tensor) -> float:
    observed = np.array([counts[token] for token in range(len(probabilities))])
    assert observed.sum() == DRAWS
    weights = probabilities.double().numpy()
    return float(stats.chisquare(observed, DRAWS * weights / weights.sum()).pvalue)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_tokens_follow_the_softmax_at_the_temperature(temperature: float) -> None:
    assert _p_value(_drawn(temperature), (LOGPROBS / temperature).softmax(-1)) > 1e-3
    assert _p_value(_drawn(temperature), (LOGPROBS / (temperature * 2)).softmax(-1)) < 1e-6  # the test can fail


def test_later_steps_of_a_sample_are_independent_of_the_first() -> None:
    pairs = Counter(
        tuple(choose(LOGPROBS, Complete("", 2, 1.0, 1.0, seed), step, 1e-6)[0] for step in (0, 1))
        for seed in range(DRAWS)
    )
    table = np.array([[pairs[a, b] for b in range(4)] for a in range(4)])
    assert stats.chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize(("top_p", "kept"), [(0.05, 1), (0.39, 1), (0.6, 2), (0.79, 3), (0.95, 5), (1.0, 6)])
def test_a_nucleus_is_the_smallest_set_of_likely_tokens_that_reaches_top_p(top_p: float, kept: int) -> None:
    counts = _drawn(1.0, top_p)
    assert set(counts) == set(range(kept))
    if kept > 1:
        assert _p_value(counts, LOGPROBS[:kept].softmax(-1)) > 1e-3


def test_the_greedy_choice_is_clear_only_if_the_runner_up_is_far_enough() -> None:
    def greedy(gap: float) -> tuple[int, bool]:
        return choose(torch.tensor([-3.0, -1.0 - gap, -1.0]), Complete("", 1), 0, 1e-3)

    assert greedy(0.002) == (2, True)
    assert greedy(0.0005) == (2, False)


def test_of_equal_logits_the_first_token_is_taken() -> None:
    """As `argmax` and so transformers' greedy search do; half precision has many such pairs."""
    tied = torch.full((5000,), -9.0)
    tied[[17, 18, 400, 4999]] = -1.0
    token, clear = choose(tied, Complete("", 1), 0, 1e-3)
    assert (token, clear) == (17, False)


@given(
    st.lists(st.floats(-6, 0, width=32), min_size=3, max_size=12),
    st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
    st.sampled_from([0.3, 0.5, 0.8, 0.9, 0.99, 1.0]),
    st.integers(0, 10**6),
    st.sampled_from([1e-3, 0.05, 0.25]),
)
@settings(max_examples=100, deadline=None)
def test_a_clear_choice_survives_any_change_of_logits_of_less_than_half_of_close(
    logits: list[float], temperature: float, top_p: float, seed: int, close: float
) -> None:
    request = Complete("", 1, temperature, top_p, seed)
    original = torch.tensor(logits)
    token, clear = choose(original.log_softmax(-1), request, 0, close)
    if clear:
        noise = np.random.default_rng(seed)
        for size in (0.2, 0.49):
            moved = original + torch.from_numpy(noise.choice([-size, size], len(logits))).float() * close
            assert choose(moved.log_softmax(-1), request, 0, close)[0] == token


def test_most_choices_are_clear() -> None:
    generator = torch.Generator().manual_seed(0)
    clear = [
        choose(torch.randn(300, generator=generator).mul(3).log_softmax(-1), Complete("", 1, t, p, s), 0, CLOSE_32)[1]
        for s in range(100)
        for t, p in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.9))
    ]
    assert np.mean(clear) > 0.95
