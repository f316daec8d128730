"""The page of results says what is stored, marks which way numbers went, and says so when nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from . import pages

pytestmark = pytest.mark.usefixtures("generate")
MACHINE = {"processor": "Some processor", "cores": 2}


def number(before: float | None, change: float | None, half: float | None, **other: Any) -> dict[str, Any]:
    """A number as it is stored; `half` is half the width of its interval."""
    known = change is not None and half is not None
    return {
        "before": before,
        "after": None if before is None or change is None else before + change,
        "change": change,
        "low": change - half if known else None,  # type: ignore[operator]
        "high": change + half if known else None,  # type: ignore[operator]
        "ideal": 50.0,
        "unit": "%",
        "effect": None,
        "p_holm": None,
        "beyond": None,
    } | other


def arm(name: str, role: str, numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "role": role,
        "seconds_fit": 12.3,
        "seconds_measured": 210.0,
        "tensors": 1153,
        "mergeable": False,
        "numbers": numbers,
    }


def entry(**changed: Any) -> dict[str, Any]:
    """One published method: a sham beside it, one guard."""
    ours = {
        "stereoset.ss": number(62.1, -4.8, 2.1, beyond=[-4.2, -6.6, -1.8]),
        "stereoset.lms": number(89.5, -0.9, 0.7, ideal=100.0),
        "crows_pairs.stereotype_rate": number(55.6, -0.3, 1.9),
        "perplexity.perplexity": number(24.0, 0.31, 0.2, ideal=None, unit=""),
        "yes_no.order_kappa": number(None, None, None, unit="", ideal=1.0),
    }
    found = {
        "row": "leace",
        "machine": MACHINE,
        "method": "leace",
        "title": "Erases <gender> from a*b.",
        "settings": {"layers": [], "sentences": 300, "amount": 0.5},
        "fitted_on": "1,000 items of perplexity | fold 'fit'",
        "primary": ["stereoset.ss"],
        "verdict": "not_beyond_sham",
        "why": "stereoset.ss came nearer to the ideal.",
        "model": "smollm2",
        "weights": "0123456789abcdef0123",
        "dtype": "bfloat16",
        "created": "2026-03-04T10:20:00+00:00",
        "arms": [
            arm("leace", "method", ours),
            arm("sham: shuffled labels", "sham", {"stereoset.ss": number(62.1, -0.6, 1.0)}),
        ],
        "guards": [{"rule": "perplexity.perplexity<=+5%", "state": "passed", "reason": ""}],
        "tested_on": {"stereoset": 632, "crows_pairs": 600},
    }
    return found | changed


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the page is made from."""
    import published

    monkeypatch.setattr(published, "RESULTS", tmp_path)
    return tmp_path / "methods.json"


def rows(markdown: str) -> dict[str, list[str]]:
    """Lines of tables by their first cell."""
    lines = [line.replace("\\|", "/") for line in markdown.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0]: cells[1:] for cells in found}


@pytest.mark.parametrize("content", [None, "[]"])
def test_it_says_when_nothing_is_stored(file: Path, content: str | None) -> None:
    import published

    if content is not None:
        file.write_text(content, "utf-8")
    assert "Nothing is stored yet" in published.trials("methods")
    assert published.each_trial("methods") == ""


def test_the_table_has_the_untouched_model_and_every_method(file: Path) -> None:
    import published

    file.write_text(json.dumps([entry(), entry(row="inlp, twice", method="inlp", verdict="no_effect")]), "utf-8")
    page = published.trials("methods")
    head, found = page.index("| method |"), rows(page)
    assert "smollm2 in bfloat16 (weights 0123456789ab)" in page[:head]
    assert "StereoSet (632), CrowS-Pairs (600)" in page[:head]
    assert list(found) == ["method", "---", "untouched model", "[`leace`](#leace)", "[`inlp, twice`](#inlp-twice)"]
    assert {len(cells) for cells in found.values()} == {2 + len(published.columns("methods"))}
    untouched, leace = (dict(zip(found["method"], found[one], strict=True)) for one in list(found)[2:4])
    ss = next(head for head in found["method"] if "#ss)" in head)
    assert untouched[ss] == "62.1<br>ideal: 50"
    assert leace[ss] == "57.3<br>\N{MINUS SIGN}4.8 (\N{MINUS SIGN}6.9 to \N{MINUS SIGN}2.7)<br>**nearer**"
    assert leace["verdict"] == "Not beyond the sham"
    assert leace["fitted on"] == "1,000 items of perplexity / fold 'fit'"
    assert [leace[head] for head in leace if "#order_kappa" in head] == ["no number"]
    assert [leace[head] for head in leace if "#gas)" in head] == [""]


@pytest.mark.parametrize(
    ("one", "mark"),
    [
        (number(62.0, -4.0, 2.0), "**nearer**"),
        (number(62.0, 4.0, 2.0), "**farther**"),
        (number(62.0, -4.0, 4.0), ""),
        (number(62.0, -4.0, None), ""),
        (number(38.0, 4.0, 2.0), "**nearer**"),
        (number(38.0, -4.0, 2.0), "**farther**"),
        (number(52.0, -3.0, 1.0), "**nearer**, other side"),
        (number(52.0, -5.0, 1.0), "**farther**, other side"),
        (number(90.0, -4.0, 2.0, ideal=100.0), "**farther**"),
        (number(24.0, 4.0, 2.0, ideal=None), "**up**"),
        (number(24.0, -4.0, 2.0, ideal=None), "**down**"),
    ],
)
def test_the_mark_says_which_way_a_number_went(one: dict[str, Any], mark: str) -> None:
    import published

    assert published.direction(one) == mark


def test_a_small_change_is_not_written_as_none() -> None:
    import published

    shown = published.cell(number(62.1, 0.03, 0.2), "stereoset.ss")
    assert shown == "62.1<br>+0.03 (\N{MINUS SIGN}0.17 to +0.23)"
    assert published.cell(number(62.1, -0.8, None), "stereoset.ss") == "61.3<br>\N{MINUS SIGN}0.8"


def test_a_section_has_shams_guards_seconds_and_the_reason(file: Path) -> None:
    import published

    file.write_text(json.dumps([entry()]), "utf-8")
    page = published.each_trial("methods")
    found = rows(page)
    assert "**Not beyond the sham.** stereoset.ss came nearer to the ideal." in page
    assert "Erases &lt;gender&gt; from a\\*b." in page
    assert "Settings that are no defaults: `amount = 0.5`." in page
    assert found["number"] == ["leace", "sham: shuffled labels", "beyond the shams"]
    primary = found["StereoSet: Stereotype score (SS) (primary)"]
    assert primary[1].startswith("61.5<br>\N{MINUS SIGN}0.6")
    assert primary[2] == "\N{MINUS SIGN}4.2 (\N{MINUS SIGN}6.6 to \N{MINUS SIGN}1.8)"
    assert found["sham: shuffled labels"] == ["12.3", "210", "1,153", "no"]
    assert found["`perplexity.perplexity<=+5%`"][0] == "passed"


def test_a_method_without_a_sham_is_named_as_such(file: Path) -> None:
    import published

    file.write_text(json.dumps([entry(arms=entry()["arms"][:1], guards=[])]), "utf-8")
    page = published.each_trial("methods")
    assert "It has no sham" in page
    assert rows(page)["number"] == ["leace"]
    assert "No guard was set." in page


def test_what_the_script_stores_is_what_the_page_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand-made entry has the fields of `condensed`, and the columns are those of the script."""
    import published
    from tests.report import trials

    script = pages.script(monkeypatch, "methods")
    stored, made = script.condensed(trials.trial(), script.SHOWN), entry()
    assert published.columns("methods") == script.SHOWN
    assert {"row", "machine", *stored} == set(made)
    assert set(stored["arms"][0]) == set(made["arms"][0])
    assert set(stored["arms"][0]["numbers"]["stereoset.ss"]) == set(made["arms"][0]["numbers"]["stereoset.ss"])
    assert set(stored["guards"][0]) == set(made["guards"][0])
    assert {type(count) for count in stored["tested_on"].values()} == {int}
