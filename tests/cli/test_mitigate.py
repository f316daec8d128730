"""`evenhand mitigate`: what it writes, says and returns; guards, gates, settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.trial import Trial

Evenhand = Callable[..., Any]
Files = Callable[[], set[str]]
PLAIN = ("--guards", "none", "--rivals", "none")


def leace(many: str, *more: str) -> tuple[str, ...]:
    return ("mitigate", "tiny", "--with", "leace", "--fit-on", many, "--on", f"pairs:{many}", *PLAIN, *more)


def read(folder: Path) -> Trial:
    return Trial.model_validate_json((folder / "trial.json").read_text("utf-8"))


def test_it_writes_patch_shams_trial_and_report_and_shows_the_verdict(
    evenhand: Evenhand, here: Path, many: str, files: Files
) -> None:
    done = evenhand(*leace(many), charts=True)
    assert done.code == 0
    out = "trials/tiny-leace"
    wanted = {"patch/patch.json", "sham-shuffled-labels/patch.json", "trial.json", "report.html", "measured/before"}
    assert {f"{out}/{name}" for name in wanted} <= files()
    assert done.out.splitlines()[1].startswith("leace on tiny: ")
    assert "Primary numbers" in done.out
    assert done.out.endswith(f"Report: {out}/report.html\n")
    assert f"evenhand audit tiny --with {out}/patch" in done.out
    assert "fitting leace: " in done.err
    assert "sham: shuffled labels: pairs: " in done.err
    page = (here / out / "report.html").read_text("utf-8")
    assert "<svg" in page
    assert f"--with {out}/patch" in page
    assert read(here / out).command == f"evenhand {' '.join(leace(many))}"


def test_no_line_is_wider_than_80_columns(evenhand: Evenhand, trial: str) -> None:
    lines = evenhand("report", trial).out.splitlines()
    assert max(map(len, lines)) <= 80


def test_json_is_the_trial_and_nothing_else_on_stdout(evenhand: Evenhand, here: Path, many: str) -> None:
    done = evenhand(*leace(many, "--json", "--out", "out"))
    assert json.loads(done.out) == json.loads((here / "out" / "trial.json").read_text("utf-8"))


def test_resume_goes_on_and_without_it_a_finished_trial_is_refused(evenhand: Evenhand, here: Path, many: str) -> None:
    assert evenhand(*leace(many, "--out", "out", "-q")).code == 0
    first = (here / "out" / "patch" / "patch.json").read_bytes()
    again = evenhand(*leace(many, "--out", "out", "-q"))
    assert again.code == 2
    assert "add --resume" in again.err
    assert evenhand(*leace(many, "--out", "out", "-q", "--resume")).code == 0
    assert (here / "out" / "patch" / "patch.json").read_bytes() == first


def test_settings_of_the_method_are_typed_and_recorded(evenhand: Evenhand, here: Path, many: str) -> None:
    assert evenhand(*leace(many, "--set", "amount=0.5", "--shams", "0", "--out", "out", "-q")).code == 0
    assert read(here / "out").settings["amount"] == 0.5
    assert [arm.role for arm in read(here / "out").arms] == ["method"]


def test_several_seeds_get_a_patch_each_and_with_wants_one_of_them(evenhand: Evenhand, here: Path, many: str) -> None:
    assert evenhand(*leace(many, "--seeds", "2", "--shams", "0", "--out", "out", "-q")).code == 0
    assert len(read(here / "out").by_seed) == 2
    done = evenhand("measure", "tiny", "--on", "pairs:pairs.csv", "--with", "out", "-q")
    assert done.code == 2
    assert "a patch for each of 2 seeds. Name one of them, e.g. out/patch-0" in done.err
    assert evenhand("measure", "tiny", "--on", "pairs:pairs.csv", "--with", "out/patch-1", "-q").code == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--guards", "pairs.log_ratio<=-1000"], 3, "Guard failed: pairs.log_ratio<=-1000 (leace)"),
        (["--guards", "pairs.log_ratio<=+1000"], 0, ""),
        (["--gate", "improved"], 3, "Gate failed: the verdict is"),
        (["--gate", "pairs.stereotype_rate<=100"], 0, ""),
        (["--gate", "pairs.stereotype_rate>100"], 3, "Gate failed: pairs.stereotype_rate is"),
    ],
)
def test_guards_and_gates_decide_the_exit_code(
    evenhand: Evenhand, many: str, options: list[str], code: int, said: str
) -> None:
    line = ["mitigate", "tiny", "--with", "leace", "--fit-on", many, "--on", f"pairs:{many}", "--shams", "0", "-q"]
    done = evenhand(*line, "--rivals", "none", *(["--guards", "none"] if "--guards" not in options else []), *options)
    assert done.code == code
    assert said in done.err


def test_a_dry_run_says_how_long_measuring_takes_and_writes_nothing(
    evenhand: Evenhand, many: str, files: Files
) -> None:
    before = files()
    done = evenhand(*leace(many, "--seeds", "2", "--dry-run"))
    assert done.code == 0
    assert "fold test" in done.out
    assert "Measured 5 times: untouched, 2 seeds, 2 shams." in done.out
    assert "Fitting comes on top: leace 2 times, each sham 2 times." in done.out
    assert "Nothing was written to trials/tiny-leace." in done.out
    plan = json.loads(evenhand(*leace(many, "--dry-run", "--json")).out)
    assert plan["tokens"] > 0
    assert files() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--with", "laece"], "There is no mitigation 'laece'. Did you mean 'leace'"),
        (["--with", "leace", "--set", "amuont=1"], "There is no setting of leace 'amuont'. Did you mean 'amount'"),
        (["--with", "leace", "--set", "amount"], "is not of the form KEY=VALUE"),
        (["--with", "leace", "--set", "amount=much"], "leace: setting 'amount': input should be a valid number"),
        (["--with", "leace", "--set", "pairs.file=x"], "about a benchmark, but --on names none"),
        (["--with", "leace", "--fit-on", "pears"], "There is no benchmark 'pears'"),
        (["--with", "leace", "--fit-on", "stereoset.json"], "e.g. stereoset:stereoset.json"),
        (["--with", "leace", "--fit-on", "pairs:"], "--fit-on 'pairs:': a file must follow 'pairs'"),
        (["--with", "leace", "--guards", "perplexity"], "is no guard"),
        (["--with", "leace", "--on", "pairs:pairs.csv", "--gate", "fine"], "neither a verdict"),
        (["--with", "leace", "--on", "pairs:pairs.csv", "--guards", "none", "--gate", "bbq.x<=1"], "'bbq'"),
        (["--with", "leace", "--rivals", "nobody"], "There is no mitigation 'nobody'"),
        (["--with", "instruction", "--grid"], "--grid: instruction has no strength to vary"),
        (["--with", "head_mask", "--set", "heads=@none.json"], "none.json is missing"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_before_the_model_is_loaded(
    evenhand: Evenhand, files: Files, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setattr("evenhand.model.Model.load", None)
    before = files()
    done = evenhand("mitigate", "tiny", *options)
    assert done.code in (1, 2)
    assert done.out == ""
    assert said in " ".join(done.err.split())
    assert files() == before


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    evenhand: Evenhand, here: Path, many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand.prove import _prove

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(_prove, "_continuations", stop)
        done = evenhand(*leace(many, "--out", "out"))
    assert done.code == 130
    assert "What was done is kept in out: repeat the command with --resume to go on." in done.err
    assert (here / "out" / "patch" / "patch.json").is_file()
    assert evenhand(*leace(many, "--out", "out", "-q", "--resume")).code == 0


def test_settings_of_a_benchmark_go_to_what_is_fitted_on_and_to_what_is_tested() -> None:
    from evenhand.cli._settings import apart

    given = ["pairs.a=1", "corpus.column=x", "gas.count=2"]
    assert apart(given, "corpus:own.csv", "pairs:own.csv,gas") == (["corpus.column=x"], ["pairs.a=1", "gas.count=2"])
    assert apart(given, "pairs:own.csv", "pairs:own.csv") == (["pairs.a=1"], given)
    assert apart(given, None, None) == ([], given)
