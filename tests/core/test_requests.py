"""A request that no model could answer is refused when it is made, with the value and its range."""

from __future__ import annotations

import math
from typing import Any

import pytest

from evenhand.core.errors import UsageError
from evenhand.core.requests import Complete


@pytest.mark.parametrize(
    ("field", "value", "range_"),
    [
        ("max_new_tokens", 0, "at least 1"),
        ("max_new_tokens", -3, "at least 1"),
        ("temperature", -0.1, "a number above it"),
        ("temperature", math.nan, "a number above it"),
        ("temperature", math.inf, "a number above it"),
        ("top_p", 0.0, "above 0 and at most 1"),
        ("top_p", 1.01, "above 0 and at most 1"),
        ("top_p", math.nan, "above 0 and at most 1"),
        ("seed", -1, "0 or more"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(field: str, value: Any, range_: str) -> None:
    with pytest.raises(UsageError, match=rf"{field}={value!r}; it must be .*{range_}"):
        Complete("the cat", **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_new_tokens", 1), ("temperature", 0.0), ("temperature", 7.5), ("top_p", 1e-9), ("seed", 0)],
)
def test_the_ends_of_a_range_belong_to_it(field: str, value: Any) -> None:
    assert getattr(Complete("", **{field: value}), field) == value
