"""The page about NASA: what was met and missed follows from the stored numbers, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.report import trials

from . import pages

pytestmark = pytest.mark.usefixtures("generate")
UNITS = {"yes_rate_gap": "%", "accuracy": "%", "accuracy_norm": "%"}


def number(name: str, before: float, after: float, **other: Any) -> dict[str, Any]:
    """A number as the script stores it, three seeds alike."""
    found = {
        "name": name,
        "by": {},
        "before": before,
        "after": after,
        "change": after - before,
        "low": after - before - 0.1,
        "high": after - before + 0.1,
        "ideal": None,
        "unit": UNITS.get(name.partition(".")[2], ""),
        "beyond": None,
        "each": [after] * 3,
    }
    return found | other


def group(gap: float, kappa: float, ece: float, auc: float, mmlu: float, **other: Any) -> list[dict[str, Any]]:
    return [
        number("yes_no.yes_rate_gap", -31.0, gap),
        number("yes_no.yes_rate_gap", -20.0, gap, by={"order": "yes_first"}),
        number("yes_no.order_kappa", 0.18, kappa, **other),
        number("yes_no.ece_width", 0.2, ece),
        number("yes_no.auc", 0.53, auc),
        number("arc.accuracy_norm", 30.0, 30.0),
        number("mmlu.accuracy", 25.0, mmlu),
    ]


def entries() -> list[dict[str, Any]]:
    ours = group(-3.9, 0.46, 0.09, 0.53, 24.5, beyond=[-0.1, -0.2, -0.05])
    theirs = group(4.1, 0.44, 0.11, 0.52, 23.9)
    constant = group(-3.9, 0.46, 0.09, 0.52999, 24.05)
    proof = {"verdict": "not_beyond_sham", "why": "The sham does as much."}
    curve = {"yes_first": [[40, 0.6, 0.5], [3, 0.9, 0.1]], "no_first": []}
    compared = {
        "row": "together",
        "groups": {"nasa_balanced": ours, "random heads": theirs, "logit_offset": constant},
        "curves": {"before": curve},
        "heads": {"nasa_balanced, seed 0": {"tried": [[3, 1], [4, 2]], "kept": [[4, 2]]}},
        "proof": proof,
        "items": {"yes_no": 2002, "arc": 200, "mmlu": 100},
        "base": {"strategyqa": 0.47, "boolq": 0.66},
    }
    fitted = {"row": "nasa_balanced, seed 0", "seconds_fit": 93.4, "notes": ["a", "Monitor after: 9.3 seconds"]}
    return [fitted, compared]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import nasa_results

    monkeypatch.setattr(nasa_results, "STORED", tmp_path / "nasa.json")
    return tmp_path / "nasa.json"


def rows(markdown: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines}


def test_it_says_when_nothing_is_stored(file: Path) -> None:
    import nasa_results

    assert "Nothing is stored yet" in nasa_results.targets("")
    file.write_text(json.dumps(entries()[:1]), "utf-8")
    assert "Nothing is stored yet" in nasa_results.targets("")
    makers = (nasa_results.whole, nasa_results.parts, nasa_results.reliability, nasa_results.heads)
    assert [make("") for make in makers] == [""] * 4


def test_targets_are_judged_by_the_numbers(file: Path) -> None:
    import nasa_results

    file.write_text(json.dumps(entries()), "utf-8")
    page = nasa_results.targets("")
    judged = [cells for name, cells in rows(page).items() if name not in ("target", "---")]
    assert len(judged) == 5
    assert all("**met**" in ours and "**missed**" in theirs for ours, theirs, _ in judged)
    assert all("**met**" in constant for *_, constant in judged[:4]), "a change that is written as 0 is none"
    assert "**undecided" in judged[4][2], "a loss of 0.95 whose interval reaches beyond 1"
    assert "+0.100 (+0.050 to +0.200) nearer to 1 than random heads do: more" in page
    assert "The sham does as much." in page
    assert "Not measured yet: nasa, seed 0, random heads, seed 0, nasa_balanced, seed 1" in page


def test_ability_is_judged_by_the_larger_samples_where_there_are_any(file: Path) -> None:
    import nasa_results

    lost = [number(name, 25.0, 23.0) for name in nasa_results.ABILITY]
    larger = {"row": "ability", "numbers": lost, "items": {"arc": 1165, "mmlu": 1000}}
    file.write_text(json.dumps([*entries(), larger]), "utf-8")
    page = nasa_results.targets("")
    judged = [cells for name, cells in rows(page).items() if name not in ("target", "---")]
    assert "**missed**" in judged[4][0]
    assert "for `nasa_balanced` 1,165 and 1,000" in page


def test_tables_show_seeds_orders_bins_and_heads(file: Path) -> None:
    import nasa_results

    file.write_text(json.dumps(entries()), "utf-8")
    kappa = next(cells for name, cells in rows(nasa_results.whole("")).items() if "appa" in name)
    assert kappa[1].startswith("0.46 (0.46, 0.46, 0.46)<br>+0.28")
    parts = nasa_results.parts("")
    assert "StrategyQA 47.0 %, BoolQ 66.0 %" in parts
    assert rows(nasa_results.reliability("")) != {}
    assert "0.60: 0.50 (40)" in nasa_results.reliability("")
    assert "0.90" not in nasa_results.reliability("")
    assert rows(nasa_results.heads(""))["nasa_balanced, seed 0"][:3] == ["L4.2", "L3.1", "93"]


def test_what_the_script_stores_is_what_the_page_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    import nasa_results

    loaded = pages.script(monkeypatch, "nasa")
    outcome = next(one for one in trials.trial().outcomes if one.role == "primary")
    assert {*loaded.number(outcome), "each"} == set(number("a.b", 0.0, 0.0))
    assert nasa_results.STORED == loaded.ledger.PUBLISHED / "nasa.json"
    assert list(loaded.arms()) == list(nasa_results.GROUPS)
    assert set(nasa_results.ROWS) < set(loaded.ROWS)
    assert {row for group in loaded.arms().values() for row in group} | {"before", "ability", "together"} == set(
        loaded.ROWS
    )
    measured = {f"{one.name}.{metric}" for one in loaded.battery() for metric in one.metrics}
    assert set(nasa_results.SHOWN) <= measured
