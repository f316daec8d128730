"""Triplets of texts: a stereotype, its anti-stereotype and an unrelated text; which tokens of the twins correspond."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

from evenhand.core.items import Item
from evenhand.core.requests import Choose
from evenhand.mitigate._sentences import whole

if TYPE_CHECKING:
    import numpy as np

ROLES = ("stereotype", "anti-stereotype", "unrelated")
Alignment = Literal["match", "pad"]
Places = tuple[tuple[int, ...], tuple[int, ...]]
_CONTEXTS = "contexts"


@dataclass(frozen=True, slots=True)
class Triplet:
    """The three texts of an item in the order of `ROLES`, whole, and what stands before each ("" = nothing)."""

    texts: tuple[str, str, str]
    contexts: tuple[str, str, str]


def triplet(item: Item) -> Triplet:
    """The texts of an item, after its prompt where it has one, or after contexts of their own (`across_targets`)."""
    first, second, third = (whole(item, role) for role in ROLES)
    own = item.facts.get(_CONTEXTS)
    if isinstance(own, tuple):
        return Triplet((first, second, third), own)
    request = item.requests[0] if item.requests else None
    context = request.prompt if isinstance(request, Choose) else ""
    return Triplet((first, second, third), (context, context, context))


def corresponding(first: Sequence[int], second: Sequence[int], how: Alignment) -> Places:
    """Places of corresponding tokens in two texts, in order and of equal number.

    match: equal blocks of token ids, and replaced blocks of equal length token by token; what has no partner is left
    out. pad: the first with the first, the second with the second, ..., as long as both last.
    """
    if how == "pad":
        shared = tuple(range(min(len(first), len(second))))
        return shared, shared
    kept: tuple[list[int], list[int]] = ([], [])
    for _, a, b, x, y in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if b - a == y - x:
            kept[0].extend(range(a, b))
            kept[1].extend(range(x, y))
    return tuple(kept[0]), tuple(kept[1])


def across_targets(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """As many items with the same sentences, re-paired: what is called twins are sentences about different targets.

    Two items of one kind (task, stratum) but different clusters exchange: their stereotypes make one new pair, their
    anti-stereotypes the other. Partners have the same role, so that no pair tells a stereotype from its opposite, not
    even on average: a stereotype beside the anti-stereotype of another target would still do that. Unrelated texts
    stay. Clusters of different size cannot always be told apart: one that holds more than half of its kind is partly
    paired with itself. Of an odd number of items the last one's anti-stereotype is left out.
    """
    kinds: defaultdict[tuple[bool, str], list[int]] = defaultdict(list)
    rank = {name: place for place, name in enumerate(_shuffled(sorted({item.cluster for item in items}), rng))}
    for number in rng.permutation(len(items)).tolist():
        prompted = bool(triplet(items[number]).contexts[0])
        kinds[prompted, items[number].stratum].append(number)
    pairs, left = [], []
    for key in sorted(kinds):
        numbers = sorted(kinds[key], key=lambda number: rank[items[number].cluster])
        half = len(numbers) // 2
        pairs += list(zip(numbers[:half], numbers[half : 2 * half], strict=True))
        left += numbers[2 * half :]
    pairs += list(zip(left[::2], left[1::2], strict=False))
    found = dict(enumerate(items))
    for one, other in pairs:
        for number, role in ((one, 0), (other, 1)):
            found[number] = _joined(items[number], triplet(items[one]), triplet(items[other]), role)
    if len(left) % 2 and pairs:
        one, other = left[-1], pairs[0][int(items[pairs[0][0]].cluster == items[left[-1]].cluster)]
        found[one] = _joined(items[one], triplet(items[one]), triplet(items[other]), 0)
    return [found[number] for number in range(len(items))]


def _joined(item: Item, first: Triplet, second: Triplet, role: int) -> Item:
    """The item with the texts of this role from both triplets as its twins."""
    own = triplet(item)
    texts = (first.texts[role], second.texts[role], own.texts[2])
    contexts = (first.contexts[role], second.contexts[role], own.contexts[2])
    return replace(
        item, requests=(), texts=dict(zip(ROLES, texts, strict=True)), facts={**item.facts, _CONTEXTS: contexts}
    )


def _shuffled(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [names[place] for place in rng.permutation(len(names))]
