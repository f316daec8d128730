"""Help texts: complete, with examples that parse; and nothing heavy is imported for them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from evenhand import __version__
from evenhand.cli._app import app

Evenhand = Callable[..., Any]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def examples(name: str) -> list[str]:
    return re.findall(r"^\s*(evenhand .+)$", COMMANDS[name].help, flags=re.MULTILINE)


def test_the_commands_are_those_of_the_contract() -> None:
    assert set(COMMANDS) == {
        *("audit", "measure", "locate", "mitigate", "prove", "compare", "export"),
        *("diff", "report", "list", "doctor"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_shows_an_example_and_all_options(evenhand: Evenhand, name: str) -> None:
    done = evenhand(name, "--help")
    assert done.code == 0
    assert f"evenhand {name} " in done.flat
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in done.out
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_in_the_help_parse(name: str) -> None:
    assert examples(name)
    for example in examples(name):
        program, command, *args = shlex.split(example)
        assert (program, command) == ("evenhand", name)
        COMMANDS[name].make_context(name, args)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_word_of_the_help_is_cut_off_at_80_columns(evenhand: Evenhand, name: str) -> None:
    assert "\u2026" not in evenhand(name, "--help").out


def test_the_program_without_a_command_shows_its_commands(evenhand: Evenhand) -> None:
    for done in (evenhand("--help"), evenhand("-h")):
        assert done.code == 0
        assert all(f" {name} " in done.out for name in COMMANDS)
        assert "evenhand audit smollm2" in done.out
    assert evenhand().code == 2


def test_the_version_is_shown(evenhand: Evenhand) -> None:
    assert evenhand("--version").out == f"evenhand {__version__}\n"


LOADED = """
import contextlib, io, json, sys
loaded = {}
for args in json.loads(sys.argv[1]):
    sys.argv = ["evenhand", *args]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            from evenhand.cli import main
            main()
        except SystemExit as done:
            code = done.code
    heavy = {"torch", "transformers", "scipy", "altair", "vl_convert"} & set(sys.modules)
    loaded[" ".join(args)] = [code, sorted(heavy)]
print(json.dumps(loaded))
"""


def test_help_list_and_refusals_leave_torch_unloaded(here: Path) -> None:
    commands = {
        ("--help",): 0,
        ("--version",): 0,
        ("measure", "--help"): 0,
        ("list",): 0,
        ("list", "data", "--json"): 0,
        ("mitigate", "--help"): 0,
        ("mitigate", "tiny", "--with", "laece"): 2,
        ("mitigate", "tiny", "--with", "leace", "--set", "amuont=1"): 2,
        ("locate", "tiny", "--by", "attention_gab"): 2,
        ("prove", "tiny", "--with", "none"): 2,
        ("audit", "tiny", "--with", "none"): 2,
        ("compare", "none", "neither"): 1,
        ("measure", "tiny", "--on", "pears"): 2,
        ("measure", "tiny", "--on", "stereoset", "--set", "stereoset.tusk=1"): 2,
        ("measure", "tiny", "--on", "pairs:none.csv"): 1,
        ("audit", "tiny", "--suite", "quik"): 2,
        ("audit", "tiny", "--gate", "bbq.no<=1"): 2,
        ("audit", "tiny", "--out", "pairs.csv"): 2,
    }
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(list(commands))], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {" ".join(args): [code, []] for args, code in commands.items()}


def test_python_m_evenhand_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "evenhand", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"evenhand {__version__}\n"


def test_a_reader_that_goes_away_is_no_traceback(here: Path) -> None:
    """As in `evenhand list | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-m", "evenhand", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
