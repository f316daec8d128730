"""`evenhand compare` and `evenhand report` on trials and sites."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.report import trials

from evenhand.core.trial import Verdict

Evenhand = Callable[..., Any]


@pytest.fixture
def two(here: Path) -> tuple[str, str]:
    """Folders of two trials."""
    for name, found in (("one", trials.trial()), ("two", trials.seeds(Verdict.IMPROVED, Verdict.NO_EFFECT))):
        (here / name).mkdir()
        (here / name / "trial.json").write_text(found.model_dump_json(by_alias=True), "utf-8")
    return "one", "two"


def test_trials_stand_side_by_side(evenhand: Evenhand, two: tuple[str, str]) -> None:
    done = evenhand("compare", *two)
    assert done.code == 0
    assert "2 trials" in done.out
    assert "StereoSet: Stereotype score (SS)" in done.out
    assert "No sham was measured in two." in done.flat
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_page_is_written_where_it_is_asked_for(evenhand: Evenhand, here: Path, two: tuple[str, str]) -> None:
    done = evenhand("compare", *two, "--out", "both.html", charts=True)
    assert done.out.endswith("Report: both.html\n")
    assert "Trials compared" in (here / "both.html").read_text("utf-8")


def test_json_holds_verdicts_and_outcomes(evenhand: Evenhand, two: tuple[str, str]) -> None:
    found = json.loads(evenhand("compare", *two, "--json").out)
    assert [one["verdict"] for one in found["trials"]] == ["improved", "undecided"]
    assert [line["outcome"]["change"]["value"] for line in found["bias"]["stereoset.ss"]] == [-4.8, -4.3]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["one"], 2, "only one folder"),
        (["one", "none"], 1, "none is not a folder"),
        (["one", "tiny"], 1, "trial.json is missing"),
        (["one", "two", "--out", "page.pdf"], 2, "ends in .html"),
        ([], 2, "Missing argument"),
    ],
)
@pytest.mark.usefixtures("two")
def test_what_cannot_be_compared_is_said(evenhand: Evenhand, args: list[str], code: int, said: str) -> None:
    done = evenhand("compare", *args)
    assert (done.code, done.out) == (code, "")
    assert said in " ".join(done.err.replace("\u2502", " ").split())


def test_report_renders_a_trial_again(evenhand: Evenhand, here: Path, two: tuple[str, str]) -> None:
    done = evenhand("report", "one", charts=True)
    assert done.code == 0
    assert "leace on smollm2: improved" in done.out
    assert "Improved" in (here / "one" / "report.html").read_text("utf-8")
    assert json.loads(evenhand("report", "one", "--json").out)["method"] == "leace"
    assert evenhand("report", "one", "--quiet").out == ""


def test_report_renders_sites_again(evenhand: Evenhand, here: Path) -> None:
    (here / "found").mkdir()
    (here / "found" / "sites.json").write_text(trials.heads().model_dump_json(by_alias=True), "utf-8")
    assert "2 of 81 sites" in evenhand("report", "found", charts=True).out
    assert "2 sites found" in (here / "found" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(("name", "text"), [("trial.json", "{"), ("trial.json", '{"schema": 1}'), ("sites.json", "[]")])
def test_a_damaged_file_is_named(evenhand: Evenhand, here: Path, name: str, text: str) -> None:
    (here / "bad").mkdir()
    (here / "bad" / name).write_text(text, "utf-8")
    done = evenhand("report", "bad")
    assert (done.code, done.out) == (1, "")
    assert f"bad/{name}" in done.err
