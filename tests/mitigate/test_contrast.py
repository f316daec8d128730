"""Pairs of texts: what they are made of, and what shams make of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.mitigate import gendered

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin
from evenhand.mitigate import _contrast as contrast
from evenhand.mitigate._neutral import neutral
from evenhand.mitigate.inlp import Inlp
from evenhand.mitigate.leace import Leace
from evenhand.mitigate.sentence_debias import SentenceDebias


def of_text(text: str) -> list[tuple[str, str]]:
    other = Item("o", "o", Origin("own", "own", 2), (), texts={"first": "a", "second": "b"})
    item = Item("i", "c", Origin("own", "own", 1), (), texts={"text": text})
    found = contrast.contrasts([item, other, replace(other, id="p")], gendered.rng(), limit=99, method="test")
    return [(pair.first, pair.second) for pair in found[:-2]]


def test_the_first_text_names_women_whichever_of_the_two_was_written() -> None:
    assert of_text("He went to see the old mill. Then she came back with her dog.") == [
        ("She went to see the old mill.", "He went to see the old mill."),
        ("Then she came back with her dog.", "Then he came back with his dog."),
    ]


def test_sentences_that_name_none_or_both_have_no_label() -> None:
    assert of_text("The mill is old and big. He met his sister by the mill.") == []


def test_words_that_go_one_way_have_the_gender_of_their_own() -> None:
    assert of_text("My mom went to the old mill.") == [("My mom went to the old mill.", "My dad went to the old mill.")]


def test_very_short_and_very_long_sentences_are_left_out() -> None:
    assert of_text("He slept. " + "He saw it and " * 9 + "slept.") == []


def test_items_with_two_texts_are_pairs_as_they_are_after_their_prompt() -> None:
    plain = contrast.contrasts(gendered.sentence_pairs(), gendered.rng(), limit=99, method="test")
    assert (plain[0].first, plain[0].second) == ("the cat is bad", "the cat is good")
    after = contrast.contrasts(gendered.sentence_pairs("So."), gendered.rng(), limit=99, method="test")
    assert (after[0].first, after[0].second) == ("So. the cat is bad", "So. the cat is good")


def test_a_limit_draws_by_the_seed_and_keeps_the_order() -> None:
    items = gendered.snippets()
    drawn = contrast.contrasts(items, gendered.rng(1), limit=10, method="test")
    again = contrast.contrasts(items, gendered.rng(1), limit=10, method="test")
    other = contrast.contrasts(items, gendered.rng(2), limit=10, method="test")
    places = [items.index(pair.item) for pair in drawn]
    assert drawn == again != other
    assert places == sorted(set(places))


def test_methods_say_which_items_they_can_read() -> None:
    cue = Item("i", "c", Origin("own", "own", 1), (), texts={"cue": "The person is"})
    for method in (SentenceDebias(), Inlp(), Leace()):
        assert method.can_read(gendered.snippets())
        assert method.can_read(gendered.sentence_pairs())
        assert not method.can_read([cue])


def test_items_without_pairs_are_refused_with_what_to_do() -> None:
    item = Item("i", "c", Origin("own", "own", 1), (), texts={"cue": "The person is"})
    with pytest.raises(DataError, match=r"'cue'.*--fit-on"):
        contrast.contrasts([item] * 5, gendered.rng(), limit=9, method="test")


def test_shuffling_keeps_the_texts_of_each_pair_and_turns_half_of_them_round() -> None:
    pairs = contrast.contrasts(gendered.snippets(), gendered.rng(), limit=9999, method="test")
    made = contrast.contrasts(contrast.shuffled(pairs, gendered.rng()), gendered.rng(), limit=9999, method="test")
    turned = sum(new.first != old.first for new, old in zip(made, pairs, strict=True))
    assert all({new.first, new.second} == {old.first, old.second} for new, old in zip(made, pairs, strict=True))
    assert [new.cluster for new in made] == [old.cluster for old in pairs]
    assert turned == len(pairs) // 2


def test_unrelated_partners_have_one_role_and_are_never_the_own_twin() -> None:
    pairs = contrast.contrasts(gendered.snippets(), gendered.rng(), limit=99, method="test")
    women, men = {pair.first for pair in pairs}, {pair.second for pair in pairs}
    made = [(item.texts["first"], item.texts["second"]) for item in contrast.unrelated(pairs, gendered.rng())]
    assert len(made) == len(pairs)
    for first, second in made:
        assert first != second
        assert {first, second} <= women or {first, second} <= men


@pytest.mark.parametrize("text", ["Say this to everybody.", "word " * 100 + "end:", "one"])
def test_a_neutral_text_has_as_many_words_and_ends_alike(text: str) -> None:
    made = neutral(text)
    assert len(made.split()) == len(text.split())
    assert made[-1] == text[-1] or text[-1].isalnum()
    assert made != text
