"""Questions whose options are asked in several orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from evenhand.core.requests import Choose
from evenhand.core.segments import CLOSE, OPEN, segmented
from evenhand.measure._files import Files, Problems, json_lines
from evenhand.measure._multiple_choice import read_rows

LETTERS = ("A", "B", "C", "D", "E")
Order = tuple[int, ...]
"""Number of the option that stands in each place."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its options; `truth` is the number of the right one; `file` and `row` say where it was."""

    name: str
    text: str
    options: tuple[str, ...]
    truth: int
    file: str
    row: int


def from_tables(files: Files, names: Sequence[str]) -> list[Question]:
    """Tables without a header, as those of arc and mmlu; `names` are what they are called."""
    return [
        Question(f"{name}/{row.number}", row.question, row.options, row.truth, path.name, row.number)
        for path, name in zip(files.paths, names, strict=True)
        for row in read_rows(path)
    ]


def from_commonsense_qa(path: Path) -> list[Question]:
    """JSON lines as CommonsenseQA has them: `question.stem`, `question.choices` with label and text, `answerKey`.

    Raises:
        MalformedRows: rows that do not fit.
    """
    problems = Problems(path.name)
    found: list[Question] = []
    for line, row in json_lines(path, problems):
        asked = row.get("question")
        inner = asked if isinstance(asked, dict) else {}
        stem = problems.text(line, "question.stem", inner.get("stem"))
        choices = inner.get("choices")
        listed = [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
        options = tuple(str(one.get("text", "")).strip() for one in listed)
        labels = tuple(str(one.get("label", "")) for one in listed)
        if not 2 <= len(options) <= len(LETTERS) or not all(options):
            problems.expect(line, "question.choices", "two to five choices with texts", choices)
        elif key := problems.one_of(line, "answerKey", row.get("answerKey"), labels):
            number = len(found) + 1
            found.append(Question(f"questions/{number}", stem, options, labels.index(key), path.name, line))
    problems.raise_if_any()
    return found


def orders(size: int, every: bool) -> list[Order]:
    """All orders of `size` options, or those in which each option stands in each place once; the given one is first."""
    if every:
        return list(permutations(range(size)))
    return [tuple((start + place) % size for place in range(size)) for start in range(size)]


def ask(question: Question, order: Order, *, letters: bool) -> Choose:
    """The question with its options in an order: as letters, or as unlabelled segments that are scored as text."""
    listed = [question.options[number] for number in order]
    about = f"Question: {_clean(question.text.strip())}\n"
    if letters:
        used = LETTERS[: len(order)]
        lines = "".join(f"{letter}. {_clean(option)}\n" for letter, option in zip(used, listed, strict=True))
        return Choose(f"{about}{lines}Answer:", tuple(f" {letter}" for letter in used))
    parts = [f"- {_clean(option)}\n" for option in listed]
    return Choose(
        segmented(f"{about}Possible answers:\n", parts, "Answer:"), tuple(f" {option}" for option in question.options)
    )


def _clean(text: str) -> str:
    return text.replace(OPEN, "").replace(CLOSE, "")
