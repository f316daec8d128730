"""Prompts whose instruction names two answer words: where these stand as tokens, and which queries follow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.model import Model


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as tokens.

    Attributes:
        ids: token ids.
        yes, no: places of the tokens of the two words in the instruction, all occurrences.
        start: the first query after the instruction; queries go on to the last token.
    """

    ids: tuple[int, ...]
    yes: tuple[int, ...]
    no: tuple[int, ...]
    start: int

    def with_words(self, stand_in: Mapping[int, int]) -> Prompt:
        """The prompt with other tokens in the place of the two words."""
        places = {*self.yes, *self.no}
        return replace(self, ids=tuple(stand_in[t] if n in places else t for n, t in enumerate(self.ids)))

    @property
    def words(self) -> tuple[int, ...]:
        """Token ids of the two words."""
        return tuple(self.ids[place] for place in (*self.yes, *self.no))


def instruction(text: str, yes: str, no: str) -> str | None:
    """The beginning of a prompt up to the end of the line in which both words have occurred, None if they do not."""
    found = [re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in (yes, no)]
    ends = [match.end() for match in found if match is not None]
    if len(ends) < 2:
        return None
    line = text.find("\n", max(ends))
    return text if line < 0 else text[:line]


def both_orders(text: str, yes: str, no: str) -> tuple[str, str] | None:
    """The prompt with `yes` first in its instruction, and with `no` first; None if it does not name both words."""
    head = instruction(text, yes, no)
    if head is None:
        return None
    swapped = re.sub(
        rf"(?<!\w)({re.escape(yes)}|{re.escape(no)})(?!\w)", lambda found: no if found[1] == yes else yes, head
    )
    first, second = text, swapped + text[len(head) :]
    places = [re.search(rf"(?<!\w){re.escape(word)}(?!\w)", head) for word in (yes, no)]
    yes_first = places[0] is not None and places[1] is not None and places[0].start() < places[1].start()
    return (first, second) if yes_first else (second, first)


def encode(model: Model, text: str, yes: str, no: str, *, chat: bool) -> Prompt | None:
    """A prompt as tokens, None if nothing follows its instruction or it is longer than the model's context.

    Raises:
        UsageError: the tokenizer cannot say which characters a token stands for.
    """
    from evenhand.model.encode import Encoder

    encoder = Encoder(model.tokenizer, model.hf.config, chat=chat)
    if not model.tokenizer.is_fast:
        raise UsageError(f"The places of words are found through a fast tokenizer; {model.name} has a slow one.")
    head = instruction(text, yes, no)
    if head is None:
        return None
    whole = encoder.formatted(text.rstrip())
    begin = whole.find(head.strip())
    if begin < 0:
        return None
    given = {"add_special_tokens": False} if chat else {}
    encoded = model.tokenizer(whole, return_offsets_mapping=True, verbose=False, **given)
    spans: Sequence[tuple[int, int]] = encoded["offset_mapping"]
    end = begin + len(head.strip())

    def places(word: str) -> tuple[int, ...]:
        found = re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", whole[begin:end])
        ranges = [(begin + match.start(), begin + match.end()) for match in found]
        return tuple(n for n, (a, b) in enumerate(spans) if any(max(a, x) < min(b, y) for x, y in ranges))

    start = next((n for n, (a, b) in enumerate(spans) if a >= end and b > a), len(spans))
    ids = tuple(encoded["input_ids"])
    if start >= len(ids) or len(ids) > encoder.length:
        return None
    return Prompt(ids, places(yes), places(no), start)


def scores(weights: Tensor, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Negative attention of each prompt: the sum over its queries, and how many there are.

        sum over i of (A[i, yes] + A[i, no]) ln(A[i, no] / A[i, yes])

    A word of several tokens has the sum of their weights. Weights below 1e-12 count as 1e-12.

    Args:
        weights: [B, H, R, Lk] of the queries from `start` on, filled up to R.
        prompts: B of them.

    Returns:
        float [B, H] and [B, 1].
    """
    import torch

    length, queries = weights.shape[-1], weights.shape[2]
    masks = torch.zeros((2, len(prompts), length), device=weights.device)
    counted = torch.zeros((len(prompts), queries), device=weights.device)
    for number, prompt in enumerate(prompts):
        masks[0, number, list(prompt.yes)] = 1.0
        masks[1, number, list(prompt.no)] = 1.0
        counted[number, : len(prompt.ids) - prompt.start] = 1.0
    yes, no = (torch.einsum("bhrk,bk->bhr", weights, mask).clamp_min(1e-12) for mask in masks)
    rows = (yes + no) * torch.log(no / yes) * counted[:, None]
    return rows.sum(-1), counted.sum(-1, keepdim=True)
