from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Metric
from evenhand.metrics.gas import Gas
from evenhand.metrics.gas_word_share import GasWordShare
from evenhand.metrics.gender_lean import GenderLean
from evenhand.metrics.gld import Gld
from evenhand.metrics.perplexity_listed import PerplexityListed
from evenhand.metrics.perplexity_unlisted import PerplexityUnlisted

MakeTable = Callable[..., ScoreTable]
ValueOf = Callable[[Metric, ScoreTable], float]


def test_gas_counts_continuations_and_the_share_counts_words(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"listed": [1, 0, 1, 0], "listed_words": [1, 0, 5, 0], "words": [10, 20, 20, 0]})
    assert value_of(Gas(), made) == pytest.approx(50)
    assert value_of(GasWordShare(), made) == pytest.approx(12)


def test_leans_to_either_side_cancel_and_differences_do_not(table: MakeTable, value_of: ValueOf) -> None:
    made = table({"lean": [0.5, -0.5, 0.3], "gld": [0.5, 0.5, 0.3]})
    assert value_of(GenderLean(), made) == pytest.approx(0.1)
    assert value_of(Gld(), made) == pytest.approx(1.3 / 3)


def test_perplexities_of_a_model_that_is_uniform_over_v_and_w_tokens(table: MakeTable, value_of: ValueOf) -> None:
    made = table(
        {
            "nll_listed": [2 * math.log(8), 0.0],
            "tokens_listed": [2, 0],
            "nll_unlisted": [10 * math.log(50), 30 * math.log(50)],
            "tokens_unlisted": [10, 30],
        }
    )
    assert value_of(PerplexityListed(), made) == pytest.approx(8)
    assert value_of(PerplexityUnlisted(), made) == pytest.approx(50)


def test_taking_nats_off_listed_words_shows_inside_the_list_and_not_outside(
    table: MakeTable, value_of: ValueOf
) -> None:
    before = {"nll_listed": [3.0, 5.0], "tokens_listed": [2, 2], "nll_unlisted": [9.0, 8.0], "tokens_unlisted": [4, 4]}
    after = {**before, "nll_listed": [3.0 + 2 * 2, 5.0 + 2 * 2]}
    inside = [value_of(PerplexityListed(), table(columns)) for columns in (before, after)]
    outside = [value_of(PerplexityUnlisted(), table(columns)) for columns in (before, after)]
    assert inside[1] == pytest.approx(inside[0] * math.exp(2))
    assert outside[1] == outside[0]
