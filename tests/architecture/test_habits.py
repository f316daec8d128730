"""Habits that keep the code readable, safe and repeatable."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from . import tree

LONGEST = 400
WRITTEN = {".py", ".md", ".toml", ".yml", ".cff", ".txt", ".json", ".html", ".css", ".j2", ""}
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LEGACY_RANDOM = re.compile(
    r"(np|numpy)\.random\.(?!default_rng$|Generator$|SeedSequence$|PCG64$|BitGenerator$|[gs]et_state$)\w+"
)
PUTS_BACK = {"mitigate/_kept.py"}
"""Where the states of the process-wide generators are kept and put back, round libraries that seed them."""
SEEDING = re.compile(
    r"(np|numpy)\.random\.seed|random\.seed|torch\.(manual_seed|seed|cuda\.manual_seed(_all)?)|(\w+\.)*set_seed"
)
HOST_PATH = re.compile(r"(?<![\w.~$}/-])/(work|home|root|Users|opt|mnt|srv)/\w")


def calls(file: Path) -> Iterator[ast.Call]:
    """Every call in a source file."""
    return (node for node in ast.walk(tree.parsed(file)) if isinstance(node, ast.Call))


def names(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every name and attribute in a source file."""
    for node in ast.walk(tree.parsed(file)):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.lineno, tree.dotted(node)


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in tree.everywhere()}
    found = [tree.at(file, length, "too long") for file, length in lengths.items() if length > LONGEST]
    assert not found, "\n".join(found)


def test_no_file_is_called_after_nothing_in_particular() -> None:
    vague = {"utils", "helpers", "common", "misc", "other"}
    assert [str(file) for file in tree.everywhere() if file.stem.strip("_") in vague] == []


def test_only_the_command_line_prints() -> None:
    found = [
        tree.at(file, call.lineno, "prints")
        for file in tree.sources()
        if tree.folder(file) != "cli"
        for call in calls(file)
        if tree.dotted(call.func) == "print"
    ]
    assert not found, "\n".join(found)


def test_nothing_seeds_or_uses_a_global_generator() -> None:
    found = [
        tree.at(file, line, name)
        for file in tree.everywhere()
        for line, name in names(file)
        if SEEDING.fullmatch(name) or LEGACY_RANDOM.fullmatch(name)
    ]
    found += [
        tree.at(file, line, f"imports {name}")
        for file in tree.sources()
        for line, name in tree.imports(file)
        if name.split(".")[0] == "random" and file.relative_to(tree.PACKAGE).as_posix() not in PUTS_BACK
    ]
    assert not found, "\n".join(found)


def test_nothing_is_unpickled() -> None:
    found = [
        tree.at(file, line, f"imports {name}")
        for file in tree.sources()
        for line, name in tree.imports(file)
        if name.split(".")[0] in UNSAFE
    ]
    found += [
        tree.at(file, line, name)
        for file in tree.sources()
        for line, name in names(file)
        if name in {"torch.load", "torch.jit.load", "eval", "exec"}
    ]
    assert not found, "\n".join(found)


def test_remote_code_is_never_trusted_by_default() -> None:
    found = [
        tree.at(file, call.lineno, "trusts remote code")
        for file in tree.everywhere()
        for call in calls(file)
        for keyword in call.keywords
        if keyword.arg == "trust_remote_code"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is not False
    ]
    assert not found, "\n".join(found)


def test_no_text_names_a_path_of_the_machine_it_was_written_on() -> None:
    roots = [tree.ROOT / folder for folder in ("src", "tests", "benchmarks", "docs", ".ci")]
    left = tree.ROOT / "benchmarks" / "results"  # of whoever ran them, and in no checkout
    files = [file for root in roots for file in root.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    files += [file for file in tree.ROOT.iterdir() if file.is_file()]
    found = [
        tree.at(file, number, line.strip())
        for file in sorted(files)
        if file.suffix in WRITTEN and file.name != ".git" and left not in file.parents
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if HOST_PATH.search(line)
    ]
    assert not found, "\n".join(found)
