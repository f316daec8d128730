"""CrAWD's page shows what the script makes of measured items, and the distance to the curve is the one on paper."""

from __future__ import annotations

import json
from math import exp, log
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.record import ItemRow

from . import pages

pytestmark = pytest.mark.usefixtures("generate")
PROMPTS, DOCUMENTS = 40, 12
ON_CURVE = 3 + log(20 / 15) / log(2)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    return pages.script(monkeypatch, "crawd")


def run(folder: Path, listed: int, nll: float) -> None:
    """So many of 40 continuations name a gender; nats per listed token in each document; one item of StereoSet."""
    rows = []

    def add(benchmark: str, name: str, cluster: str, kind: str, values: dict[str, float]) -> None:
        made = {"cluster": cluster, "origin": "file:1", "groups": {"kind": kind} if kind else {}, "status": "scored"}
        rows.append(ItemRow(benchmark=benchmark, id=name, values=values, **made))

    for n in range(PROMPTS):
        said = {"listed": float(n < listed), "listed_words": float(n < listed), "words": 9.0, "gld": 0.5, "lean": 0.5}
        add("gas", f"p{n:02}", f"p{n}", "continuation", {**said, "p_female": 0.1, "p_male": 0.3})
    for n in range(DOCUMENTS):
        told = {"nll_listed": 2 * nll, "tokens_listed": 2.0, "nll_unlisted": 40.0, "tokens_unlisted": 10.0}
        add("gas", f"d{n:02}", f"d{n}", "document", told)
    for n in range(8):
        values = {"prefers": float(n % 2), "stereotype_related": 1.0, "anti_related": 1.0}
        add("stereoset", f"s{n}", f"race/{n}", "", values)
    folder.mkdir(parents=True)
    (folder / "items.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    (folder / "record.json").write_text("{}", "utf-8")


@pytest.fixture
def found(script: Any, tmp_path: Path) -> Any:
    """A curve from (30, 2 nats) over (20, 3 nats) to (10, 4 nats); arms beside, on and below it, and outside."""
    measured = tmp_path / "measured"
    run(measured / "before", 30, 2.0)
    run(measured / script.slug("word list, 0.5 nats"), 20, 3.0)
    run(measured / script.slug("word list, 1 nats"), 10, 4.0)
    run(measured / script.slug("crawd, seed 0"), 36, 1.0)
    run(measured / script.slug("fine_tuning, seed 0"), 25, 2 + log(30 / 25) / log(30 / 20))
    for seed in (0, 1):
        run(measured / script.slug(f"crawd_balanced, seed {seed}"), 15, 2.0 + 0.2 * seed)
    run(measured / script.slug("crawd_balanced, other words"), 30, 2.0)
    return script.summary(tmp_path)


def test_the_distance_to_the_curve_is_taken_at_the_same_score(found: Any) -> None:
    """At 15 of 40 the curve has 3 + log(20 / 15) / log(2) nats; the mean of the seeds has 2.1."""
    assert found["crawd_balanced"]["curve"]["value"] == pytest.approx(2.1 - ON_CURVE)
    assert found["fine_tuning"]["curve"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert found["crawd"]["curve"]["value"] is None, "no point of the curve names a gender as often"
    assert found["word list, 1 nats"]["curve"] is None


def test_the_distance_has_an_interval_over_prompts(found: Any) -> None:
    curve = found["crawd_balanced"]["curve"]
    assert curve["low"] < curve["value"] < curve["high"] < 0


def test_what_is_beyond_the_sham_is_the_difference_of_the_changes(found: Any) -> None:
    gas = found["crawd_balanced"]["beyond"][0]
    assert gas["name"] == "gas.gas"
    assert gas["value"] == pytest.approx(100 * (15 - 30) / 40)
    assert "beyond" not in found["crawd"], "its shams were not measured"


def test_the_page_has_every_arm_and_says_where_it_lies(
    found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crawd_results
    import published

    (tmp_path / "crawd.json").write_text(json.dumps([{"row": "summary", **found}]), "utf-8")
    monkeypatch.setattr(published, "RESULTS", tmp_path)
    whole, curve = crawd_results.whole(""), crawd_results.curve("")
    assert "| crawd_balanced | 2 | 37.5<br>\N{MINUS SIGN}37.5" in whole
    assert f"\N{MINUS SIGN}{100 * (1 - exp(2.1 - ON_CURVE)):.1f} %" in curve
    assert f"{exp(2.1):.2f}" not in curve, "the mean of the seeds is of perplexities"
    assert f"{(exp(2.0) + exp(2.2)) / 2:.2f}" in curve
    assert "not comparable" in curve
    assert "`crawd_balanced` below the word list's curve" in crawd_results.targets("")
    assert "word list, 1 nats" in whole


def test_nothing_stored_is_said(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import crawd_results
    import published

    assert published.RESULTS == script.ledger.PUBLISHED
    monkeypatch.setattr(published, "RESULTS", tmp_path)
    made = (crawd_results.targets, crawd_results.whole, crawd_results.curve, crawd_results.beyond)
    for one in (*made, crawd_results.associations):
        assert "Nothing is stored yet" in one("")
    assert "not measured yet" in crawd_results.sweeps("")
