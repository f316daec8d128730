"""`evenhand prove`, and `--with PATCH` on audit and measure."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import tiny_model

from evenhand.core.record import Record

Evenhand = Callable[..., Any]
ON = ("--on", "stereoset:stereoset.json", "--guards", "none")


def test_it_uses_the_shams_that_lie_beside_the_patch(evenhand: Evenhand, here: Path, trial: str) -> None:
    done = evenhand("prove", "tiny", "--with", trial, *ON)
    assert done.code == 0
    record = json.loads((here / "trials" / "tiny-leace-again" / "trial.json").read_text("utf-8"))
    roles = {arm["name"]: arm["role"] for arm in record["arms"]}
    assert roles["leace"] == "method"
    assert roles["sham: shuffled labels"] == "sham"
    assert f"evenhand audit tiny --with {trial}" in done.out


def test_a_patch_alone_is_proved_without_a_sham_and_that_is_said(evenhand: Evenhand, here: Path, trial: str) -> None:
    shutil.copytree(here / trial / "patch", here / "alone")
    done = evenhand("prove", "tiny", "--with", "alone", *ON)
    assert done.code == 0
    assert "No sham was measured" in done.flat
    record = json.loads((here / "trials" / "tiny-leace-again" / "trial.json").read_text("utf-8"))
    assert [arm["role"] for arm in record["arms"]] == ["method"]


def test_a_file_that_it_was_fitted_on_is_tested_on_the_fold_test(
    evenhand: Evenhand, here: Path, trial: str, many: str
) -> None:
    done = evenhand("prove", "tiny", "--with", trial, "--on", f"pairs:{many}", "--guards", "none", "-q")
    assert done.code == 0
    record = json.loads((here / "trials" / "tiny-leace-again" / "trial.json").read_text("utf-8"))
    assert record["tested_on"]["pairs"]["fold"] == "test"
    plan = evenhand("prove", "tiny", "--with", trial, "--on", f"pairs:{many}", "--guards", "none", "--dry-run")
    assert "fold test" in plan.out


def test_texts_that_it_was_fitted_on_are_refused_as_a_test(
    evenhand: Evenhand, here: Path, trial: str, many: str
) -> None:
    with (here / many).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    items = [
        {
            "id": row["id"],
            "target": row["cluster"],
            "bias_type": "gender",
            "context": row["more"].replace("He", "BLANK"),
            "sentences": [
                {"id": f"{row['id']}-{label}", "sentence": text, "gold_label": label}
                for label, text in (
                    ("stereotype", row["more"]),
                    ("anti-stereotype", row["less"]),
                    ("unrelated", row["more"].replace("He", "It")),
                )
            ],
        }
        for row in rows
    ]
    data = {"version": "test", "data": {"intrasentence": items, "intersentence": items}}
    (here / "same.json").write_text(json.dumps(data), "utf-8")
    line = ["--on", "stereoset:same.json", "--set", "stereoset.task=intrasentence", "--guards", "none", "-q"]
    done = evenhand("prove", "tiny", "--with", trial, *line)
    assert done.code == 1
    assert "runs of 8 words" in done.err
    assert "A change would be no evidence" in done.err


def test_a_patch_of_another_model_is_refused_with_both_named(evenhand: Evenhand, here: Path, trial: str) -> None:
    tiny_model.save(here / "other", seed=5)
    done = evenhand("prove", "other", "--with", trial, *ON)
    assert done.code == 1
    assert "was fitted on tiny" in done.err
    assert "this model is other" in done.err


def test_a_dry_run_counts_the_arms(evenhand: Evenhand, trial: str) -> None:
    done = evenhand("prove", "tiny", "--with", trial, *ON, "--dry-run")
    assert done.code == 0
    assert "1 patch, 2 shams" in done.out
    assert "Fitting" not in done.out


@pytest.mark.parametrize("folder", ["nowhere", "tiny"])
def test_a_folder_without_a_patch_is_bad_usage(evenhand: Evenhand, folder: str) -> None:
    done = evenhand("prove", "tiny", "--with", folder, *ON)
    assert done.code == 2
    assert f"--with {folder}: there is no patch.json in it" in done.err


def test_measure_with_a_patch_names_it_in_record_folder_and_table(evenhand: Evenhand, here: Path, trial: str) -> None:
    done = evenhand("measure", "tiny", "--on", "pairs:pairs.csv", "--with", trial)
    assert done.code == 0
    assert "tiny: with the patch leace" in done.out
    folder = here / "audits" / "tiny-pairs-with-tiny-leace"
    record = Record.model_validate_json((folder / "record.json").read_text("utf-8"))
    assert record.patch is not None
    assert record.patch["method"] == "leace"


def test_measure_with_a_patch_differs_from_without_and_shares_no_folder(
    evenhand: Evenhand, here: Path, trial: str
) -> None:
    for more in ([], ["--with", f"{trial}/patch"]):
        assert evenhand("measure", "tiny", "--on", "pairs:pairs.csv", "-q", *more).code == 0
    plain, patched = (
        (here / "audits" / name / "items.jsonl").read_text("utf-8")
        for name in ("tiny-pairs", "tiny-pairs-with-tiny-leace")
    )
    assert plain != patched
    same = evenhand("measure", "tiny", "--on", "pairs:pairs.csv", "--with", trial, "--out", "audits/tiny-pairs")
    assert same.code == 2
    assert "holds another run" in same.err
