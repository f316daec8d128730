"""Contents taken out of prompts, and random texts of a domain."""

from __future__ import annotations

import numpy as np
import pytest

from evenhand.data.content import CONTENT_FREE, Domain, Slots, slots

PROMPT = "Say Yes or No.\n\nA cat sat.\nQuestion: is it a cat?\nAnswer:"
TEXTS = {"context": "A cat sat.", "question": "is it a cat?", "right answer": "Yes"}


def test_texts_are_found_as_whole_words_one_after_the_other() -> None:
    found = slots(PROMPT, TEXTS)
    assert found == Slots(("Say Yes or No.\n\n", "\nQuestion: ", "\nAnswer:"), ("context", "question"))
    assert found.filled(TEXTS) == PROMPT
    assert found.filled_with("N/A") == "Say Yes or No.\n\nN/A\nQuestion: N/A\nAnswer:"
    assert slots("A. 12\nB. 1\nC. 2", {"A": "12", "B": "1", "C": "2"}) == Slots(
        ("A. ", "\nB. ", "\nC. ", ""), tuple("ABC")
    )


def test_what_does_not_stand_in_the_prompt_is_left_out() -> None:
    assert slots(PROMPT, {"context": "", "right answer": "Yes"}) is None
    assert slots(PROMPT, {"question": "is it a dog?"}) is None
    assert slots("unable, able", {"a": "able"}) == Slots(("unable, ", ""), ("a",))
    assert slots("able", {"a": "able"}) == Slots(("", ""), ("a",))
    found = slots("Question: is it?", {"other": "a dog", "question": "is it?"})
    assert found is not None
    assert found.keys == ("question",)


def test_random_texts_have_the_mean_length_and_the_words_by_their_frequency() -> None:
    """Lengths 3 and 6, mean 4.5, cut to 4; `the` is 6 of 9 words."""
    domain = Domain.of([{"a": "The the cat", "b": "x"}, {"a": "the THE the the sat on", "b": ""}])
    assert domain.lengths == {"a": 4, "b": 1}
    rng = np.random.default_rng(0)
    drawn = [domain.draw(rng) for _ in range(500)]
    assert all(one["b"] == "x ." and one["a"].endswith(" .") and len(one["a"].split()) == 5 for one in drawn)
    words = [word for one in drawn for word in one["a"].split()[:-1]]
    assert set(words) == {"the", "cat", "sat", "on"}
    assert words.count("the") / len(words) == pytest.approx(6 / 9, abs=0.04)


def test_the_same_seed_draws_the_same() -> None:
    domain = Domain.of([{"a": "one two three four five"}])
    assert domain.draw(np.random.default_rng(3)) == domain.draw(np.random.default_rng(3))
    assert len({domain.draw(np.random.default_rng(seed))["a"] for seed in range(9)}) > 5


def test_inputs_without_content_are_the_published_three() -> None:
    assert CONTENT_FREE == ("N/A", "", "[MASK]")
