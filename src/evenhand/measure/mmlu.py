"""MMLU: exam questions in 57 subjects, as a measure of ability."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.errors import UnknownName
from evenhand.core.items import Item, Score
from evenhand.core.record import Card, RunNote
from evenhand.core.requests import Choose, Response
from evenhand.measure import _multiple_choice
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import files_of
from evenhand.measure._mmlu_subjects import FIELD_OF, SUBJECTS
from evenhand.measure._multiple_choice import LETTERS, ChoiceRow

_CONVENTIONS = (
    "mmlu: the four options are listed as A. to D. after a line that names the subject, without examples; the letters "
    "are scored after 'Answer:', and the choice is the letter with the highest log-probability.",
)


class Mmlu(Benchmark):
    """Can the model answer exam questions (14,042 in 57 subjects)?"""

    name: ClassVar[str] = "mmlu"
    card: ClassVar[Card] = Card(
        title="How many exam questions of 57 subjects the model answers rightly: a measure of ability, not of bias.",
        source="Measuring Massive Multitask Language Understanding. Hendrycks et al., ICLR 2021. "
        "https://arxiv.org/abs/2009.03300. Asked as in the task mmlu of "
        "https://github.com/EleutherAI/lm-evaluation-harness (0.4.13), without examples.",
        formula="accuracy = 100 * #right / #questions; the choice is the letter with the highest log P(letter | "
        "question and options)",
        differs="No examples, where the paper gives five. All questions count alike, as in lm-eval; the paper averages "
        "over subjects. Equal scores share the choice.",
        cautions="Small models are near chance (25 %), where a loss of ability cannot be seen; many choose a letter by "
        "its place.",
        needs="a decoder; the files only from a local folder",
    )
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    by: ClassVar[tuple[str, ...]] = ("field", "subject")

    subjects: Annotated[
        tuple[str, ...], Field(min_length=1, description="Which of the 57 subjects; not used with a file.")
    ] = SUBJECTS
    split: Annotated[
        Literal["test", "validation"], Field(description="test: to report; validation: to choose settings on.")
    ] = "test"
    file: Annotated[
        str | None, Field(description="A CSV of your own without a header: question, four options, letter.")
    ] = None

    def load(self) -> Loaded:
        """Read the questions of the wanted subjects and ask for the four letters."""
        wanted = tuple(dict.fromkeys(self.subjects))
        unknown = [name for name in wanted if name not in FIELD_OF]
        if unknown and self.file is None:
            raise UnknownName("subject of MMLU", unknown[0], SUBJECTS)
        part = "test" if self.split == "test" else "val"
        files = files_of("mmlu", tuple(f"{part}/{name}_{part}.csv" for name in wanted), self.file)
        names = wanted if self.file is None else (files.paths[0].stem,)
        found = _multiple_choice.items(files, names, "subject", _ask)
        fielded = tuple(
            replace(item, groups={"field": FIELD_OF.get(item.stratum, ""), **item.groups}) for item in found
        )
        notes = tuple(RunNote(benchmark=self.name, kind="convention", text=text) for text in _CONVENTIONS)
        return Loaded(fielded, (files.use,), notes)

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """`correct`: share of the choice that is right (`correct_norm` is the same: a letter is one character)."""
        return _multiple_choice.choice_score(item, responses)


def _ask(row: ChoiceRow, subject: str) -> tuple[Choose, ...]:
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, row.options, strict=True))
    about = f"The following are multiple choice questions (with answers) about {' '.join(subject.split('_'))}."
    prompt = f"{about}\n\n{row.question.strip()}\n{listed}\nAnswer:"
    return (Choose(prompt, tuple(f" {letter}" for letter in LETTERS)),)
