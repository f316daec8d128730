"""What the scripts of this folder share: a file of results, one row a line, rows that are there are not run again.

A row is known by its name and by the settings that decide its numbers. `--table` shows the newest result of each row
as a Markdown table; every script ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Json = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("evenhand", "torch", "transformers", "lm-eval")


PUBLISHED = Path(__file__).parents[1] / "docs" / "results"


def parser(about: str | None, rows: Sequence[str], *, publishes: bool = False) -> argparse.ArgumentParser:
    """A parser with the options that all scripts have.

    Args:
        about: the script's docstring.
        rows: names of its rows.
        publishes: whether the documentation shows what it stores.
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--row", action="append", choices=rows, metavar="NAME", help=f"one of {', '.join(rows).replace('%', '%%')}"
    )
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: %(default)s)")
    made.add_argument("--table", action="store_true", help="show the stored results as a Markdown table and stop")
    if publishes:
        made.add_argument("--publish", action="store_true", help="write what is stored for the documentation and stop")
    return made


@dataclass(frozen=True, slots=True)
class Ledger:
    """The results of one script.

    Attributes:
        name: of the script.
        folder: where `NAME.jsonl` lies.
    """

    name: str
    folder: Path

    @property
    def file(self) -> Path:
        """One row a line, the newest last."""
        return self.folder / f"{self.name}.jsonl"

    def entries(self) -> list[Json]:
        """All rows that were stored; a line that was cut off by a kill is left out."""
        if not self.file.exists():
            return []
        lines = self.file.read_text("utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def found(self, row: str, settings: Mapping[str, Any]) -> Json | None:
        """The stored result of a row under the same settings."""
        same = [entry for entry in self.entries() if (entry["row"], entry["settings"]) == (row, dict(settings))]
        return same[-1] if same else None

    def add(self, row: str, settings: Mapping[str, Any], result: Json) -> Json:
        """Store a row together with what it ran on."""
        made = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"row": row, "settings": dict(settings), "result": result, "machine": machine(), "made": made}
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = "".join(json.dumps(one) + "\n" for one in self.entries())  # drops a line that was cut off
        scratch = self.file.with_suffix(".new")
        scratch.write_text(kept + json.dumps(entry) + "\n", "utf-8")
        os.replace(scratch, self.file)
        return entry

    def newest(self) -> list[Json]:
        """The newest result of each row, whatever its settings."""
        return list({entry["row"]: entry for entry in self.entries()}.values())


def run(
    book: Ledger,
    rows: Sequence[str],
    settings: Callable[[str], Json],
    measure: Callable[[str], Json],
    cells: Callable[[Json], dict[str, str]],
) -> list[Json]:
    """Measure the rows that are not stored yet and show each; ends with one line of JSON.

    Args:
        book: where results are kept.
        rows: names of the wanted rows.
        settings: what decides a row's numbers.
        measure: runs a row.
        cells: an entry as the cells of a table.
    """
    entries = []
    for row in rows:
        known = book.found(row, settings(row))
        entry = known or book.add(row, settings(row), measure(row))
        shown = ", ".join(f"{name} {value}" for name, value in cells(entry).items() if value)
        say(f"{shown}{' (stored)' if known else ''}")
        entries.append(entry)
    say(json.dumps({"benchmark": book.name, "rows": [{"row": e["row"], **e["result"]} for e in entries]}))
    return entries


def main(
    about: str | None,
    name: str,
    rows: Sequence[str],
    settings: Callable[[str, Path], Json],
    measure: Callable[[str, Path], Json],
    cells: Callable[[Json], dict[str, str]],
    shown: Callable[[Json, Path], Json] | None = None,
) -> None:
    """The command line of a script whose results the documentation shows: measure, --table, or --publish.

    Args:
        about: the script's docstring.
        name: of the script.
        rows: names of its rows.
        settings: what decides a row's numbers; given the row and the folder of the script's runs.
        measure: runs a row; given the same.
        cells: an entry as the cells of a table.
        shown: makes of a stored row what the page needs, where that is more or less; given the row and the folder.
    """
    options = parser(about, rows, publishes=True).parse_args()
    book = Ledger(name, options.out)
    folder = options.out / name
    if options.publish:
        publish(book, rows, (lambda one: shown(one, folder)) if shown else dict)
    elif options.table:
        say(table(book.newest(), cells))
    else:
        run(book, options.row or rows, lambda row: settings(row, folder), lambda row: measure(row, folder), cells)


def publish(book: Ledger, rows: Sequence[str], shown: Callable[[Json], Json]) -> None:
    """Write the newest result of each row, as it is to be shown, to docs/results/NAME.json."""
    found = {entry["row"]: entry for entry in book.newest()}
    stored = [
        shown({"row": row, "machine": found[row]["machine"], **found[row]["result"]}) for row in rows if row in found
    ]
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    file = PUBLISHED / f"{book.name}.json"
    file.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    say(f"{len(stored)} rows written to {file.name}")


def table(entries: Sequence[Json], cells: Callable[[Json], dict[str, str]]) -> str:
    """Entries as a Markdown table, with one line on the machine below."""
    if not entries:
        return "No results are stored yet."
    rows = [cells(entry) for entry in entries]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(row.get(name, "") for name in names) + " |" for row in rows]
    places = dict.fromkeys(_machine_line(entry["machine"]) for entry in entries)
    return "\n".join([*lines, "", *places])


def machine() -> Json:
    """What a row ran on: processor, cores, load, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _machine_line(machine: Json) -> str:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", *LIBRARIES) if machine[name])
    return f"{machine['processor']}, {machine['cores']} cores; {versions}."


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def say(text: str) -> None:
    """A line on stdout, at once."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line of progress on stderr, at once."""
    print(text, file=sys.stderr, flush=True)
