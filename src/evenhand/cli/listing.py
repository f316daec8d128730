"""`evenhand list`: the catalogue."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import _options as options

if TYPE_CHECKING:
    from evenhand.data.source import DataSource

_WIDEST = 100
_SOURCES = {
    "perplexity": ("gap",),
    "gas": ("gap",),
    "yes_no": ("bbq",),
    "label_prior": ("bbq",),
    "sycophancy": ("bbq",),
    "bbq_letters": ("bbq",),
    "bbq_lm_eval": ("bbq",),
}
"""Data of the benchmarks that are not called like their data."""
_OTHERS = re.compile(r"([^\W\d_][\w'\u2019-]*) et al\b")
_YEAR = re.compile(r"(?<![\w/.-])(?:19|20)\d\d\b")


class Kind(StrEnum):
    """What can be listed."""

    benchmarks = "benchmarks"
    metrics = "metrics"
    locators = "locators"
    mitigations = "mitigations"
    controls = "controls"
    suites = "suites"
    models = "models"
    data = "data"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue: a name, what it is, and details by their names."""

    name: str
    text: str
    details: dict[str, str]
    shown: tuple[str, ...]  # the details as the terminal shows them


def listing(
    kind: Annotated[
        Kind | None, typer.Argument(metavar="KIND", help="One part of the catalogue.", show_default="all")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show what there is: benchmarks, metrics, locators, mitigations, controls, suites, models, data.

    Examples:

      evenhand list

      evenhand list mitigations

      evenhand list data
    """
    found = {one.value: entries(one) for one in ([kind] if kind else Kind)}
    if json:
        import json as coder

        document = {
            name: [{"name": one.name, "is": one.text, **one.details} for one in rows] for name, rows in found.items()
        }
        print(coder.dumps(document, indent=1))
        return
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    for number, (name, rows) in enumerate(found.items()):
        typer.secho(f"{chr(10) if number else ''}{name}", bold=True)
        column = max((len(one.name) for one in rows), default=0) + 2
        for one in rows:
            _show(one, column, width)


def _show(entry: Entry, column: int, width: int) -> None:
    """The name, and beside it the text and below that the details, wrapped."""
    indent = " " * column
    print(textwrap.fill(f"{entry.name:<{column}}{entry.text}", width, subsequent_indent=indent, break_on_hyphens=False))
    if entry.shown:
        details = "; ".join(entry.shown)
        typer.secho(
            textwrap.fill(details, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False),
            dim=True,
        )


def entries(kind: Kind) -> list[Entry]:
    """One part of the catalogue."""
    match kind:
        case Kind.benchmarks:
            return _benchmarks()
        case Kind.metrics:
            return _metrics()
        case Kind.locators:
            return _locators()
        case Kind.mitigations | Kind.controls:
            return _methods(kind.value)
        case Kind.suites:
            return _suites()
        case Kind.models:
            return _sources("model")
        case Kind.data:
            return _sources("data")


def _benchmarks() -> list[Entry]:
    from evenhand.core import registry

    out = []
    for name, cls in registry.entries("benchmarks"):
        settings = ", ".join(cls.model_fields)
        details = {"needs": cls.card.needs, "settings": settings, "source": cls.card.source}
        out.append(Entry(name, cls.card.title, details, (short(cls.card.source), cls.card.needs, f"--set {settings}")))
    return out


def _metrics() -> list[Entry]:
    from evenhand.core import registry

    out = []
    for name, cls in registry.entries("metrics"):
        ideal = "none" if cls.ideal is None else f"{cls.ideal:.4g} {cls.unit}".strip()
        out.append(Entry(name, f"{cls.card.title} Ideal: {ideal}.", {"ideal": ideal, "source": cls.card.source}, ()))
    return out


def _locators() -> list[Entry]:
    from evenhand.core import registry

    return [
        _method(name, cls, (cls.locate_on.benchmark, cls.locate_on.settings), "reads")
        for name, cls in registry.entries("locators")
    ]


def _methods(kind: str) -> list[Entry]:
    from evenhand.core import registry

    return [
        _method(name, cls, None if cls.fit_on is None else (cls.fit_on.benchmark, cls.fit_on.settings), "fitted on")
        for name, cls in registry.entries(kind)
    ]


def _method(name: str, cls: type[Any], items: tuple[str, Mapping[str, object]] | None, word: str) -> Entry:
    """A locator, mitigation or control: paper, what it needs, its items, whether these are at hand, settings."""
    settings = ", ".join(cls.model_fields)
    on = f"{word} {items[0]}" if items else "needs no data"
    offline = _offline(items)
    details = {
        "needs": cls.card.needs,
        "items": on,
        "offline": offline,
        "settings": settings,
        "source": cls.card.source,
    }
    given = f"--set {settings}" if settings else ""
    shown = (short(cls.card.source).rstrip("."), cls.card.needs, on, offline, given)
    return Entry(name, cls.card.title, details, tuple(filter(None, shown)))


def _offline(items: tuple[str, Mapping[str, object]] | None) -> str:
    """Whether the data of a benchmark are at hand, without reading them."""
    from evenhand.data import source

    if items is None:
        return "runs offline"
    benchmark, settings = items
    wanted = _SOURCES.get(benchmark, (benchmark,))
    names = [name for name in (*wanted, *map(str, settings.values())) if name in source.names()]
    missing = [name for name in dict.fromkeys(names) if source.get(name).state() == "to fetch"]
    return f"fetches {', '.join(missing)} first" if missing else "runs offline"


def _suites() -> list[Entry]:
    from evenhand.measure._suites import SUITES

    def holds(benchmark: str, settings: dict[str, object], limit: int | None) -> str:
        details = [f"{key}={value}" for key, value in settings.items()] + ([f"{limit:,} items"] if limit else [])
        return benchmark + (f" ({', '.join(details)})" if details else "")

    return [
        Entry(name, ", ".join(holds(e.benchmark, dict(e.settings), e.limit) for e in suite), {}, ())
        for name, suite in SUITES.items()
    ]


def _sources(kind: str) -> list[Entry]:
    from evenhand.data import source

    found = [(name, source.get(name)) for name in source.names()]
    return [_source(name, one) for name, one in found if one.kind == kind]


def _source(name: str, one: DataSource) -> Entry:
    state = one.state()
    licence = one.licence + (" (to be accepted)" if one.needs_licence else "")
    details = {
        "licence": licence,
        "size": f"{one.size / 1e6:,.1f} MB",
        "state": state if state != "to fetch" or one.fetchable else "only from EVENHAND_DATA",
    }
    return Entry(name, one.title, details, tuple(details.values()))


def short(source: str) -> str:
    """First author and year of a source: 'Nadeem et al. 2021'; its first clause if it names no year.

    The authors are looked for before an "et al.", else in the sentence (or bracket) that holds the first year.
    """
    year = _YEAR.search(source)
    if year is None:
        return textwrap.shorten(re.split(r"[,.;:] ", source)[0].rstrip("."), 40, placeholder=" ...")
    named = _OTHERS.search(source[: year.start()])
    if named is not None:
        return f"{named[1]} et al. {year.group()}"
    sentence = re.split(r"\. |\(", source[: year.start()])[-1].strip()
    first, _, others = sentence.partition(",")
    name = first.removesuffix(" et al.").removesuffix(" et al")
    several = name != first or others.count(",") > 0
    return f"{name}{' et al.' if several else ''} {year.group()}"
