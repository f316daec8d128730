"""Licences that must be accepted: asked for where somebody can answer, otherwise an error that says how."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from evenhand.cli import _model
from evenhand.cli._progress import bars
from evenhand.core.errors import LicenceNotAccepted, UsageError

Evenhand = Callable[..., Any]
GEMMA = ("measure", "gemma3-270m", "--on", "pairs:pairs.csv", "--out", "out")


def test_where_nobody_can_answer_it_is_bad_usage_that_names_terms_and_option(evenhand: Evenhand, here: Path) -> None:
    done = evenhand(*GEMMA)
    assert (done.code, done.out) == (2, "")
    assert "https://ai.google.dev/gemma/terms" in done.err
    assert "--accept-licence" in done.err
    assert not (here / "out").exists()


def test_accepting_on_the_command_line_is_remembered(evenhand: Evenhand, tmp_path: Path) -> None:
    assert evenhand(*GEMMA, "--accept-licence").code == 1, "accepted, but there is no network to fetch it from"
    assert (tmp_path / "cache" / "licences" / "gemma3-270m.json").is_file()
    again = evenhand(*GEMMA)
    assert again.code == 1
    assert "Ways to get it:" in again.err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """Somebody sits at the terminal and gives this answer; returns what happened."""

    def call(answer: bool) -> list[str]:
        happened: list[str] = []

        def load() -> Any:
            if "accepted gemma3-270m" not in happened:
                raise LicenceNotAccepted("read the terms")
            happened.append("loaded")

        def confirm(text: str, **_: object) -> bool:
            happened.append(text)
            return answer

        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(typer, "confirm", confirm)
        request = _model.ModelRequest("gemma3-270m")
        with bars(quiet=True) as progress:
            _model._with_licence(load, request, lambda name: happened.append(f"accepted {name}"), progress)
        return happened

    return call


def test_who_agrees_goes_on(asked: Callable[[bool], list[str]]) -> None:
    assert asked(True) == ["Do you accept these terms?", "accepted gemma3-270m", "loaded"]


def test_who_declines_gets_nothing(asked: Callable[[bool], list[str]]) -> None:
    with pytest.raises(UsageError, match="not accepted; nothing was fetched"):
        asked(False)
