"""Multiple choice of four options from tables without a header: question, A, B, C, D, letter of the right answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin, Score
from evenhand.core.requests import Choose, Response
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._bbq import shares
from evenhand.measure._files import Files, Problems, read_text

LETTERS = ("A", "B", "C", "D")
_COLUMNS = ("question", *LETTERS, "answer")


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One question; `truth` is the place of the right option (0 to 3), `number` counts rows from 1."""

    number: int
    question: str
    options: tuple[str, ...]
    truth: int


def read_rows(path: Path) -> list[ChoiceRow]:
    """All rows of a table.

    Raises:
        MalformedRows: rows that do not fit.
        DataError: it is empty, not UTF-8 or not readable as a table.
    """
    problems = Problems(path.name)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows: list[ChoiceRow] = []
    try:
        for cells in reader:
            if cells and (row := _row(len(rows) + 1, reader.line_num, cells, problems)):
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: not readable as a table ({error}).") from error
    problems.raise_if_any()
    return rows


def _row(number: int, line: int, cells: Sequence[str], problems: Problems) -> ChoiceRow | None:
    if len(cells) != len(_COLUMNS):
        problems.expect(line, "row", f"six columns ({', '.join(_COLUMNS)})", f"{len(cells)} of them")
        return None
    for name, cell in zip(_COLUMNS, cells, strict=True):
        problems.text(line, name, cell)
    letter = problems.one_of(line, "answer", cells[-1].strip(), LETTERS)
    return ChoiceRow(number, cells[0], tuple(cells[1:5]), LETTERS.index(letter)) if letter else None


def items(
    files: Files, names: Sequence[str], column: str, ask: Callable[[ChoiceRow, str], tuple[Choose, ...]]
) -> tuple[Item, ...]:
    """One item per row; each question is a cluster, and the files' names are the strata and the groups.

    Args:
        files: the tables.
        names: what each table is called, e.g. its subject.
        column: the group column that holds these names.
        ask: row and name of the table to requests.
    """
    return tuple(
        _item(row, name, column, Origin(files.source, path.name, row.number), ask(row, name))
        for path, name in zip(files.paths, names, strict=True)
        for row in read_rows(path)
    )


def _item(row: ChoiceRow, name: str, column: str, origin: Origin, requests: tuple[Choose, ...]) -> Item:
    return Item(
        id=f"{name}/{row.number}",
        cluster=f"{name}/{row.number}",
        stratum=name,
        origin=origin,
        requests=requests,
        groups={column: name},
        facts={"truth": row.truth},
        texts={
            "question": row.question,
            **dict(zip(LETTERS, row.options, strict=True)),
            "right answer": row.options[row.truth],
        },
    )


def choice_score(item: Item, responses: tuple[Response, ...]) -> Score:
    """`correct` by the sum of log-probabilities and `correct_norm` by the sum per character; ties share the choice.

    Characters are those of the option without the space before it.
    """
    scores = scores_of(responses[0], len(LETTERS))
    truth, request = item.facts["truth"], item.requests[0]
    if not (isinstance(truth, int) and isinstance(request, Choose)):
        raise TypeError(f"expected a choice and the place of the right option in {item.id}, found {item.facts!r}")
    if not finite(scores):
        return failed()
    totals = [score.total for score in scores]
    per_character = [total / (len(option) - 1) for total, option in zip(totals, request.options, strict=True)]
    return Score({"correct": shares(totals)[truth], "correct_norm": shares(per_character)[truth]})
