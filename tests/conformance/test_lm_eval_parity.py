"""The log-probabilities of lm-evaluation-harness 0.4.13, on the same model object, tokenizer and requests."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import evenhand as eh
from evenhand.core import registry
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Compare, Request
from evenhand.data import source
from evenhand.measure._sample import sample
from evenhand.mitigate.cda import Cda
from evenhand.mitigate.controls.random_direction import RandomDirection
from evenhand.model import Model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # lm-eval's own libraries warn
]
SAMPLES = {"crows_pairs": 16, "bbq": 8, "bbq_lm_eval": 8}
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "referee.py"


@pytest.fixture(scope="module")
def referee() -> ModuleType:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'evenhand[referee]'")
    spec = importlib.util.spec_from_file_location("referee", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model() -> Model:
    if source.get("smollm2").state() == "to fetch":
        pytest.skip("the model 'smollm2' is not at hand: run 'evenhand audit smollm2' once")
    return Model.load("smollm2", dtype="float32", device="cpu")


def drawn(name: str) -> list[Item]:
    if source.get("crows_pairs" if name == "crows_pairs" else "bbq").state() == "to fetch":
        pytest.skip(f"the data of {name!r} are not at hand: set EVENHAND_DATA or run 'evenhand doctor'")
    return sample(registry.get("benchmarks", name)().load().items, SAMPLES[name], seed=0, name=name)


def requests_of(items: Sequence[Item]) -> list[Request]:
    return [request for item in items for request in item.requests]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_log_probability_is_that_of_lm_eval(name: str, referee: ModuleType, model: Model) -> None:
    requests = requests_of(drawn(name))
    ours = referee.totals(model.answer(requests))
    theirs = referee.Referee(model, batch=16).totals(requests)
    texts = {"crows_pairs": 2, "bbq": 3, "bbq_lm_eval": 12}[name]
    assert len(ours) == len(theirs) == texts * SAMPLES[name]
    assert referee.largest_difference(ours, theirs) < referee.LIMIT


def test_other_texts_than_those_of_lm_eval_would_be_seen(referee: ModuleType, model: Model) -> None:
    """The comparison can fail: a full stop more, or another beginning, moves a score far beyond the limit."""
    first = Compare(("The nurse said that he was late.",))
    other = Compare(("The nurse said that he was late..",))
    judge = referee.Referee(model, batch=4)
    theirs = judge.totals([first])
    assert referee.largest_difference(referee.totals(model.answer([other])), theirs) > 0.1
    begun = Choose("The", (" nurse said that he was late.",))
    assert referee.largest_difference(referee.totals(model.answer([begun])), theirs) > 0.1


def test_a_number_that_is_not_finite_is_no_agreement(referee: ModuleType) -> None:
    assert referee.largest_difference([-1.0, -2.0], [-1.0, np.nan]) == np.inf
    assert referee.largest_difference([-1.0, -2.5], [-1.0, -2.0]) == 0.5


TEXTS: list[Request] = [Compare(("She is a nurse.", "He is a nurse, and the day was long.")), Choose("Why?", (" No",))]


def test_a_model_with_a_patch_installed_is_scored_alike(referee: ModuleType, tiny_folder: Path) -> None:
    model = Model.load(str(tiny_folder), dtype="float32", device="cpu")
    judge, untouched = referee.Referee(model, batch=2), referee.totals(model.answer(TEXTS))
    with model.install(eh.fit(model, RandomDirection(rank=4))):
        ours, theirs = referee.totals(model.answer(TEXTS)), judge.totals(TEXTS)
    assert referee.largest_difference(ours, theirs) < referee.LIMIT
    assert referee.largest_difference(untouched, theirs) > 0.1
    assert referee.largest_difference(untouched, judge.totals(TEXTS)) < referee.LIMIT


def test_an_exported_folder_that_lm_eval_reads_itself_is_scored_alike(
    referee: ModuleType, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = Model.load(str(tiny_folder), dtype="float32", device="cpu")
    name, weight = next((n, w) for n, w in model.hf.named_parameters() if n.endswith("down_proj.weight"))
    delta = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    patch = replace(eh.fit(model, RandomDirection()), method=Cda(), tensors={f"delta:{name}": delta})
    eh.export(model, patch, tmp_path / "merged")
    untouched = referee.totals(model.answer(TEXTS))
    with model.install(patch):
        ours = referee.totals(model.answer(TEXTS))
    theirs = referee.Referee(tmp_path / "merged", batch=2).totals(TEXTS)
    assert referee.largest_difference(ours, theirs) < referee.LIMIT
    assert referee.largest_difference(untouched, theirs) > 0.1
