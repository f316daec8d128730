"""BBQ's own metadata file, against which the derived targets are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenhand.measure._files import csv_rows

Key = tuple[str, str, str]
"""Category, question index, example id."""

_FILE = "additional_metadata.csv"


@dataclass(frozen=True, slots=True)
class Check:
    """How many items have a biased answer in both places, and which of them differ; how many have one in one only."""

    both: int
    differing: tuple[Key, ...]
    one_only: int


def check(biased: Mapping[Key, int | None], path: Path) -> Check:
    """Compare biased answers (0 to 2, None = cannot be told) with the column `target_loc` of the metadata file.

    `target_loc` is turned round for non-negative questions already, so it is the biased answer, not the target. Items
    that the file does not have are not compared.

    Raises:
        DataError: the file is empty or lacks a column.
    """
    theirs = read(path)
    both = [key for key in biased if key in theirs and biased[key] is not None and theirs[key] is not None]
    one_only = sum(key in theirs and (biased[key] is None) != (theirs[key] is None) for key in biased)
    return Check(len(both), tuple(key for key in both if biased[key] != theirs[key]), one_only)


def read(path: Path) -> dict[Key, int | None]:
    """`target_loc` of every item (0 to 2, None where it is NA). Some items are listed twice, with the same value."""
    columns = ("category", "question_index", "example_id", "target_loc")
    found: dict[Key, int | None] = {}
    for row in csv_rows(path, columns):
        category, question, example, place = (row.cells[name] for name in columns)
        found[category, question, example] = int(place) if place in ("0", "1", "2") else None
    return found


def check_if_at_hand(biased: Mapping[Key, int | None]) -> str:
    """The result of the check in a sentence, "" if the metadata file is not at hand (it is not fetched for this)."""
    from evenhand.data.source import get

    source = get("bbq")
    if source.state() == "to fetch":
        return ""
    found = check(biased, source.path(_FILE))
    return (
        f"The biased answer, derived from the rows, was compared with the data set's {_FILE}: of {found.both:,} items "
        f"with one in both, {len(found.differing)} differ (an African beside a Black or African American person, where "
        f"the file's choice depends on the order of the answers); {found.one_only} have one in only one of the two."
    )
