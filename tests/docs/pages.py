"""The pages that people read, and the code blocks in them."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>\w+) -->\n)?```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the file name it is shown under, the comment right above it, where it begins."""

    page: Path
    line: int
    language: str
    title: str
    mark: str
    code: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page, text.count("\n", 0, found.start("code")), found["language"], *_empty(found, "title", "mark", "code")
        )
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


def _empty(found: re.Match[str], *names: str) -> Iterator[str]:
    return (found[name] or "" for name in names)


def name(page: Path) -> str:
    """How a page is called in the names of tests."""
    return page.relative_to(ROOT).as_posix()


def script(monkeypatch: pytest.MonkeyPatch, named: str) -> Any:
    """benchmarks/NAME.py as a module, loaded without running it; what the pages show comes from such a script."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location(f"{named}_script", ROOT / "benchmarks" / f"{named}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, found)  # where pydantic looks for the types of its fields
    spec.loader.exec_module(found)
    return found
