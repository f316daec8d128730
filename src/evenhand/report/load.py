"""Read a folder back: `record.json` and `items.jsonl` of a run, `sites.json` of a locator, `trial.json` of a trial."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from evenhand.core.errors import DataError, MissingFile
from evenhand.core.record import SCHEMA, ItemRow, Record, Sites
from evenhand.core.trial import Trial

RECORD = "record.json"
ITEMS = "items.jsonl"
SITES = "sites.json"
TRIAL = "trial.json"

_RUN = f"A finished run leaves {RECORD} and {ITEMS} in its folder"

Kept = TypeVar("Kept", bound=BaseModel)


def kind(folder: Path) -> Literal["run", "sites", "trial"]:
    """What a folder holds; "run" if it holds neither sites nor a trial."""
    if (folder / TRIAL).is_file():
        return "trial"
    return "sites" if (folder / SITES).is_file() else "run"


def read(folder: Path) -> tuple[Record, list[ItemRow]]:
    """The record and the items of a run.

    Raises:
        MissingFile: the folder, or one of the two files, is not there.
        DataError: a file is damaged, or was written with another schema than this version reads.
    """
    if not folder.is_dir():
        raise MissingFile(f"{folder} is not a folder. Name the folder that `evenhand audit --out` wrote.")
    return record(folder / RECORD), list(items(folder / ITEMS))


def record(path: Path) -> Record:
    """The record in one file; same errors as `read`."""
    return _kept(path, Record, "measure again", _RUN)


def sites(path: Path) -> Sites:
    """What a locator found; same errors as `read`."""
    return _kept(path, Sites, "locate again", f"`evenhand locate` leaves {SITES} in its folder")


def trial(folder: Path) -> Trial:
    """The trial in a folder; same errors as `read`."""
    if not folder.is_dir():
        raise MissingFile(f"{folder} is not a folder. Name the folder that `evenhand mitigate --out` wrote.")
    return _kept(folder / TRIAL, Trial, "repeat the trial", f"`evenhand mitigate` and `prove` leave {TRIAL} in theirs")


def _kept(path: Path, cls: type[Kept], again: str, made: str) -> Kept:
    text = _text(path, made)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}). It is damaged; {again} or restore it.") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise DataError(
            f"{path} has schema {found!r}, this version of evenhand reads schema {SCHEMA}. "
            f"Read it with the version that wrote it, or {again}."
        )
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        raise DataError(
            f"{path} does not fit schema {SCHEMA}: {_first(error)}. {again.capitalize()} or restore it."
        ) from error


def items(path: Path) -> Iterator[ItemRow]:
    """The items of one file, line by line; same errors as `read`."""
    for number, line in enumerate(_text(path, _RUN).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield ItemRow.model_validate_json(line)
        except ValidationError as error:
            raise DataError(
                f"{path}, line {number} is damaged: {_first(error)}. Continue the run with --resume, or measure again."
            ) from error


def _text(path: Path, made: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing. {made}; if it was stopped, continue it with --resume.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}). It is damaged; measure again or restore it.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}). Check the folder and its permissions.") from error


def _first(error: ValidationError) -> str:
    problems: list[Any] = error.errors(include_url=False, include_input=False)
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole text"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {first['msg']}{more}"
