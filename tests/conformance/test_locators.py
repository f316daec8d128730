"""Every registered locator reads without leaving anything behind, says the same twice, and names every site once."""

from __future__ import annotations

import math
from functools import cache

import pytest
from tests.fixtures import tiny
from tests.fixtures.items import items_for, settings
from tests.fixtures.untouched import untouched

from evenhand.core import registry
from evenhand.core.errors import EvenhandError, UnsupportedSite, UsageError
from evenhand.core.record import Sites
from evenhand.core.sites import Site
from evenhand.locate._run import locate
from evenhand.model import Model

FAMILIES = ("llama", "gpt2", "gemma3")
MORE = ("gpt_neo", "gpt_neox", "opt", "mistral", "qwen2", "qwen3", "gemma2", "phi", "falcon", "bloom")
LOCATORS = registry.names("locators")


@cache
def run(name: str, family: str) -> tuple[Model, Sites] | EvenhandError:
    """Locate twice; nothing may be left behind, and both must be the same."""
    model = Model.wrap(tiny.network(family), tiny.tokenizer(), batch_tokens=1024)
    assert model.anatomy.layers
    locator = registry.get("locators", name)
    items = items_for(locator.locate_on, locator.reads)
    configured = locator(**settings(locator))
    found: list[Sites] = []
    try:
        for _ in range(2):
            with untouched(model.hf):
                found.append(locate(model, configured, items, seed=5))
    except (UnsupportedSite, UsageError) as refusal:
        return refusal
    assert found[0].scores == found[1].scores
    assert found[0].notes == found[1].notes
    return model, found[0]


WITH_MARKS = [
    *FAMILIES,
    *(
        pytest.param(one, marks=(pytest.mark.conformance, pytest.mark.slow, pytest.mark.xdist_group(one)))
        for one in MORE
    ),
]


@pytest.mark.parametrize("family", WITH_MARKS)
@pytest.mark.parametrize("name", LOCATORS)
def test_a_locator_keeps_its_promises(name: str, family: str) -> None:
    ran = run(name, family)
    if isinstance(ran, EvenhandError):
        assert len(str(ran)) > 40, "a refusal says what was asked, what was found and what to do next"
        pytest.skip(f"{name} refuses {family}: {ran}")
    model, found = ran
    names = [score.site for score in found.scores]
    assert names
    assert len(set(names)) == len(names)
    for site in map(Site.parse, names):
        assert model.anatomy.module(site) is not None
    layers = [Site.parse(one).layer for one in names]
    assert layers == sorted(layers), "sites come in the order of the model"
    for score in found.scores:
        for p in (score.p, score.p_corrected):
            assert p is None or 0 < p <= 1, score
        if score.p is not None and score.p_corrected is not None:
            assert score.p_corrected >= score.p - 1e-12, score
        for value in (score.value, score.low, score.high, score.null, *score.details.values()):
            assert value is None or math.isfinite(value), score
        if score.value is not None and score.low is not None and score.high is not None:
            assert score.low <= score.value + 1e-9, score
            assert score.value <= score.high + 1e-9, score
        assert score.n >= 0
    assert Sites.model_validate_json(found.model_dump_json(by_alias=True)) == found


@pytest.mark.parametrize("name", LOCATORS)
def test_every_locator_serves_the_llama_family(name: str) -> None:
    ran = run(name, "llama")
    assert not isinstance(ran, EvenhandError), ran
