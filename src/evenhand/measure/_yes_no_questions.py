"""Question sets with yes/no answers: StrategyQA, BoolQ, and BBQ's disambiguated items by a rule of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evenhand.core.items import Origin
from evenhand.data.splits import bbq_cluster, boolq_cluster, strategyqa_cluster
from evenhand.measure import _bbq
from evenhand.measure._bbq_rows import BbqRow, read_rows
from evenhand.measure._files import Files, Problems, json_lines, json_objects


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer.

    Attributes:
        id: unique in its set and stable.
        cluster, stratum, block: as in `Item`.
        origin: file and row.
        context: what the question is about, "" if it stands alone.
        text: the question.
        truth: True if the answer is Yes.
        category: kind of bias (BBQ), "" elsewhere.
    """

    id: str
    cluster: str
    stratum: str
    block: str
    origin: Origin
    context: str
    text: str
    truth: bool
    category: str = ""


def strategyqa(files: Files, training: bool) -> list[Question]:
    """All questions of one part of StrategyQA, without the facts that its rows hold.

    Raises:
        MalformedRows: rows that do not fit.
    """
    part: Literal["strategyqa", "strategyqa_train"] = "strategyqa_train" if training else "strategyqa"
    path = files.paths[0]
    problems = Problems(path.name, unit="item")
    found = []
    for number, cells in json_objects(path, problems):
        qid = problems.text(number, "qid", cells.get("qid"))
        problems.new_id(number, "qid", qid)
        text = problems.text(number, "question", cells.get("question"))
        cluster = strategyqa_cluster(part, qid)
        origin = Origin(files.source, path.name, number)
        truth = _truth(number, cells.get("answer"), problems)
        found.append(Question(cluster, cluster, part, cluster, origin, "", text, truth))
    problems.raise_if_any()
    return found


def boolq(files: Files, passage_words: int) -> tuple[list[Question], int]:
    """Questions of BoolQ whose passage has at most so many words, and how many there are in all.

    Questions about one article share a cluster, because they often share the passage too.

    Raises:
        MalformedRows: rows that do not fit.
    """
    path = files.paths[0]
    problems = Problems(path.name)
    found, total = [], 0
    for line, cells in json_lines(path, problems):
        total += 1
        text, title, passage = (problems.text(line, key, cells.get(key)) for key in ("question", "title", "passage"))
        truth = _truth(line, cells.get("answer"), problems)
        if len(passage.split()) > passage_words:
            continue
        name, origin = f"boolq/{line}", Origin(files.source, path.name, line)
        asked = text.rstrip("? ") + "?"
        found.append(Question(name, boolq_cluster(title), "boolq", name, origin, passage, asked, truth))
    problems.raise_if_any()
    return found, total


def bbq(files: Files) -> list[Question]:
    """A yes/no question for each disambiguated row of BBQ.

    Raises:
        MalformedRows: rows that do not fit.
    """
    return [question for path in files.paths for question in _of_bbq_file(files.source, path)]


def _of_bbq_file(source: str, path: Path) -> Iterator[Question]:
    problems = Problems(path.name)
    rows = read_rows(path, problems)
    problems.raise_if_any()
    for row in rows:
        if not row.ambiguous:
            truth = _named_is_right(row)
            person = row.truth if truth else next(number for number in row.persons if number != row.truth)
            yield Question(
                id=f"{row.category}/{row.question}/{row.example}",
                cluster=bbq_cluster(row.category, row.question),
                stratum=row.category,
                block=_bbq.block(row),
                origin=Origin(source, path.name, row.line),
                context=row.context,
                text=f'{row.asked} Is the answer "{row.answers[person].answer}"?',
                truth=truth,
                category=row.category,
            )


def _named_is_right(row: BbqRow) -> bool:
    """Whether the question names the person that the context tells: for one of the two questions of each block.

    A block has a negative and a non-negative question with different answers. A bit of sha256("yes_no/" and the
    block's name) says which of the two is asked about its right answer; the other is asked about its wrong one, so
    both name the same person.
    """
    name = _bbq.block(row) or f"{row.category}/{row.question}/{row.example}"
    return bool(hashlib.sha256(f"yes_no/{name}".encode()).digest()[0] & 1) == row.negative


def _truth(row: int, value: object, problems: Problems) -> bool:
    if isinstance(value, bool):
        return value
    problems.expect(row, "answer", "true or false", value)
    return False
