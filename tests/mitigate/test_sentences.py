"""Texts to train on: which are taken, and twins in which other nouns are swapped."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from tests.mitigate import gendered

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin
from evenhand.data.swap import swap
from evenhand.mitigate import _sentences
from evenhand.mitigate._sentences import Twins, plain, texts_of, twins, with_nouns_swapped


def item(number: int = 1, **texts: str) -> Item:
    return Item(f"i{number}", f"c{number}", Origin("own", "own.txt", number), (), texts=texts)


TEXT = "He said that the nurse was kind. The weather was fine that day. Her brother saw the film in June."


def test_twins_are_the_sentences_that_name_a_gender_and_their_swapped_forms() -> None:
    found = twins([item(text=TEXT)], gendered.rng(), limit=9, method="test")
    assert [(one.text, one.twin, one.changed) for one in found] == [
        ("He said that the nurse was kind.", "She said that the nurse was kind.", 1),
        ("Her brother saw the film in June.", "His sister saw the film in June.", 2),
    ]


def test_pairs_give_both_texts_after_their_prompt_and_never_the_unrelated_one() -> None:
    (first, *_) = gendered.sentence_pairs("It was said.")
    assert list(texts_of(first)) == ["It was said. the cat is bad", "It was said. the cat is good"]


def test_plain_texts_are_as_they_are() -> None:
    items = [item(text=TEXT), *gendered.sentence_pairs()[:1]]
    all_texts = plain(items, gendered.rng(), limit=9, gendered=False, method="test")
    assert all_texts == [*re.split(r"(?<=\.) ", TEXT), "the cat is bad", "the cat is good"]
    assert plain(items, gendered.rng(), limit=9, gendered=True, method="test") == [all_texts[n] for n in (0, 2, 3, 4)]


def test_a_limit_draws_at_random_and_keeps_the_order() -> None:
    items = gendered.snippets()
    whole = [one.text for one in twins(items, gendered.rng(), limit=999, method="test")]
    some = [one.text for one in twins(items, gendered.rng(1), limit=10, method="test")]
    assert len(some) == 10
    assert some == [text for text in whole if text in some]
    assert some != [one.text for one in twins(items, gendered.rng(2), limit=10, method="test")]


def test_items_without_gender_or_without_text_say_so() -> None:
    with pytest.raises(DataError, match="name a gender"):
        twins([item(text="The weather was fine that day.")], gendered.rng(), limit=9, method="test")
    with pytest.raises(DataError, match="--fit-on perplexity"):
        plain([item(prompt="Say something.")], gendered.rng(), limit=9, gendered=False, method="test")


NOUNS = [
    f"He read the {noun} of the town and she liked it." for noun in ("book", "news", "film", "notes") for _ in "ab"
]


def test_other_nouns_are_swapped_in_pairs_and_words_that_name_a_gender_are_not() -> None:
    found = [Twins(text, swap(text).text, swap(text).changed, item(n, text=text)) for n, text in enumerate(NOUNS)]
    items, changed = with_nouns_swapped(found, gendered.rng())
    assert changed >= len(NOUNS)
    for one, made in zip(found, items, strict=True):
        assert made.texts["text"] == one.text
        before, after = (re.findall(r"\w+", made.texts[key]) for key in ("text", "twin"))
        differ = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert not {word for pair in differ for word in pair} & {"He", "he", "she", "She", "read", "liked"}
        assert all(a.endswith("s") is b.endswith("s") for a, b in differ)
    assert made.origin == found[-1].item.origin
    twice, _ = with_nouns_swapped([Twins(one.texts["twin"], "", 2, one) for one in items], gendered.rng())
    assert [one.texts["twin"] for one in twice] == NOUNS  # a swap undoes itself


def test_as_many_words_are_changed_as_name_a_gender_where_there_are_enough() -> None:
    words = [f"w{a}{b}n" for a in "abcdefgh" for b in "abcdefgh"]
    texts = [f"The {words[n % 64]} of the {words[(7 * n) % 64]} saw her." for n in range(400)]
    found = [Twins(text, "", 1, item(n, text=text)) for n, text in enumerate(texts)]
    _, changed = with_nouns_swapped(found, gendered.rng())
    most = max(Counter(word for text in texts for word in text.split() if word in words).values())
    assert 400 <= changed <= 400 + 2 * most


def test_partners_are_about_as_frequent() -> None:
    texts = [
        f"The {word} of it."
        for n, word in enumerate([f"{c}{d}m" for c in "abcdef" for d in "wxyz"])
        for _ in range(n + 1)
    ]
    partner = _sentences._partners(texts, 10**6, gendered.rng())
    uses, nouns = _sentences._nouns(texts)
    assert set(partner) == set(nouns)
    assert all(partner[partner[noun]] == noun for noun in nouns)
    assert all(abs(uses[noun] - uses[partner[noun]]) < 8 for noun in nouns)


def test_texts_without_nouns_have_equal_twins() -> None:
    found = [Twins("He ran.", "She ran.", 1, item(text="He ran."))]
    items, changed = with_nouns_swapped(found, gendered.rng())
    assert changed == 0
    assert items[0].texts == {"text": "He ran.", "twin": "He ran."}
