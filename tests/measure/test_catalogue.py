"""Every benchmark keeps the promises that the runner and the report build on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenhand.core import registry
from evenhand.core.items import Item, ScoreTable
from evenhand.core.requests import Response, TextScore
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._suites import SUITES

NAMES = registry.names("benchmarks")
FILES = {
    "arc": "arc.csv",
    "classes": "classes.csv",
    "corpus": "wikitext.txt",
    "crows_pairs": "crows_pairs.csv",
    "mmlu": "mmlu.csv",
    "pairs": "pairs.csv",
    "position_bias": "arc.csv",
    "stereoset": "stereoset.json",
}


@pytest.fixture
def benchmark_of(fixtures: Path, two_templates: str, at_hand: Callable[[str], None]) -> Callable[[str], Benchmark]:
    def make(name: str) -> Benchmark:
        entry = registry.get("benchmarks", name)
        if name == "perplexity":
            at_hand("gap")
            made: Benchmark = entry(documents=20)
            return made
        if name == "gas":
            at_hand("gap")
            return entry(count=20, documents=20)  # type: ignore[no-any-return]
        if name == "classes":
            return entry(file=str(fixtures / FILES[name]), positive="rude")  # type: ignore[no-any-return]
        if name == "emission":
            return entry(attributes=("gender",))  # type: ignore[no-any-return]
        of_bbq = name.startswith("bbq") or name in {"yes_no", "label_prior", "sycophancy"}
        made = entry(file=two_templates if of_bbq else str(fixtures / FILES[name]))
        return made

    return make


@pytest.mark.parametrize("name", NAMES)
def test_metrics_exist_and_selections_name_metrics_and_groups(name: str) -> None:
    entry = registry.get("benchmarks", name)
    assert set(entry.metrics) <= set(registry.names("metrics"))
    select = entry.model_construct().select()
    assert set(select) <= set(entry.metrics)
    assert {column for wanted in select.values() for column in wanted} <= set(entry.by)


@pytest.mark.parametrize("name", NAMES)
def test_cards_name_their_source_and_every_setting_is_described(name: str) -> None:
    entry = registry.get("benchmarks", name)
    assert re.search("https://", entry.card.source)
    assert entry.card.title
    assert entry.card.needs
    assert all(field.description for field in entry.model_fields.values())


@pytest.mark.parametrize("name", NAMES)
def test_items_score_and_reduce_to_every_metric(
    name: str,
    benchmark_of: Callable[[str], Benchmark],
    respond: Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]],
) -> None:
    benchmark = benchmark_of(name)
    items = benchmark.load().items
    rng = np.random.default_rng(1)

    def scorer(prompt: str, text: str) -> TextScore:
        size = int(rng.integers(1, 6))
        return TextScore(tuple(range(size)), tuple(-rng.exponential(2.0, size)))

    scores = [benchmark.score(item, respond(item, scorer)) for item in items]
    table = ScoreTable.of(items, scores)
    assert len(table) == len(items) == len({item.id for item in items})
    assert set(benchmark.by) <= set(table.groups)
    for metric_name in benchmark.metrics:
        metric = registry.get("metrics", metric_name)()
        assert set(metric.needs) <= set(table.values)
        kept = table.where(np.all([~np.isnan(table[need]) for need in metric.needs], axis=0))
        value = float(metric.value(metric.sums(kept).sum(axis=0)))
        assert np.isfinite(value)
        assert metric.low is None or value >= metric.low
        assert metric.high is None or value <= metric.high


@pytest.mark.parametrize("name", NAMES)
def test_score_is_pure(
    name: str, benchmark_of: Callable[[str], Benchmark], respond: Callable[..., tuple[Response, ...]]
) -> None:
    benchmark = benchmark_of(name)
    item = benchmark.load().items[0]
    responses = respond(item, lambda prompt, text: TextScore((1, 2), (-1.0, -0.1 * len(text))))
    assert benchmark.score(item, responses) == benchmark.score(item, responses)


@pytest.mark.parametrize("suite", SUITES)
def test_suites_name_benchmarks_with_settings_that_they_have(suite: str) -> None:
    entries = SUITES[suite]  # type: ignore[index]
    assert len({entry.benchmark for entry in entries}) == len(entries)
    for entry in entries:
        made = registry.get("benchmarks", entry.benchmark)(**entry.settings)
        assert {name: getattr(made, name) for name in entry.settings} == dict(entry.settings)


def test_every_metric_is_used_by_a_benchmark() -> None:
    used = {metric for name in NAMES for metric in registry.get("benchmarks", name).metrics}
    assert used == set(registry.names("metrics"))
