"""Runs `evenhand` inside the test's process, in a folder of its own with a tiny model and small files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fixtures import tiny_data
from typer.testing import CliRunner


@dataclass(frozen=True)
class Result:
    """Exit code and output."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """The output in one line, as if the terminal were endlessly wide."""
        return " ".join(self.out.split())


Evenhand = Callable[..., Result]
PAGES = ("render_sites", "render_trial", "render_comparison")


@pytest.fixture
def here(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: `tiny` (a model), `pairs.csv`, `stereoset.json`, `bbq.jsonl`; an empty cache, no network."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "tiny").symlink_to(tiny_folder)
    tiny_data.pairs(folder / "pairs.csv")
    tiny_data.stereoset(folder / "stereoset.json")
    tiny_data.bbq(folder / "bbq.jsonl")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("COLUMNS", "80")
    return folder


@pytest.fixture
def evenhand(here: Path, monkeypatch: pytest.MonkeyPatch) -> Evenhand:
    """Run a command line. An exception that is not ours, which a user would see as a traceback, fails the test."""
    from evenhand.cli._app import app
    from evenhand.report import html

    drawing = {name: getattr(html, name) for name in ("render", *PAGES)}

    def call(*args: str, charts: bool = False) -> Result:
        for name, draw in drawing.items():
            monkeypatch.setattr(html, name, draw if charts else lambda *found: found[-1].write_text("stub", "utf-8"))
        monkeypatch.setattr("sys.argv", ["evenhand", *args])
        result = CliRunner().invoke(app, args)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def many(here: Path) -> str:
    """A CSV of 60 sentence pairs in 40 clusters: enough for every fold."""
    return str(tiny_data.many_pairs(here / "many.csv").relative_to(here))


@pytest.fixture(scope="session")
def proved(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """Folder of a finished trial of `leace` on the tiny model, with its shams. Do not write to it."""
    from evenhand.cli._app import app
    from evenhand.report import html

    folder = tmp_path_factory.mktemp("proved")
    (folder / "tiny").symlink_to(tiny_folder)
    tiny_data.many_pairs(folder / "many.csv")
    line = ["mitigate", "tiny", "--with", "leace", "--fit-on", "many.csv", "--on", "pairs:many.csv", "--guards", "none"]
    line += ["--rivals", "none", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EVENHAND_CACHE", str(folder / "cache"))
        patch.setattr(html, "render_trial", lambda found, path: path.write_text("stub", "utf-8"))
        patch.setattr("sys.argv", ["evenhand", *line])
        done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    return folder / "trials" / "tiny-leace"


@pytest.fixture
def trial(proved: Path, here: Path) -> str:
    """A copy of the finished trial in the working folder."""
    shutil.copytree(proved, here / "trials" / "tiny-leace")
    return "trials/tiny-leace"


@pytest.fixture
def files(here: Path) -> Callable[[], set[str]]:
    """Names of all files below the working folder."""

    def names() -> set[str]:
        return {str(path.relative_to(here)) for path in here.rglob("*")}

    return names
