"""Where listed words lie among a model's tokens, without a tokenizer: from the scores of the text's beginnings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from evenhand.core.requests import TextScore
from evenhand.data.lexicon import Lexicon

Span = tuple[int | None, int]
"""A listed word: number of the text that ends before it (None if nothing does) and of the text that ends with it."""


def prefixes(text: str, listed: Lexicon) -> tuple[tuple[str, ...], tuple[Span, ...]]:
    """The text, its beginnings up to and including each listed word (spaces before a word belong to it), and the words.

    Beginnings share their tokens with the whole, so that scoring them costs no pass through the model.
    """
    numbers = {text: 0}
    spans: list[Span] = []
    for found in listed.find(text):
        before, after = text[: found.start].rstrip(), text[: found.end]
        first = numbers.setdefault(before, len(numbers)) if before else None
        spans.append((first, numbers.setdefault(after, len(numbers))))
    return tuple(numbers), tuple(spans)


def listed_tokens(scores: Sequence[TextScore], spans: Iterable[Span]) -> set[int]:
    """Places, among the tokens of the whole text (the first score), of those that belong to listed words.

    A token that reaches across the border of a word belongs to the word.
    """
    whole = scores[0].tokens
    places: set[int] = set()
    for before, after in spans:
        start = 0 if before is None else _common(scores[before].tokens, whole)
        end = _common(scores[after].tokens, whole)
        if end < len(scores[after].tokens) or end == start:
            end += 1
        places.update(range(start, min(end, len(whole))))
    return places


def group_masses(scores: Sequence[TextScore], groups: Sequence[str]) -> dict[str, float]:
    """Probability that the text goes on with a listed word of each group (0 to 1).

    Tokens of one word may begin another word's ("her", "hers"). Each continuation counts for the longest listed word
    that it begins with, so that none counts twice.

    Args:
        scores: of each listed word after the prompt.
        groups: the group of each.
    """
    masses = {score.tokens: math.exp(score.total) for score in scores}
    own = dict(masses)
    for tokens, mass in masses.items():
        shorter = next((tokens[:end] for end in range(len(tokens) - 1, 0, -1) if tokens[:end] in masses), None)
        if shorter is not None:
            own[shorter] -= mass
    totals = dict.fromkeys(groups, 0.0)
    for tokens, group in {score.tokens: group for score, group in zip(scores, groups, strict=True)}.items():
        totals[group] += max(0.0, own[tokens])
    return totals


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))
