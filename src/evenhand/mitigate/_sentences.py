"""Texts to train on: sentences that name a gender, their twins, and twins in which other nouns are swapped instead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.requests import Choose
from evenhand.data.swap import gender_table, swap
from evenhand.mitigate._contrast import ROLES, sentences

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")
_WORD = re.compile(r"[a-z]{3,}")
_DETERMINERS = frozenset(
    ["a", "an", "the", "this", "that", "these", "those", "its", "our", "their", "my", "your", "his", "her"]
)
_NOUNLIKE = 0.2
"""A word is taken for a noun if at least this share of its uses stands where nouns do."""
_NEAR = 8
"""Words that are swapped for each other are among so many neighbours by frequency."""


@dataclass(frozen=True, slots=True)
class Twins:
    """A text, its counterpart, how many words differ, and the item that they came from."""

    text: str
    twin: str
    changed: int
    item: Item


def twins(items: Sequence[Item], rng: np.random.Generator, *, limit: int, method: str) -> list[Twins]:
    """At most `limit` texts that name a gender, each with its gender-swapped twin, drawn at random.

    An item that brings its own "twin" beside its "text" keeps it.

    Raises:
        DataError: no text names a gender.
    """
    found: list[Twins] = []
    for item in items:
        if "twin" in item.texts:
            found.append(Twins(item.texts["text"], item.texts["twin"], 1, item))
            continue
        for text in texts_of(item):
            swapped = swap(text)
            if swapped.changed:
                found.append(Twins(text, swapped.text, swapped.changed, item))
    if not found:
        raise DataError(
            f"{method} is fitted on texts that name a gender, in English; in the {len(items)} items there is none. Fit "
            "it on running text (--fit-on perplexity)."
        )
    return drawn(found, rng, limit)


def plain(items: Sequence[Item], rng: np.random.Generator, *, limit: int, gendered: bool, method: str) -> list[str]:
    """At most `limit` texts as they are, drawn at random; of running text only sentences that name a gender, if asked.

    Raises:
        DataError: there is no text.
    """
    found = [
        text
        for item in items
        for text in texts_of(item)
        if not gendered or "text" not in item.texts or swap(text).changed
    ]
    if not found:
        raise DataError(
            f"{method} found no text in the {len(items)} items{' that names a gender' if gendered else ''}. Fit it on "
            "running text (--fit-on perplexity) or on pairs of texts (--fit-on stereoset)."
        )
    return drawn(found, rng, limit)


def drawn(found: Sequence[T], rng: np.random.Generator, limit: int) -> list[T]:
    """At most `limit` of them, in their order."""
    if len(found) <= limit:
        return list(found)
    return [found[number] for number in sorted(rng.choice(len(found), limit, replace=False))]


def texts_of(item: Item) -> Iterator[str]:
    """The sentences of its running text, or the two texts of a pair."""
    if "text" in item.texts:
        yield from sentences(item.texts["text"])
    for keys in ROLES:
        if all(key in item.texts for key in keys):
            yield from (whole(item, key) for key in keys)
            return


def whole(item: Item, key: str) -> str:
    """A text of an item, after the item's prompt where it has one."""
    request = item.requests[0] if item.requests else None
    return f"{request.prompt} {item.texts[key]}" if isinstance(request, Choose) and request.prompt else item.texts[key]


def with_nouns_swapped(found: Sequence[Twins], rng: np.random.Generator) -> tuple[list[Item], int]:
    """Items whose twins differ in other nouns instead: as many words in all, in pairs of similar frequency.

    Returns:
        The items, and how many words of them differ.
    """
    partner = _partners([one.text for one in found], sum(one.changed for one in found), rng)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(partner))})(?![\w-])") if partner else None
    items, changed = [], 0
    for number, one in enumerate(found):
        twin, count = pattern.subn(lambda match: partner[match.group()], one.text) if pattern else (one.text, 0)
        changed += count
        name = f"{one.item.id}/{number}"
        items.append(replace(one.item, id=name, texts={"text": one.text, "twin": twin}, requests=()))
    return items, changed


def _partners(texts: Sequence[str], wanted: int, rng: np.random.Generator) -> dict[str, str]:
    """Nouns with their partners, drawn until they stand in the texts `wanted` times, or all nouns are used.

    Partners end alike (-s or not) and are neighbours by frequency.
    """
    uses, nouns = _nouns(texts)
    pairs: list[tuple[str, str]] = []
    for plural in (False, True):
        ranked = sorted((n for n in nouns if n.endswith("s") is plural), key=lambda noun: (-uses[noun], noun))
        for start in range(0, len(ranked), _NEAR):
            near = [ranked[start + place] for place in rng.permutation(len(ranked[start : start + _NEAR]))]
            pairs += list(zip(near[::2], near[1::2], strict=False))
    partner: dict[str, str] = {}
    reached = 0
    for place in rng.permutation(len(pairs)):
        if reached >= wanted:
            break
        first, second = pairs[place]
        partner |= {first: second, second: first}
        reached += uses[first] + uses[second]
    return partner


def _nouns(texts: Sequence[str]) -> tuple[Counter[str], list[str]]:
    """How often each word is used, and the words that stand where nouns do. Words that name a gender are none.

    A noun stands often after a determiner, with one word between or none, and before the end of its phrase:
    punctuation or a function word.
    """
    table = gender_table()
    function = table.not_possessed | _DETERMINERS
    uses: Counter[str] = Counter()
    nounlike: Counter[str] = Counter()
    for text in texts:
        words = re.findall(r"\w+(?:['’-]\w+)*|[^\w\s]", text)
        for two, one, word, after in zip(["", "", *words], ["", *words], words, [*words[1:], "."], strict=False):
            if not _WORD.fullmatch(word) or word in function or table.pattern.fullmatch(word):
                continue
            uses[word] += 1
            ends = after.lower() in function or not after[0].isalnum()
            led = one.lower() in _DETERMINERS or (two.lower() in _DETERMINERS and _WORD.fullmatch(one) is not None)
            nounlike[word] += led and ends
    return uses, sorted(word for word in nounlike if nounlike[word] and nounlike[word] >= _NOUNLIKE * uses[word])
