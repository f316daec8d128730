"""PINE as a method: what it says of itself, what it refuses, and what its sham lacks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.items import items_for
from tests.fixtures.untouched import untouched

from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.requests import Choose, Scores
from evenhand.core.segments import segmented
from evenhand.measure.position_bias import PositionBias
from evenhand.mitigate._fit import fit
from evenhand.mitigate._mitigation import FitOn
from evenhand.mitigate.pine import Pine, _importance
from evenhand.model import Model

ITEMS = items_for(Pine.fit_on, ())
WINDOWED = ("gemma3",)
PARTS = ("- a cat\n", "- the big dog ran\n", "- no\n")


def model_of(family: str = "llama") -> Model:
    made = Model.wrap(
        tiny.network(family, **({"sliding_window": 200} if family in WINDOWED else {})),
        tiny.tokenizer(),
        batch_tokens=1024,
    )
    assert made.anatomy.layers
    return made


def spread(model: Model, patch: Any = None) -> float:
    """Largest change of a score over all orders of `PARTS` (nats)."""
    orders = itertools.permutations(PARTS)
    asked = [Choose(segmented("Is it\n", order, "?"), (" a cat", " the big dog ran", " no")) for order in orders]
    if patch is None:
        answers = model.answer(asked)
    else:
        with model.install(patch):
            answers = model.answer(asked)
    return float(np.ptp([[s.total for s in one.scores] for one in answers if isinstance(one, Scores)], axis=0).max())


def test_importance_by_hand() -> None:
    mass, lengths = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([4, 1, 0])
    assert torch.allclose(_importance("importance")(mass, lengths), torch.tensor([0.15, 0.3, 0.1]))
    assert torch.allclose(_importance("reverse")(mass, lengths), -torch.tensor([0.15, 0.3, 0.1]))
    assert _importance("given")(mass, lengths).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
def test_the_order_of_segments_changes_nothing_and_with_the_sham_it_does(family: str) -> None:
    model = model_of(family)
    patch = fit(model, Pine(), ITEMS)
    sham = Pine().shams(ITEMS, patch.tensors, np.random.default_rng(0))[0]
    assert spread(model, patch) <= 1e-4
    assert spread(model, fit(model, Pine(order="reverse"), ITEMS)) <= 1e-4
    assert spread(model, fit(model, sham.method, sham.items, sham=sham.name)) > 0.01
    assert spread(model) > 0.01


def test_no_answer_changes_in_the_benchmark(tmp_path: Path) -> None:
    """All orders of the options; tiny models change many answers of themselves."""
    model = model_of()
    path = tmp_path / "own.csv"
    path.write_text("".join(f"is the {one} good?,a cat,a dog,a mat,a house,A\n" for one in ("cat", "dog", "mat")))
    benchmark = PositionBias(orders="all", file=str(path))
    patch = fit(model, Pine(), ITEMS)
    with_patch, without = [], []
    for item in (item for item in benchmark.load().items if item.groups["place"] == "1"):
        without.append(benchmark.score(item, tuple(model.answer(item.requests))).values["changed"])
        with model.install(patch):
            with_patch.append(benchmark.score(item, tuple(model.answer(item.requests))).values["changed"])
    assert with_patch == [0.0] * 3
    assert sum(value or 0.0 for value in without) > 0


def test_the_notes_say_how_far_orders_move_scores() -> None:
    note = fit(model_of(), Pine(sample=3), ITEMS).provenance.notes[0]
    assert "3 prompts" in note
    numbers = [float(word) for word in note.split() if word.replace(".", "").replace("e-", "").isdigit()]
    assert numbers[1] > 0.01 > 1e-4 > numbers[2]


def test_refusals_leave_nothing_behind() -> None:
    model = model_of()
    with untouched(model.hf), pytest.raises(DataError, match="none of the 8 items has any"):
        fit(model, Pine(), items_for(FitOn("none such"), ("text",)))
    short = Model.wrap(tiny.network("gemma3"), tiny.tokenizer())
    assert short.anatomy.layers
    with untouched(short.hf), pytest.raises(UnsupportedSite, match="a window has no meaning"):
        fit(short, Pine(), ITEMS)
