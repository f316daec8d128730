"""Continuations, greedy or sampled, batched, and the same whatever the batch.

Batching moves logits by some 1e-5, which now and then swaps two nearly equal tokens and changes all that follows. So
a token is chosen from batched logits only where the choice is clear; where the best two are closer than `CLOSE`, the
row's own plain forward (no batch, no padding, no cache) decides. The choice is then a function of the prompt alone, as
long as batching moves logits by less than half of `CLOSE`. Where logits of several prompts are combined, what decides
may move further, some tokens more than others, and the choice has to be as much clearer.

Sampling adds Gumbel noise to log-probabilities (the Gumbel-max trick) from a generator that belongs to the request and
the step, so it needs no state that a batch could disturb. Nucleus sampling keeps the smallest set of most likely tokens
whose mass reaches `top_p`, at least one. A model's own generation settings (repetition penalty, forbidden words, beams)
do not apply, only its end-of-text tokens do: what is measured is the model, not the settings that came with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from evenhand.core.errors import ModelError
from evenhand.core.requests import Complete, Completion
from evenhand.model.encode import segments
from evenhand.model.packed import input_device
from evenhand.model.positions import prompts_are_read, prompts_end

CLOSE = {torch.float32: 1e-3}
"""Log-probabilities closer than this (nats) are decided by the plain forward; other dtypes use `CLOSE_HALF`."""
CLOSE_HALF = 0.25


@dataclass(frozen=True, slots=True)
class Branches:
    """Further prompts that are continued beside the requests' own, with the very tokens that are chosen for these.

    Attributes:
        prompts: for each branch the token ids of each request's prompt.
        combine: logits [B, V] of the requests and of each branch to the logits [B, V] that decide.
        moves: how far these may move if the logits move by at most so many nats, as in `BranchingEdit`.
    """

    prompts: Sequence[Sequence[Sequence[int]]]
    combine: Callable[[Tensor, tuple[Tensor, ...]], Tensor]
    moves: Callable[[Tensor, tuple[Tensor, ...], float], Tensor | float] | None = None


class _Choice(LogitsProcessor):
    """Chooses the next token of each row and leaves only it possible; a row that has ended gets padding.

    The rows of the first branch follow those of the requests, then those of the second.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        requests: Sequence[Complete],
        prompts: Sequence[Sequence[int]],
        ends: Sequence[int],
        pad: int,
        branches: Branches | None,
    ) -> None:
        self.model = model
        self.requests = requests
        self.prompts = prompts  # of the requests, then of each branch
        self.branches = branches
        self.ends = ends
        self.pad = pad
        self.ended: set[int] = set()
        self.padded = max(map(len, prompts))
        self.close = CLOSE.get(model.dtype, CLOSE_HALF)
        self.settled = 0  # choices that the plain forward decided

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self.padded
        size = len(self.requests)
        read = torch.split(scores.float(), size)
        logprobs = torch.log_softmax(self._combined(read), dim=-1).cpu()
        close = self._close(read).expand_as(logprobs).cpu()
        out = torch.full_like(scores, -torch.inf)
        for row, request in enumerate(self.requests):
            alike = range(row, len(self.prompts), size)  # the row and its branches
            if row in self.ended:
                out[alike, self.pad] = 0.0
                continue
            token, clear = choose(logprobs[row], request, step, close[row])
            if not clear:
                self.settled += 1
                fresh = input_ids[row, self.padded :].tolist()
                plain = self._combined([self._plain(self.prompts[one], fresh) for one in alike])
                token, _ = choose(torch.log_softmax(plain[0], dim=-1).cpu(), request, step, close[row])
            out[alike, token] = 0.0
            if token in self.ends or step + 1 >= request.max_new_tokens:
                self.ended.add(row)
        prompts_are_read(self.model)
        return out

    def _combined(self, logits: Sequence[Tensor]) -> Tensor:
        """Logits [B, V] of the requests and of each branch to those that decide."""
        return logits[0] if self.branches is None else self.branches.combine(logits[0], tuple(logits[1:]))

    def _close(self, logits: Sequence[Tensor]) -> Tensor:
        """What each token must be clear by (nats), so that it can be spread over [B, V]."""
        if self.branches is None or self.branches.moves is None:
            return torch.tensor(self.close)
        return 2.0 * torch.as_tensor(self.branches.moves(logits[0], tuple(logits[1:]), self.close / 2.0))

    def _plain(self, prompt: Sequence[int], fresh: Sequence[int]) -> Tensor:
        """Logits [1, V] after a prompt and what was chosen since: no batch, no padding, no cache."""
        alone = torch.tensor([[*prompt, *fresh]], device=input_device(self.model))
        with torch.inference_mode(), prompts_end(self.model, [len(prompt) - 1], [segments(prompt)]):
            logits: Tensor = self.model(
                input_ids=alone, attention_mask=torch.ones_like(alone), use_cache=False, logits_to_keep=1
            ).logits
        return logits[:, -1].float()


def choose(logprobs: Tensor, request: Complete, step: int, close: Tensor | float) -> tuple[int, bool]:
    """The next token under float32 log-probabilities [V], and whether the choice is clear.

    Clear = logits that differ from these by less than half of `close` (nats, of each token [V] or of all) give the same
    token: it wins by `close` among all tokens that could be in the nucleus, and is in the nucleus for sure.
    """
    if request.temperature == 0:
        return _best(logprobs, close)
    scaled = torch.log_softmax(logprobs / request.temperature, dim=-1)
    slack = close / request.temperature
    seed = np.random.SeedSequence([request.seed, step])
    noisy = scaled + torch.from_numpy(np.random.default_rng(seed).gumbel(size=len(logprobs))).float()
    if request.top_p >= 1:
        return _best(noisy, slack)
    ordered = torch.sort(scaled, descending=True, stable=True).values
    before = ordered.exp().cumsum(0) - ordered.exp()
    most_slack = float(torch.as_tensor(slack).max())
    fewest, kept, most = (max(1, int((before < request.top_p + more).sum())) for more in (-most_slack, 0.0, most_slack))
    token, wins = _best(noisy.masked_fill(scaled < ordered[most - 1] - most_slack, -torch.inf), slack)
    if wins and (fewest == len(ordered) or bool(scaled[token] >= ordered[fewest] + most_slack)):
        return token, True
    return _best(noisy.masked_fill(scaled < ordered[kept - 1], -torch.inf), slack)[0], False


def _best(scores: Tensor, close: Tensor | float) -> tuple[int, bool]:
    """The highest score's place, and whether all others are at least `close` lower (half of its and half of theirs).

    Of equal scores, of which half precision has many, the first is taken, as transformers' greedy search does.
    """
    best = int(scores.argmax())
    half = torch.as_tensor(close).expand_as(scores) / 2.0
    others = (scores + half).index_fill(0, torch.tensor(best, device=scores.device), -torch.inf)
    return best, bool(scores[best] - half[best] >= others.max())


def complete(
    model: PreTrainedModel,
    tokenizer: Any,
    requests: Sequence[Complete],
    prompts: Sequence[Sequence[int]],
    branches: Branches | None = None,
) -> list[Completion]:
    """Continue prompts (token ids) together; each request's own length, temperature and seed.

    Rows are padded on the left. A row ends at the model's end-of-text tokens or at its own `max_new_tokens`. A batch
    that does not fit into memory is halved, which changes no text.

    Raises:
        ModelError: a single prompt does not fit.
    """
    try:
        return _together(model, tokenizer, requests, prompts, branches)
    except torch.OutOfMemoryError as error:
        if len(requests) < 2:
            raise ModelError(
                f"A prompt of {len(prompts[0]):,} tokens with up to {requests[0].max_new_tokens:,} new ones does "
                "not fit into the device's memory. Use --dtype bfloat16, fewer new tokens, or --device cpu; what was "
                "committed is kept for --resume."
            ) from error
    torch.cuda.empty_cache()  # out of the except block, whose traceback holds the failed batch's tensors
    middle = len(requests) // 2
    out: list[Completion] = []
    for half in (slice(middle), slice(middle, None)):
        own = replace(branches, prompts=[b[half] for b in branches.prompts]) if branches else None
        out += complete(model, tokenizer, requests[half], prompts[half], own)
    return out


def _together(
    model: PreTrainedModel,
    tokenizer: Any,
    requests: Sequence[Complete],
    prompts: Sequence[Sequence[int]],
    branches: Branches | None,
) -> list[Completion]:
    """One batch; the rows of the branches follow those of the requests."""
    prompts = [*prompts, *(prompt for branch in (branches.prompts if branches else ()) for prompt in branch)]
    device = input_device(model)
    longest = max(map(len, prompts))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    spans = [tuple(place + longest - len(prompt) for place in segments(prompt)) for prompt in prompts]
    ends = _ends(model, tokenizer)
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max(request.max_new_tokens for request in requests),
        do_sample=False,
        num_beams=1,
        pad_token_id=pad,
        eos_token_id=ends or None,
        use_cache=True,
    )
    with (
        torch.inference_mode(),
        _own_settings_apart(model),
        prompts_end(model, [longest - 1] * len(prompts), spans),
    ):
        out = model.generate(  # type: ignore[operator]
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            logits_processor=LogitsProcessorList([_Choice(model, requests, prompts, ends, pad, branches)]),
        )
    fresh = out[: len(requests), longest:].tolist()
    return [_cut(row, request, ends, tokenizer) for row, request in zip(fresh, requests, strict=True)]


@contextlib.contextmanager
def _own_settings_apart(model: PreTrainedModel) -> Iterator[None]:
    """Put the model's generation settings aside: `generate` fills whatever is not given from them."""
    settings = model.generation_config
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        model.generation_config = settings


def _cut(row: Sequence[int], request: Complete, ends: Sequence[int], tokenizer: Any) -> Completion:
    tokens = list(row[: request.max_new_tokens])
    stop = next((place for place, token in enumerate(tokens) if token in ends), None)
    kept = tokens if stop is None else tokens[:stop]
    return Completion(tokenizer.decode(kept, skip_special_tokens=True), tuple(kept), stop is not None)


def _ends(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """End-of-text tokens of the generation settings and the tokenizer."""
    stated = getattr(model.generation_config, "eos_token_id", None)
    many = stated if isinstance(stated, list) else [stated]
    return sorted({int(token) for token in (*many, tokenizer.eos_token_id) if token is not None})
