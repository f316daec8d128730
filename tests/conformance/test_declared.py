"""What methods and locators say of themselves holds: names exist, values fit, shams are there or a reason is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.fixtures import tiny
from tests.fixtures.items import items_for, settings
from tests.fixtures.untouched import untouched

from evenhand.core import registry
from evenhand.core.errors import DataError
from evenhand.core.record import Card
from evenhand.core.requests import Compare
from evenhand.mitigate._fit import fit
from evenhand.mitigate._mitigation import LANGUAGE
from evenhand.model import Model
from evenhand.prove import _tests

METHODS = [registry.get(kind, name) for kind in ("mitigations", "controls") for name in registry.names(kind)]
LOCATORS = [registry.get("locators", name) for name in registry.names("locators")]


@pytest.fixture(params=METHODS, ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[*METHODS, *LOCATORS], ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_card_says_what_it_is_and_what_it_follows(entry: Any) -> None:
    card = entry.card
    assert isinstance(card, Card)
    assert card.title.endswith(".")
    assert "http" in card.source or "ours" in card.source, "a link, or whose it is"
    assert card.formula
    assert entry.__doc__


def test_every_setting_is_described_and_survives_a_file(entry: Any) -> None:
    for name, field in entry.model_fields.items():
        assert field.description, name
    made = entry(**settings(entry))
    assert entry.model_validate(made.model_dump()) == made
    assert entry.model_validate_json(made.model_dump_json(), strict=False) == made


def test_benchmarks_numbers_and_rivals_exist(method: Any) -> None:
    benchmarks = registry.names("benchmarks")
    for name in method.primary:
        benchmark, _, metric = name.partition(".")
        assert benchmark in benchmarks, name
        assert metric in registry.get("benchmarks", benchmark).metrics, name
    assert set(method.test_on) <= set(benchmarks)
    assert set(method.rivals) <= set(registry.names("controls"))
    if method.fit_on is not None:
        assert method.fit_on.benchmark in benchmarks
        assert set(method.fit_on.settings) <= set(registry.get("benchmarks", method.fit_on.benchmark).model_fields)


@pytest.mark.parametrize("name", registry.names("mitigations"))
def test_a_method_that_leaves_whole_texts_alone_has_a_guard_that_can_fail(name: str) -> None:
    """Perplexity and StereoSet score whole texts: guards on them alone would pass by construction."""
    method = registry.get("mitigations", name)
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer(), batch_tokens=1024)
    assert model.anatomy.layers
    if "decoder" not in method.tasks:
        pytest.skip("changes no decoder")
    patch = fit(model, method(**settings(method)), items_for(method.fit_on, method.reads), seed=5)
    texts = [Compare(("the cat sat on the mat and the dog ran.", "is the cat good?"))]
    plain = model.answer(texts)
    with model.install(patch):
        alike = model.answer(texts) == plain
    guards = _tests.tests_of(method, None, None, None, None, ()).guards
    assert guards
    assert not alike or {guard.rule for guard in guards} - set(LANGUAGE)


def test_locators_read_benchmarks_that_exist_and_say_their_null() -> None:
    for locator in LOCATORS:
        wanted = locator.locate_on
        assert wanted.benchmark in registry.names("benchmarks"), locator.name
        assert set(wanted.settings) <= set(registry.get("benchmarks", wanted.benchmark).model_fields), locator.name
        assert locator.null, locator.name
        assert locator.correction, locator.name
        assert isinstance(locator.causal, bool), locator.name


def test_strengths_on_the_grid_fit_the_field(method: Any) -> None:
    assert bool(method.strength) == bool(method.grid)
    if method.strength:
        assert method.strength in method.model_fields
        assert len(set(method.grid)) == len(method.grid)
        for value in method.grid:
            made = method(**{**settings(method), method.strength: value})
            assert getattr(made, method.strength) == value


def test_items_without_what_it_reads_are_refused(method: Any) -> None:
    if not method.reads:
        pytest.skip("reads items as they come")
    model = Model.wrap(tiny.shared("llama"), tiny.tokenizer())
    with untouched(model.hf), pytest.raises(DataError, match=r"(?s).{40}"):
        fit(model, method(**settings(method)), items_for(None, ()) or items_for(_Other, ("something else",)))


class _Other:
    benchmark = "no such benchmark"


def test_shams_can_be_fitted_or_a_reason_is_given_why_there_are_none(method: Any) -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer(), batch_tokens=1024)
    assert model.anatomy.layers
    made, items = method(**settings(method)), items_for(method.fit_on, method.reads)
    patch = fit(model, made, items, seed=5)
    with untouched(model.hf):
        shams = made.shams(items, patch.tensors, np.random.default_rng(1))
        again = made.shams(items, patch.tensors, np.random.default_rng(1))
    assert [(one.name, one.method, list(one.items)) for one in shams] == [
        (one.name, one.method, list(one.items)) for one in again
    ]
    assert bool(shams) != bool(method.no_sham), "either shams or a reason"
    assert len({sham.name for sham in shams}) == len(shams)
    for sham in shams:
        with untouched(model.hf):
            fitted = fit(model, sham.method, sham.items, seed=1005, sham=sham.name)  # as a trial does
            with model.install(fitted) as handle:
                assert handle.edits
        same = fitted.method == patch.method and fitted.fingerprint == patch.fingerprint
        assert not same, f"{sham.name} is the method itself"
        sizes = [sum(tensor.numel() for tensor in one.tensors.values()) for one in (fitted, patch)]
        if sham.method.name == made.name:
            assert sizes[0] <= 1.05 * sizes[1], f"{sham.name} is larger than the method"
