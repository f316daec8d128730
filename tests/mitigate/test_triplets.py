"""Which tokens of twins correspond, and pairs that are drawn across targets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose
from evenhand.mitigate._triplets import across_targets, corresponding, triplet


@pytest.mark.parametrize(
    ("first", "second", "match", "pad"),
    [
        ([1, 2, 3], [1, 2, 3], [(0, 0), (1, 1), (2, 2)], 3),
        ([1, 2, 9, 3], [1, 2, 8, 3], [(0, 0), (1, 1), (2, 2), (3, 3)], 4),  # replaced, of equal length
        ([1, 2, 9, 3], [1, 2, 8, 7, 3], [(0, 0), (1, 1), (3, 4)], 4),  # replaced, of unequal length
        ([1, 3], [1, 2, 3], [(0, 0), (1, 2)], 2),  # inserted
        ([], [1], [], 0),
    ],
)
def test_which_tokens_correspond(first: Any, second: Any, match: list[tuple[int, int]], pad: int) -> None:
    assert list(zip(*corresponding(first, second, "match"), strict=True)) == match
    assert list(zip(*corresponding(first, second, "pad"), strict=True)) == [(n, n) for n in range(pad)]


def made(targets: int, each: int, context: bool = False) -> list[Item]:
    found = []
    for number in range(targets * each):
        target = f"t{number % targets}"
        texts = {role: f"{target} {role} {number}" for role in ("stereotype", "anti-stereotype", "unrelated")}
        requests = (Choose(f"of {target} {number}.", (" a",)),) if context else ()
        origin = Origin("own", "own.json", number + 1)
        found.append(Item(f"i{number}", target, origin, requests, texts=texts, stratum="s" if number % 2 else "r"))
    return found


def twins(items: list[Item]) -> list[tuple[str, str]]:
    return [triplet(one).texts[:2] for one in items]


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize(("targets", "each"), [(4, 1), (4, 3), (6, 2)])
def test_pairs_across_targets_hold_the_same_sentences_about_different_targets(
    targets: int, each: int, context: bool
) -> None:
    items = made(targets, each, context)
    found = across_targets(items, np.random.default_rng(0))
    assert [one.id for one in found] == [one.id for one in items]
    assert Counter(text for pair in twins(found) for text in pair) == Counter(
        text for pair in twins(items) for text in pair
    )
    for one, was in zip(found, items, strict=True):
        first, second, third = triplet(one).texts
        assert third == triplet(was).texts[2]
        own = [text.removeprefix("of ").split()[0] for text in (first, second)]
        assert own[0] != own[1]
        roles = ["anti-stereotype" in text for text in (first, second)]
        assert roles[0] == roles[1]
        for text, before in zip(triplet(one).texts, triplet(one).contexts, strict=True):
            assert bool(before) is context
            assert text.startswith(before)


def test_odd_items_and_other_seeds() -> None:
    items = made(5, 1)
    found = across_targets(items, np.random.default_rng(0))
    assert len(found) == 5
    assert all(first.split()[0] != second.split()[0] for first, second in twins(found))
    assert twins(found) == twins(across_targets(items, np.random.default_rng(0)))
    others = [twins(across_targets(made(4, 3), np.random.default_rng(seed))) for seed in (0, 1)]
    assert others[0] != others[1]
