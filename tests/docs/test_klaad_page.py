"""KLAAD's page shows what the script makes of measured items: means over seeds, paired changes, aims met or missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.record import ItemRow

from . import pages

pytestmark = pytest.mark.usefixtures("generate")
TERMS = tuple(f"race/term-{number}" for number in range(12))
CATEGORIES = ("age", "gender")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    return pages.script(monkeypatch, "klaad")


def item(benchmark: str, number: int, cluster: str, groups: dict[str, str], values: dict[str, float]) -> ItemRow:
    return ItemRow(
        benchmark=benchmark,
        id=f"{number:03}",
        cluster=cluster,
        stratum=cluster.partition("/")[0] if "/" in cluster else "",
        origin=f"{benchmark}/file:{number}",
        groups=groups,
        values=values,
        status="scored",
    )


def run(folder: Path, preferred: int, nll: float) -> None:
    """Four items of each term, `preferred` of them for the stereotype, one more of the even terms; eight pairs."""
    rows = []
    for number, term in enumerate(TERMS):
        for place in range(4):
            prefers = float(place < preferred + (number % 2 == 0))
            values = {"prefers": prefers, "stereotype_related": 1.0, "anti_related": float(place > 0)}
            rows.append(item("stereoset", 4 * number + place, term, {"domain": "race"}, values))
    for number in range(8):
        prefers = {"prefers": float(number % 4 <= preferred)}
        rows.append(item("crows_pairs", number, str(number), {"category": CATEGORIES[number % 2]}, prefers))
        rows.append(item("perplexity", number, str(number), {}, {"nll": nll + number, "tokens": 4.0}))
    folder.mkdir(parents=True)
    (folder / "items.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")


@pytest.fixture
def stored(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two seeds of the variant of ours, one of its sham and of the control; what the script would publish."""
    import klaad_results

    folder = tmp_path / "klaad"
    run(folder / "before", 2, 8.0)
    for variant, seed, preferred in ((klaad_results.OURS, 0, 1), (klaad_results.OURS, 1, 2)):
        run(folder / script.slug(variant, seed), preferred, 8.2)
    run(folder / script.slug(klaad_results.OURS + script.SHAM, 0), 2, 8.0)
    run(folder / script.slug(script.CONTROLS[klaad_results.OURS], 0), 2, 7.0)
    found = script.summary(folder)
    held = {"before": 0.02, "after": 0.002, "pairs": 200}
    rows = [
        {"row": "choose: one", "numbers": {"stereoset.ss": [64.0, 58.0]}, "seconds_fit": 70.0},
        {"row": f"{klaad_results.STRONGEST}, seed 0", "attention": held},
        {"row": "summary", **found},
    ]
    file = tmp_path / "klaad.json"
    file.write_text(json.dumps(rows), "utf-8")
    monkeypatch.setattr(klaad_results, "STORED", file)
    return found


def test_a_change_is_that_of_the_mean_over_seeds(stored: Any) -> None:
    """5/8 of the items before, 3/8 and 5/8 after: the mean changes by 1/8."""
    ss = stored["klaad_balanced"]["numbers"][0]
    assert [ss["before"], *ss["seeds"], ss["after"]] == pytest.approx([62.5, 37.5, 62.5, 50.0])
    assert ss["change"] == pytest.approx(-12.5)
    assert ss["clusters"] == 12
    lms, icat = stored["klaad_balanced"]["numbers"][1:3]
    assert lms["after"] == pytest.approx(87.5)
    assert icat["seeds"] == pytest.approx([0.875 * 75, 0.875 * 75])
    beyond = stored["klaad_balanced"]["beyond"]
    assert list(beyond) == ["klaad_balanced, sham", "cross_entropy, two passes"]
    assert beyond["cross_entropy, two passes"][0]["value"] == pytest.approx(
        0.0
    )  # both seeds are as far from 50 as the control
    assert beyond["cross_entropy, two passes"][1]["value"] == pytest.approx(0.0)
    assert beyond["cross_entropy, two passes"][4]["value"] > 0


def test_the_page_says_what_is_met_and_what_is_missed(stored: Any) -> None:
    import klaad_results

    page = klaad_results.targets("")
    assert "| SS at most 57 | 50.0 | met |" in page
    assert "| ICAT at least 75 | 65.6 | **missed** |" in page
    assert "| at least 60 target terms tested, over two folds | 12 | **missed** |" in page
    assert "| \N{MINUS SIGN}90 % | met |" in page
    table = klaad_results.variants("")
    assert "| untouched model |" in table
    assert "| klaad_balanced | 2 | 50.0<br>\N{MINUS SIGN}12.5" in table
    assert "| klaad_balanced beyond klaad_balanced, sham | +0.0" in klaad_results.beyond("")
    assert "| CrowS-Pairs: age |" in klaad_results.categories("")
    assert "| one | 58.0 | 70 |" in klaad_results.choices("")


def test_nothing_stored_is_said(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import klaad_results

    assert klaad_results.STORED == script.ledger.PUBLISHED / "klaad.json"
    monkeypatch.setattr(klaad_results, "STORED", tmp_path / "none.json")
    made = (klaad_results.targets, klaad_results.variants, klaad_results.beyond, klaad_results.categories)
    for one in (*made, klaad_results.all_terms, klaad_results.choices):
        assert "Nothing is stored yet" in one("")
