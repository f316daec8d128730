"""`evenhand locate`, and handing what it found to a mitigation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.report import trials

from evenhand.cli import _settings
from evenhand.core.errors import UsageError
from evenhand.core.record import Sites

Evenhand = Callable[..., Any]
Files = Callable[[], set[str]]


def gap(many: str, *more: str) -> tuple[str, ...]:
    return ("locate", "tiny", "--by", "attention_gap", "--on", many, "--limit", "12", *more)


def written(folder: Path, found: Sites) -> Path:
    """A sites.json as `locate` leaves it."""
    folder.mkdir(exist_ok=True)
    file = folder / "sites.json"
    file.write_text(found.model_dump_json(by_alias=True), "utf-8")
    return file


def test_it_writes_sites_and_report_and_shows_a_map(evenhand: Evenhand, here: Path, many: str) -> None:
    done = evenhand(*gap(many), charts=True)
    assert done.code == 0
    out = here / "audits" / "tiny-attention_gap"
    found = Sites.model_validate_json((out / "sites.json").read_text("utf-8"))
    assert (found.locator, found.n_items, found.fold) == ("attention_gap", 12, "fit")
    assert len(found.scores) == 12
    assert found.command.startswith("evenhand locate tiny --by attention_gap")
    assert "<svg" in (out / "report.html").read_text("utf-8")
    assert "12 sites" in done.flat
    assert "layers down, heads across" in done.out
    assert done.out.endswith("Report: audits/tiny-attention_gap/report.html\n")
    assert max(map(len, done.out.splitlines())) <= 80


def test_json_is_the_record_and_the_same_command_again_computes_nothing(
    evenhand: Evenhand, here: Path, many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(evenhand(*gap(many, "--json", "--out", "out")).out)
    monkeypatch.setattr("evenhand.locate._run.locate", None)
    again = evenhand(*gap(many, "--out", "out"))
    assert "nothing was computed again" in again.flat
    assert json.loads((here / "out" / "sites.json").read_text("utf-8")) == first


def test_another_run_in_the_folder_is_refused_and_what_differs_is_named(
    evenhand: Evenhand, here: Path, many: str
) -> None:
    assert evenhand(*gap(many, "--out", "out", "-q")).code == 0
    done = evenhand(*gap(many, "--out", "out", "--seed", "1"))
    assert done.code == 2
    assert "out holds other sites. What differs (there -> now): seed: 0 -> 1" in done.err


def test_a_dry_run_estimates_the_minutes_and_writes_nothing(evenhand: Evenhand, many: str, files: Files) -> None:
    before = files()
    done = evenhand(*gap(many, "--dry-run"))
    assert (done.code, files()) == (0, before)
    assert "attention_gap: 12 items of pairs, the fold fit: about " in done.out
    assert json.loads(evenhand(*gap(many, "--dry-run", "--json")).out)["n_items"] == 12


def test_all_folds_can_be_read(evenhand: Evenhand, here: Path, many: str) -> None:
    assert (
        evenhand("locate", "tiny", "--by", "attention_gap", "--on", many, "--fold", "all", "--out", "out", "-q").code
        == 0
    )
    found = Sites.model_validate_json((here / "out" / "sites.json").read_text("utf-8"))
    assert (found.n_items, found.fold) == (60, "")


def test_with_a_patch_the_record_names_it(evenhand: Evenhand, here: Path, many: str, trial: str) -> None:
    assert evenhand(*gap(many, "--with", trial, "-q")).code == 0
    folder = here / "audits" / "tiny-attention_gap-with-tiny-leace"
    found = Sites.model_validate_json((folder / "sites.json").read_text("utf-8"))
    assert found.patch is not None
    assert found.patch["method"] == "leace"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "attention_gab"], "There is no locator 'attention_gab'. Did you mean 'attention_gap'"),
        (["--by", "attention_gap", "--set", "x=1"], "There is no setting of attention_gap 'x'"),
        (["--by", "attention_gap", "--on", "none.csv"], "There is no benchmark 'none.csv'"),
        (["--by", "attention_gap", "--on", "pairs"], "pairs needs the setting 'file'"),
        (["--by", "attention_gap", "--with", "here"], "there is no patch.json in it, nor in here/patch"),
        (["--by", "attention_gap", "--fold", "some"], "'some' is not one of"),
        ([], "Missing option '--by'"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(
    evenhand: Evenhand, files: Files, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setattr("evenhand.model.Model.load", None)
    before = files()
    done = evenhand("locate", "tiny", *options)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.replace("\u2502", " ").split())
    assert files() == before


def test_sites_are_handed_on_largest_first_and_only_those_that_were_found(here: Path) -> None:
    file = written(here / "found", trials.heads(found=((2, 1), (5, 3))))
    both = set(_settings.found(f"@{file}"))
    assert both == {"L2.heads.1", "L5.heads.3"}
    assert _settings.found(f"@{file}:1")[0] in both
    assert len(_settings.found(f"@{file}:1")) == 1
    assert set(_settings.found(f"@{file}:50")) == both
    assert _settings.found("@found") == _settings.found(f"@{file}")


@pytest.mark.parametrize(("count", "said"), [("", "found no site beyond chance"), (":0", "must be at least 1")])
def test_nothing_found_is_an_error_that_says_what_to_do(here: Path, count: str, said: str) -> None:
    file = written(here / "found", trials.heads(found=()))
    with pytest.raises(UsageError, match=said):
        _settings.found(f"@{file}{count}")


def test_found_heads_become_the_setting_of_a_mitigation(evenhand: Evenhand, here: Path, many: str) -> None:
    written(here / "found", trials.heads(found=((1, 1), (2, 3)), layers=3, count=4))
    line = ["mitigate", "tiny", "--with", "head_mask", "--set", "heads=@found/sites.json:2", "--on", f"pairs:{many}"]
    assert evenhand(*line, "--guards", "none", "--rivals", "none", "--shams", "0", "--out", "out", "-q").code == 0
    record = json.loads((here / "out" / "trial.json").read_text("utf-8"))
    assert set(record["settings"]["heads"]) == {"L1.heads.1", "L2.heads.3"}
