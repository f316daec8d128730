from __future__ import annotations

import numpy as np
import pytest
from tests.fixtures import planted, tiny

from evenhand.core.errors import DataError
from evenhand.locate._stand_ins import stand_ins


def test_stand_ins_are_alike_new_and_not_what_they_stand_for() -> None:
    tokenizer = planted.tokenizer()
    words = tokenizer(" nurse doctor", add_special_tokens=False).input_ids
    avoid = tokenizer(" the cat sat", add_special_tokens=False).input_ids
    found = stand_ins(tokenizer, words, 20, avoid, np.random.default_rng(0))
    assert len(found) == 20
    used = [token for one in found for token in one.values()]
    assert len(set(used)) == 40
    assert not {*words, *avoid} & set(used)
    for token in used:
        name = tokenizer.convert_ids_to_tokens(token)
        assert name.startswith("\u0120")
        assert name[1:].isalpha() or name == "\u0120"


def test_each_word_has_one_stand_in_and_different_words_have_different_ones() -> None:
    tokenizer = planted.tokenizer()
    words = tokenizer(" Yes No yes no", add_special_tokens=False).input_ids
    for one in stand_ins(tokenizer, words, 10, (), np.random.default_rng(1)):
        assert sorted(one) == sorted(words)
        assert len(set(one.values())) == 4


def test_the_same_seed_draws_the_same() -> None:
    tokenizer = tiny.tokenizer()
    first, again, other = (stand_ins(tokenizer, [280, 281], 5, (), np.random.default_rng(n)) for n in (2, 2, 3))
    assert first == again
    assert first != other


def test_words_of_several_bytes_have_stand_ins_too() -> None:
    tokenizer = tiny.tokenizer()
    words = tokenizer(" zebra", add_special_tokens=False).input_ids
    assert len(words) > 1
    (one,) = stand_ins(tokenizer, words, 1, (), np.random.default_rng(0))
    assert not set(one.values()) & set(words)


def test_a_vocabulary_that_is_used_up_is_said() -> None:
    tokenizer = tiny.tokenizer()
    with pytest.raises(DataError, match="too few to stand in"):
        stand_ins(tokenizer, range(len(tokenizer)), 1, (), np.random.default_rng(0))
