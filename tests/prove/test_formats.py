"""The chat format of a trial holds in fitting too, unless a method is set to one; then the trial says what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fixtures import tiny

import evenhand as eh
from evenhand.core.trial import Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import Chat, configured
from evenhand.mitigate.batch_calibration import BatchCalibration
from evenhand.mitigate.leace import Leace
from evenhand.model import Model, Patch

PATCHES = ("patch", "sham-prior-of-unrelated-text", "rival-logit_offset")


@pytest.fixture
def talking() -> Model:
    return Model.wrap(tiny.network("llama"), tiny.tokenizer(chat=tiny.CHAT), name="talking")


@pytest.fixture
def questions(tmp_path: Path) -> Benchmark:
    """Ninety-six questions that share no runs of words, in both orders of Yes and No."""
    rows = [
        {"qid": f"q{number}", "question": " ".join(f"{31 * number + step}" for step in range(16)), "answer": True}
        for number in range(96)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    return configured("yes_no", {"questions": "strategyqa", "file": str(tmp_path / "rows.json")})


def run(model: Model, questions: Benchmark, out: Path, chat: Chat, method: BatchCalibration) -> Trial:
    given: dict[str, Any] = {"fit_on": questions, "test_on": [questions], "guards": [], "draws": 200}
    return eh.trial(model, method, chat=chat, out=out, **given)


def test_what_leaves_its_format_open_is_fitted_in_the_trials(
    talking: Model, questions: Benchmark, tmp_path: Path
) -> None:
    """Method, sham and rival, each as in a fit of its own that is set to this format."""
    priors: dict[Chat, torch.Tensor] = {}
    chats: tuple[Chat, ...] = ("on", "off")
    for chat in chats:
        found = run(talking, questions, tmp_path / chat, chat, BatchCalibration())
        for folder in PATCHES:
            patch = Patch.load(tmp_path / chat / folder)
            assert getattr(patch.method, "chat", "") == chat, folder
        fitted = Patch.load(tmp_path / chat / "patch")
        own = eh.fit(talking, BatchCalibration(chat=chat), eh.items(questions, fold="fit").items)
        for name, tensor in own.tensors.items():
            assert torch.equal(fitted.tensors[name], tensor)
        priors[chat] = torch.stack(list(own.tensors.values()))
        asked = "in" if chat == "on" else "without"
        assert f"Asked {asked} the chat format" in " ".join(fitted.provenance.notes)
        assert not any("was fitted" in note for note in found.notes)
    assert not torch.allclose(priors["on"], priors["off"], atol=1e-3)


def test_a_format_of_its_own_is_kept_and_said(talking: Model, questions: Benchmark, tmp_path: Path) -> None:
    found = run(talking, questions, tmp_path / "trial", "auto", BatchCalibration(chat="off"))
    assert getattr(Patch.load(tmp_path / "trial" / "patch").method, "chat", "") == "off"
    said = "batch_calibration was fitted without the chat format, but yes_no is asked in it."
    assert said in found.notes


def test_a_method_without_formats_stays_as_it_is() -> None:
    assert Leace().asking("off") == Leace()
    assert BatchCalibration(chat="on").asking("off").chat == "on"
    assert BatchCalibration().asking("off").chat == "off"
    assert BatchCalibration().asking("auto") == BatchCalibration()
