"""`--set KEY=VALUE` for methods and locators, and the benchmarks that `--on` and `--fit-on` name."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from evenhand.cli.measure import chosen
from evenhand.core import registry
from evenhand.core.errors import UnknownName, UsageError
from evenhand.core.record import Frozen

if TYPE_CHECKING:
    from evenhand.measure._benchmark import Benchmark

Configured = TypeVar("Configured", bound=Frozen)


def configured(cls: type[Configured], settings: Sequence[str], name: str) -> Configured:
    """A method or locator with the settings `KEY=VALUE`; `KEY=@sites.json[:K]` takes the sites that were found.

    Raises:
        UnknownName: it has no such setting.
        UsageError: a setting is malformed or does not fit.
    """
    given: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting!r} is not of the form KEY=VALUE. Settings of {name}: {_fields(cls)}.")
        if key not in cls.model_fields:
            raise UnknownName(f"setting of {name}", key, cls.model_fields)
        given[key] = _value(cls.model_fields[key].annotation, value)
    try:
        return cls(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise UsageError(f"{name} needs the setting {place!r}: --set {place}=...") from error
        said = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise UsageError(f"{name}: setting {place!r}: {said}, found {first['input']!r}.") from error


def benchmarks(on: str | None, settings: Sequence[str]) -> list[Benchmark] | None:
    """Benchmarks of `--on NAME[:FILE],...` with their settings `NAME.KEY=VALUE`; None if none are named.

    Raises:
        UsageError: a part is malformed or names something that does not exist.
    """
    if on is None:
        if settings:
            raise UsageError(f"--set {settings[0]!r} is about a benchmark, but --on names none.")
        return None
    return chosen(on, settings)


def material(
    text: str | None, option: str, default: tuple[str, Mapping[str, str | int]] | None, settings: Sequence[str] = ()
) -> Benchmark | None:
    """The items that `NAME`, `NAME:FILE` or a CSV file of sentence pairs mean; the default if nothing is named.

    Args:
        text: as it was given.
        option: the option's name, for messages.
        default: the benchmark that is meant if nothing is named, with the settings that it then has; None: no items.
        settings: `NAME.KEY=VALUE`, over those of the default.

    Raises:
        UsageError: it is malformed or names something that does not exist.
    """
    if text is None and default is None:
        if settings:
            raise UsageError(f"--set {settings[0]!r} is about a benchmark, but {option} names none.")
        return None
    text = text if text is not None else default[0] if default else ""
    name, colon, file = text.partition(":")
    known = registry.names("benchmarks")
    if name not in known and os.path.isfile(text):
        if Path(text).suffix.lower() != ".csv":
            raise UsageError(
                f"{option} {text!r}: only a CSV file of sentence pairs (columns more and less) needs no name before "
                f"it. Put the benchmark in whose layout it is before it, e.g. stereoset:{text}."
            )
        name, colon, file = "pairs", ":", text
    if "," in name:
        raise UsageError(f"{option} {text!r} names several benchmarks; it takes one.")
    if name not in known:
        raise UnknownName("benchmark", name, known)
    if colon and not file:
        raise UsageError(f"{option} {text!r}: a file must follow {name!r}.")
    ours = dict(default[1]) if default and default[0] == name and not file else {}
    given = [f"{name}.{key}={value}" for key, value in ours.items()] + list(settings)
    return chosen(f"{name}{colon}{file}", given)[0]


def apart(dotted: Sequence[str], fit_on: str | None, on: str | None) -> tuple[list[str], list[str]]:
    """Settings `NAME.KEY=VALUE` of the benchmark of `--fit-on`, and those of the benchmarks of `--on`; maybe both."""
    fitted = (fit_on or "").partition(":")[0]
    tested = {part.partition(":")[0].strip() for part in (on or "").split(",")}
    of_fit = [setting for setting in dotted if setting.partition(".")[0] == fitted]
    return of_fit, [setting for setting in dotted if setting not in of_fit or fitted in tested]


def split(settings: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings of the method (`KEY=VALUE`) and those of benchmarks (`NAME.KEY=VALUE`)."""
    dotted = [setting for setting in settings if "." in setting.partition("=")[0]]
    return [setting for setting in settings if setting not in dotted], dotted


def _value(annotation: Any, value: str) -> object:
    """The text as pydantic can read it: lists at commas, "none" as None where that is allowed."""
    kinds = _kinds(annotation)
    if types.NoneType in kinds and value.lower() == "none":
        return None
    listed = tuple in kinds or list in kinds
    if value.startswith("@"):
        sites = found(value)
        return sites if listed else ",".join(sites)
    if listed:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of, generic ones without their arguments."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return {kind for part in typing.get_args(annotation) for kind in _kinds(part)}
    return {typing.get_origin(annotation) or annotation}


def found(reference: str) -> tuple[str, ...]:
    """Names of the sites that `@FILE` or `@FILE:K` stands for: those found by a locator, the largest values first.

    Raises:
        UsageError: the count is none, or the locator found nothing.
    """
    from evenhand.report.load import sites

    path, colon, count = reference.removeprefix("@").rpartition(":")
    if not colon or not count.isdigit():
        path, count = reference.removeprefix("@"), ""
    if count == "0":
        raise UsageError(f"{reference!r}: the number of sites must be at least 1.")
    place = Path(path)
    record = sites(place / "sites.json" if place.is_dir() else place)
    top = record.top(int(count) if count else None)
    if not top:
        raise UsageError(
            f"{reference!r}: {record.locator} found no site beyond chance ({record.correction}). Name sites by hand, "
            "e.g. L5.heads.3, or locate on more items."
        )
    return tuple(score.site for score in top)


def _fields(cls: type[Frozen]) -> str:
    return ", ".join(cls.model_fields) or "none"
