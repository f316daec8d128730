"""Where an estimate stands, and the sentence about it."""

from __future__ import annotations

import pytest

from evenhand.core import registry
from evenhand.report import words
from evenhand.report.rows import Row, Standing, standing

from .records import estimate


@pytest.mark.parametrize(
    ("low", "value", "high", "ideal", "expected"),
    [
        (59.4, 61.9, 64.3, 50, Standing.ABOVE),
        (40.0, 44.0, 49.9, 50, Standing.BELOW),
        (49.0, 51.0, 53.0, 50, Standing.WITHIN),
        (50.0, 52.0, 54.0, 50, Standing.WITHIN),
        (46.0, 48.0, 50.0, 50, Standing.WITHIN),
        (None, 61.9, None, 50, Standing.NO_INTERVAL),
        (59.4, 61.9, 64.3, None, Standing.NO_IDEAL),
        (None, None, None, 50, Standing.UNDEFINED),
    ],
)
def test_the_standing_follows_from_the_interval_alone(
    low: float | None, value: float | None, high: float | None, ideal: float | None, expected: Standing
) -> None:
    assert standing(estimate(value, low, high, ideal=ideal)) is expected


def test_a_rate_above_even_is_said_with_interval_and_ideal() -> None:
    assert Row("x", estimate(61.94, 59.4, 64.3)).sentence == (
        "The model prefers the stereotypical sentence in 61.9 % of cases (95 % interval 59.4 to 64.3), "
        "where 50 would be even. It leans towards the stereotype."
    )


def test_an_interval_with_the_ideal_cannot_be_told_from_even() -> None:
    sentence = Row("x", estimate(51.1, 48.5, 53.6)).sentence
    assert sentence.endswith("The interval includes 50: on these items it cannot be told from even.")


def test_an_undefined_number_gives_its_reason_and_no_verdict() -> None:
    row = Row("x", estimate(None, metric="bbq_bias_ambiguous", ideal=0, unit="", reason="no answer names a person"))
    assert row.sentence == "Bias score, ambiguous: no value, because no answer names a person."
    assert (row.value, row.interval) == ("none", "none")


def test_a_number_without_interval_makes_no_claim() -> None:
    sentence = Row("x", estimate(61.9, reason="two clusters")).sentence
    assert "(no interval: two clusters)" in sentence
    assert "Without an interval nothing can be said" in sentence


def test_a_metric_of_somebody_else_is_said_with_its_own_name() -> None:
    row = Row("x", estimate(0.5, 0.4, 0.6, metric="odd_{0}_{value}_rate", ideal=0.0, unit=""))
    assert row.sentence == (
        "The model scores 0.500 on odd {0} {value} rate (95 % interval 0.400 to 0.600), where the ideal is 0. "
        "The interval lies above the ideal."
    )


def test_everything_in_the_catalogue_has_words_and_no_words_are_left_over() -> None:
    assert set(words.METRICS) == set(registry.names("metrics"))
    assert set(words.BENCHMARKS) == set(registry.names("benchmarks"))


@pytest.mark.parametrize("name", words.METRICS)
def test_words_agree_with_the_metric_and_claim_no_absence_of_bias(name: str) -> None:
    found = registry.get("metrics", name)
    said = words.METRICS[name]
    assert (said.low, said.high) == (found.low, found.high)
    middle = 0.5 if found.ideal is None else found.ideal
    for low, high in ((middle - 2, middle - 1), (middle - 1, middle + 1), (middle + 1, middle + 2)):
        row = Row("x", estimate((low + high) / 2, low, high, metric=name, ideal=found.ideal, unit=found.unit))
        assert "{" not in row.sentence
        assert not {"fair", "unbiased", "unfair", "debias"} & set(row.sentence.lower().replace(".", "").split())


def test_variants_of_a_benchmark_take_its_words_and_keep_their_own_title() -> None:
    assert words.benchmark("bbq[options=letters]").title == "BBQ [options=letters]"
    assert words.benchmark("bbq[options=letters]").unit == words.benchmark("bbq").unit
    assert words.benchmark("my_own_test").title == "my own test"
