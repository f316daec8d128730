"""Catalogues: a file without a leading underscore in a catalogue folder is an entry, and its name is the entry's name.

The class in the file is the one whose `name` equals the file's stem. Third parties add entries by entry points in the
group `evenhand.<kind>`. Nothing is imported before it is asked for; a file that fails to import is kept as broken and
its error is raised when the entry is asked for by name, never skipped.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from evenhand.core.errors import UnknownName, UsageError

FOLDERS: Mapping[str, str] = {
    "benchmarks": "evenhand.measure",
    "metrics": "evenhand.metrics",
    "locators": "evenhand.locate",
    "mitigations": "evenhand.mitigate",
    "controls": "evenhand.mitigate.controls",
}
"""Kind of catalogue entry -> the package that holds its files."""


def names(kind: str) -> list[str]:
    """Sorted names of all entries of a kind; imports none of them."""
    return sorted({*_files(kind), *_plugins(kind)})


def get(kind: str, name: str) -> type[Any]:
    """The class registered under a name.

    Raises:
        UnknownName: there is no such entry.
        UsageError: the file exists but does not define a class of that name.
    """
    if name in _files(kind):
        module = importlib.import_module(f"{FOLDERS[kind]}.{name}")
        found = [
            thing
            for thing in vars(module).values()
            if isinstance(thing, type) and thing.__module__ == module.__name__ and thing.__dict__.get("name") == name
        ]
        if len(found) != 1:
            raise UsageError(
                f"{module.__name__} must define exactly one class with name = {name!r}, found {len(found)}"
            )
        return found[0]
    plugins = _plugins(kind)
    if name in plugins:
        loaded: type[Any] = plugins[name].load()
        return loaded
    raise UnknownName(kind.rstrip("s"), name, names(kind))


def kind_of(method: str) -> Literal["mitigations", "controls"]:
    """Whether a method is a mitigation or a control.

    Raises:
        UnknownName: it is neither.
    """
    if method in names("mitigations"):
        return "mitigations"
    if method in names("controls"):
        return "controls"
    raise UnknownName("mitigation", method, [*names("mitigations"), *names("controls")])


def entries(kind: str) -> Iterator[tuple[str, type[Any]]]:
    """All entries of a kind with their classes, by name."""
    for name in names(kind):
        yield name, get(kind, name)


def by_class(kinds: Sequence[str], name: str) -> type[Any] | None:
    """The entry whose name without underscores is the name of this class, in any case; None if there is none."""
    wanted = name.lower()
    for kind in kinds:
        for entry in names(kind):
            if entry.replace("_", "") == wanted:
                return get(kind, entry)
    return None


def class_names(kinds: Sequence[str]) -> list[str]:
    """What `by_class` understands: `SentenceDebias` for `sentence_debias`."""
    return sorted("".join(part.capitalize() for part in entry.split("_")) for kind in kinds for entry in names(kind))


@cache
def _files(kind: str) -> tuple[str, ...]:
    package = importlib.import_module(FOLDERS[kind])
    modules = (module for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    return tuple(module.name for module in modules if not module.name.startswith("_"))


def _plugins(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"evenhand.{kind}")}
