"""The repository as syntax trees, for the tests of its architecture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "evenhand"


@cache
def parsed(file: Path) -> ast.Module:
    """Syntax tree of a source file."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def sources(*folders: str) -> list[Path]:
    """Python files of the package, or of some of its folders, sorted."""
    roots = [PACKAGE / folder for folder in folders] or [PACKAGE]
    return sorted(file for root in roots for file in root.rglob("*.py"))


def everywhere() -> list[Path]:
    """All Python files of the repository that people write."""
    return sorted(file for folder in ("src", "tests", "benchmarks") for file in (ROOT / folder).rglob("*.py"))


def folder(file: Path) -> str:
    """Folder of the package that a source file lies in, "" for the package itself."""
    inside = file.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else ""


def imports(file: Path, *, types: bool = True) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported, also in functions and, unless told not to, for types only."""
    checked = [
        node
        for block in ast.walk(parsed(file))
        if isinstance(block, ast.If) and dotted(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    ]
    for node in ast.walk(parsed(file)):
        if not types and node in checked:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = ("evenhand", *file.relative_to(PACKAGE).parts[:-1])
                module = ".".join((*package[: len(package) - node.level + 1], *filter(None, [module])))
            for name in node.names:
                yield node.lineno, f"{module}.{name.name}"


def dotted(node: ast.AST) -> str:
    """Name of an expression such as `a.b.c`, "" if it is anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return ""


def at(file: Path, line: int, what: str) -> str:
    """One finding, as editors understand it."""
    return f"{file.relative_to(ROOT)}:{line}: {what}"
