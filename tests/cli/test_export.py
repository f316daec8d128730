"""`evenhand export`: a folder that plain transformers loads, or a refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import evenhand as eh
from evenhand.core.requests import Compare, Scores

Evenhand = Callable[..., Any]
Files = Callable[[], set[str]]
TEXTS = ("The cat sat on the mat.", "A dog ran in the house.")


@pytest.fixture
def trained(here: Path, many: str) -> str:
    """Folder of a patch that is made of weights."""
    from evenhand.measure.pairs import Pairs
    from evenhand.mitigate.controls.cross_entropy import CrossEntropy

    model = eh.Model.load("tiny")
    patch = eh.fit(model, CrossEntropy(steps=2), eh.items(Pairs(file=many)).items)
    patch.save("trained")
    return "trained"


def test_the_folder_scores_as_the_patched_model_does(evenhand: Evenhand, here: Path, trained: str) -> None:
    done = evenhand("export", "tiny", "--with", trained, "--to", "merged")
    assert done.code == 0
    assert "Read back and scored again: 5 texts" in done.out
    assert 'from_pretrained("merged")' in done.out
    model = eh.Model.load("tiny")
    with model.install(eh.Patch.load(trained)):
        patched = model.answer([Compare(TEXTS)])[0]
    merged = eh.Model.load("merged").answer([Compare(TEXTS)])[0]
    assert isinstance(patched, Scores)
    assert isinstance(merged, Scores)
    assert [s.total for s in merged.scores] == pytest.approx([s.total for s in patched.scores], abs=1e-3)
    plain = AutoModelForCausalLM.from_pretrained("merged", dtype=torch.float32)
    untouched = AutoModelForCausalLM.from_pretrained("tiny", dtype=torch.float32)
    both = zip(plain.parameters(), untouched.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in both)


def test_json_is_the_check_and_quiet_says_nothing(evenhand: Evenhand, trained: str) -> None:
    check = json.loads(evenhand("export", "tiny", "--with", trained, "--to", "merged", "--json").out)
    assert check["largest_difference"] <= 1e-3
    done = evenhand("export", "tiny", "--with", trained, "--to", "again", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_patch_that_is_no_weights_is_refused_and_nothing_is_written(
    evenhand: Evenhand, trial: str, files: Files
) -> None:
    before = files()
    done = evenhand("export", "tiny", "--with", trial, "--to", "merged")
    assert done.code == 1
    assert "'leace' cannot become weights: it holds ActivationEdit" in done.err
    assert files() == before


def test_a_folder_that_holds_something_is_left_alone(evenhand: Evenhand, here: Path, trial: str) -> None:
    (here / "full").mkdir()
    (here / "full" / "mine.txt").write_text("mine", "utf-8")
    done = evenhand("export", "tiny", "--with", trial, "--to", "full")
    assert done.code == 2
    assert "--to full is not an empty folder" in done.err
    assert [path.name for path in (here / "full").iterdir()] == ["mine.txt"]
