"""Reading of benchmark files: every malformed row is named, none is skipped silently."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evenhand.core.errors import DataError, MalformedRows, MissingFile
from evenhand.core.record import DataUse

_SHOWN = 60  # characters of a wrong value that a message repeats


@dataclass(frozen=True, slots=True)
class Files:
    """Files of a benchmark: where they lie, what the record says of them, and the name that origins carry."""

    paths: tuple[Path, ...]
    use: DataUse
    source: str


def files_of(source: str, names: Sequence[str], own: str | None) -> Files:
    """The named files of a data source, or the user's own file instead of them.

    Raises:
        MissingFile: the source has the file in none of its places, or the user's file does not exist.
    """
    if own is None:
        from evenhand.data.source import get

        found = get(source)
        return Files(tuple(found.path(name) for name in names), found.use(tuple(names)), source)
    path = Path(os.path.expanduser(own))
    if not os.path.isfile(path):
        there = "a folder" if os.path.isdir(path) else "no such file"
        raise MissingFile(f"{own[:200]!r}: asked to read it as {source} data, found {there}. Check the path.")
    digest = hashlib.sha256(_bytes(path)).hexdigest()
    use = DataUse(name=path.name, sha256=digest, source=str(path), licence="not stated (the user's own file)")
    return Files((path,), use, "file")


@dataclass(slots=True)
class Problems:
    """Malformed rows of one file, collected so that one error names them all."""

    file: str
    unit: str = "line"  # what a row is counted in, "item" in a file that is one JSON object
    found: list[str] = field(default_factory=list)
    _ids: dict[str, int] = field(default_factory=dict)

    def expect(self, line: int, name: str, expected: str, found: object) -> None:
        """Note that a field does not hold what was expected."""
        shown = "nothing" if found is None or found == "" else repr(found)
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "..."
        self.found.append(f"{self.unit} {line}, field {name!r}: expected {expected}, found {shown}")

    def text(self, line: int, name: str, value: object) -> str:
        """The value if it is text that is not blank; otherwise "" and a problem."""
        if isinstance(value, str) and value.strip():
            return value
        self.expect(line, name, "text", value.strip() if isinstance(value, str) else value)
        return ""

    def one_of(self, line: int, name: str, value: object, allowed: Sequence[str]) -> str:
        """The value if it is one of those allowed; otherwise "" and a problem."""
        if isinstance(value, str) and value in allowed:
            return value
        self.expect(line, name, " or ".join(map(repr, allowed)), value)
        return ""

    def new_id(self, line: int, name: str, value: str) -> None:
        """Note a problem if an earlier line has the same id."""
        first = self._ids.setdefault(value, line)
        if first != line:
            self.found.append(
                f"{self.unit} {line}, field {name!r}: expected an id used once, found {value!r} of {self.unit} {first}"
            )

    def raise_if_any(self) -> None:
        """Raise `MalformedRows` if anything was noted."""
        if self.found:
            raise MalformedRows(self.file, self.found)


def read_text(path: Path) -> str:
    """The file as text: UTF-8, with or without a byte order mark, line ends as they are.

    Raises:
        DataError: it cannot be read, is empty or not UTF-8.
    """
    raw = _bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name}: expected UTF-8 text, found the byte 0x{raw[error.start]:02x} in line {line}. "
            "Save the file as UTF-8."
        ) from error
    if not text.strip():
        raise DataError(f"{path.name}: expected rows, found an empty file. Get the file again or name another.")
    return text


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. Check the file's permissions.") from error


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row of a table: its number (from 1, header not counted), its last line in the file, its named cells."""

    number: int
    line: int
    cells: dict[str, str]


def csv_rows(path: Path, needs: Sequence[str], *, tabs: bool = False) -> Iterator[CsvRow]:
    """Rows of a comma-separated file with a header, or of a tab-separated one without quoting; blank lines are skipped.

    Raises:
        DataError: empty, not UTF-8, not readable as a table, without rows, or a column of `needs` is missing.
    """
    stream = io.StringIO(read_text(path), newline="")
    reader = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(stream, strict=True)
    number = 0
    try:
        header = next(row for row in reader if row)
        missing = [name for name in needs if name not in header]
        if missing:
            raise DataError(
                f"{path.name}: expected the columns {', '.join(needs)}; missing: {', '.join(missing)}; "
                f"found: {', '.join(map(repr, header))}. Rename the columns or add them."
            )
        for cells in reader:
            if cells:
                number += 1
                yield CsvRow(number, reader.line_num, dict(zip(header, cells, strict=False)))
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: not readable as a table ({error}).") from error
    if number == 0:
        raise DataError(f"{path.name}: expected rows, found only the header. Add rows or name another file.")


def json_lines(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, object]]]:
    """Objects of a JSON-lines file with their line numbers; a line that is no object is noted as a problem.

    Raises:
        DataError: the file is empty or not UTF-8.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _json(line)
        except (ValueError, RecursionError) as error:
            why = error.msg if isinstance(error, json.JSONDecodeError) else error
            problems.found.append(f"line {number}: expected a JSON object, found text that is not JSON ({why})")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            problems.found.append(f"line {number}: expected a JSON object, found a {type(row).__name__}")


def json_object(path: Path) -> dict[str, object]:
    """The JSON object that the whole file is.

    Raises:
        DataError: the file is empty, not UTF-8, not JSON, or JSON that is not an object.
    """
    whole = _whole(path)
    if not isinstance(whole, dict):
        raise DataError(f"{path.name}: expected a JSON object, found a {type(whole).__name__}.")
    return whole


def _whole(path: Path) -> object:
    try:
        return _json(read_text(path))
    except (ValueError, RecursionError) as error:
        where, why = (f", line {error.lineno}", error.msg) if isinstance(error, json.JSONDecodeError) else ("", error)
        raise DataError(
            f"{path.name}{where}: expected JSON, found text that is not ({why}). Get the file again or name another."
        ) from error


def json_objects(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, object]]]:
    """Objects of the JSON list that the whole file is, numbered from 1; what is no object is noted as a problem.

    Raises:
        DataError: the file is empty, not UTF-8, not JSON, or JSON that is not a list with at least one entry.
    """
    whole = _whole(path)
    if not isinstance(whole, list) or not whole:
        found = "an empty list" if whole == [] else f"a {type(whole).__name__}"
        raise DataError(f"{path.name}: expected a JSON list of objects, found {found}. Name a file in this layout.")
    for number, row in enumerate(whole, start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            problems.found.append(f"{problems.unit} {number}: expected a JSON object, found a {type(row).__name__}")


def _json(text: str) -> object:
    """Parse JSON; also refuses halves of surrogate pairs, which no tokenizer and no file can hold.

    Raises:
        ValueError: it is not JSON, or has such halves.
        RecursionError: it is nested too deeply.
    """
    value: object = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value
