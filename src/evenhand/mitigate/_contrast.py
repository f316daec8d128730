"""Pairs of texts that differ in one thing: what the methods that look for a direction are fitted on.

    items with "first" and "second"                those two texts
    items with "stereotype" and "anti-stereotype"  those two texts (after the item's prompt, if it has one)
    items with "text"                              its sentences that name one gender, and their gender-swapped twins:
                                                   first names women, second names men

The last kind needs no data set of its own: any text will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.requests import Choose
from evenhand.data.swap import gender_table, swap

if TYPE_CHECKING:
    import numpy as np

ROLES = (("first", "second"), ("stereotype", "anti-stereotype"))
"""Keys of `Item.texts` that make a pair as they are."""
LONGEST = 30
"""Words of a sentence, at most: longer ones cost more than they tell."""
_SHORTEST = 4
_BORDER = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z])")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, and the item that they came from."""

    first: str
    second: str
    item: Item

    @property
    def cluster(self) -> str:
        """The cluster of its item."""
        return self.item.cluster


def holds_pairs(items: Sequence[Item]) -> bool:
    """Whether items are of a kind that pairs are made of."""
    kinds = (*ROLES, ("text",))
    return bool(items) and any(all(key in items[0].texts for key in keys) for keys in kinds)


def contrasts(items: Sequence[Item], rng: np.random.Generator, *, limit: int, method: str) -> list[Pair]:
    """At most `limit` pairs of all that the items hold, drawn at random, in the order of the items.

    Raises:
        DataError: they hold fewer than two.
    """
    found = [pair for item in items for pair in _pairs(item)]
    if len(found) < 2:
        keys = ", ".join(sorted({repr(key) for item in items for key in item.texts})) or "no texts"
        raise DataError(
            f"{method} is fitted on pairs of texts; the {len(items)} items (with {keys}) hold {len(found)}. Fit it on "
            "text that names women or men (--fit-on perplexity), or on items with a stereotype and an anti-stereotype "
            "(--fit-on stereoset)."
        )
    if len(found) <= limit:
        return found
    return [found[number] for number in sorted(rng.choice(len(found), limit, replace=False))]


def shuffled(pairs: Sequence[Pair], rng: np.random.Generator) -> list[Item]:
    """Items for a sham: the two texts change places in a random half of the pairs, so that the labels say nothing.

    In exactly half: with a coin for each pair, what is left over of the difference would still point along it.
    """
    flipped = set(rng.permutation(len(pairs))[: len(pairs) // 2].tolist())
    return [
        _item(number, pair, *((pair.second, pair.first) if number in flipped else (pair.first, pair.second)))
        for number, pair in enumerate(pairs)
    ]


def unrelated(pairs: Sequence[Pair], rng: np.random.Generator) -> list[Item]:
    """Items for a sham: each text with another pair's text of the same role, so that a pair differs in everything else.

    Half of the pairs give their first text, half their second.
    """
    size = len(pairs)
    order = rng.permutation(size)
    partner = {int(order[place]): int(order[(place + 1) % size]) for place in range(size)}
    return [
        _item(
            number,
            pair,
            pair.first if number % 2 else pair.second,
            pairs[partner[number]].first if number % 2 else pairs[partner[number]].second,
        )
        for number, pair in enumerate(pairs)
    ]


def _item(number: int, pair: Pair, first: str, second: str) -> Item:
    return replace(pair.item, id=f"{pair.item.id}/{number}", texts={"first": first, "second": second}, requests=())


def _pairs(item: Item) -> Iterator[Pair]:
    for first, second in ROLES:
        if first in item.texts and second in item.texts:
            request = item.requests[0] if item.requests else None
            before = f"{request.prompt} " if isinstance(request, Choose) and request.prompt else ""
            yield Pair(before + item.texts[first], before + item.texts[second], item)
            return
    for sentence in sentences(item.texts.get("text", "")):
        group, twin = _gendered(sentence)
        if group:
            yield Pair(*((sentence, twin) if group == "female" else (twin, sentence)), item)


def sentences(text: str) -> list[str]:
    """The sentences of a text that are neither very short nor very long."""
    found = (sentence.strip() for line in text.splitlines() for sentence in _BORDER.split(line))
    return [sentence for sentence in found if _SHORTEST <= len(sentence.split()) <= LONGEST]


def _gendered(sentence: str) -> tuple[str, str]:
    """The gender that a sentence names and its swapped twin; "" if it names none or both."""
    swapped = swap(sentence)
    if not swapped.changed:
        return "", sentence
    before, after = (_WORD.findall(text.lower()) for text in (sentence, swapped.text))
    if len(before) != len(after):
        return "", sentence
    named = {_genders().get(own, "") for own, other in zip(before, after, strict=True) if own != other}
    return (named.pop() if len(named) == 1 else ""), swapped.text


@cache
def _genders() -> dict[str, str]:
    """Word -> the gender that it names. In the table a pair's first word names men."""
    table = gender_table()
    known = {"his": "male", "him": "male", "her": "female", "hers": "female"}
    for male, female in table.pairs:
        known |= {male: "male", female: "female"}
    for word, target in table.one_way.items():
        known[word] = "female" if known[target] == "male" else "male"
    return known
