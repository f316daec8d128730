"""A tiny model and sentence pairs of our own, enough for a whole trial in a second."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.fixtures import tiny

from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from evenhand.model import Model


@pytest.fixture
def model() -> Model:
    return Model.wrap(tiny.network("llama"), tiny.tokenizer(), name="tiny")


@pytest.fixture
def pairs(tmp_path: Path) -> Benchmark:
    """Seventy-two pairs in 36 clusters: cats, and dogs in their place."""
    file = tmp_path / "pairs.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "more", "less", "cluster", "category"])
        for number in range(72):
            noun, other = ("cat", "dog") if number % 2 else ("cats", "dogs")
            rest = " ".join(str(37 * (number // 2) + step) for step in range(9))  # no words shared between clusters
            category = "in" if number % 4 < 2 else "on"
            writer.writerow([number, f"{noun} sat {rest}", f"{other} sat {rest}", f"c{number // 2}", category])
    return configured("pairs", {"file": str(file)})
