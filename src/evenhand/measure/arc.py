"""ARC: science questions of American schools, as a measure of ability."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item, Score
from evenhand.core.record import Card, RunNote
from evenhand.core.requests import Choose, Response
from evenhand.measure import _multiple_choice
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import files_of
from evenhand.measure._multiple_choice import ChoiceRow

_NAMES = {"challenge": "ARC-Challenge", "easy": "ARC-Easy", "test": "test", "validation": "val"}
_CONVENTIONS = (
    "arc: each option is scored as text after 'Question: ...\\nAnswer:', without examples; the choice is the option "
    "with the highest log-probability (accuracy), or the highest per character (accuracy_norm).",
    "arc: the file has only the questions with four options: 1,165 of 1,172 (challenge, test) and 2,365 of 2,376 "
    "(easy, test).",
)


class Arc(Benchmark):
    """Can the model answer science questions of schools (1,165 challenge or 2,365 easy ones)?"""

    name: ClassVar[str] = "arc"
    card: ClassVar[Card] = Card(
        title="How many school science questions the model answers rightly: a measure of ability, not of bias.",
        source="Think you have Solved Question Answering? Try ARC, the AI2 Reasoning Challenge. Clark et al., 2018. "
        "https://arxiv.org/abs/1803.05457. Asked as in the tasks arc_challenge and arc_easy of "
        "https://github.com/EleutherAI/lm-evaluation-harness (0.4.13), without examples.",
        formula="accuracy = 100 * #right / #questions; the choice is the option with the highest log P(option | "
        "question); accuracy_norm divides it by the option's characters",
        differs="Questions with three or five options are not in the file, so numbers differ a little from those of "
        "lm-eval. Equal scores share the choice.",
        cautions="Small models are near chance (25 %) on the challenge set, where a loss of ability cannot be seen; "
        "use the easy set for them.",
        needs="a decoder; the files only from a local folder",
    )
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "accuracy_norm")

    subset: Annotated[
        Literal["challenge", "easy"],
        Field(description="challenge: questions that look-up methods got wrong; easy: the others."),
    ] = "challenge"
    split: Annotated[
        Literal["test", "validation"], Field(description="test: to report; validation: to choose settings on.")
    ] = "test"
    file: Annotated[
        str | None, Field(description="A CSV of your own without a header: question, four options, letter.")
    ] = None

    def load(self) -> Loaded:
        """Read the questions and ask for the four options as text."""
        files = files_of("arc", (f"{_NAMES[self.subset]}_{_NAMES[self.split]}.csv",), self.file)
        name = self.subset if self.file is None else files.paths[0].stem
        found = _multiple_choice.items(files, (name,), "subset", _ask)
        kept = _CONVENTIONS if self.file is None else _CONVENTIONS[:1]
        notes = tuple(RunNote(benchmark=self.name, kind="convention", text=text) for text in kept)
        return Loaded(found, (files.use,), notes)

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Share of the choice that is right, by the sum (`correct`) and per character (`correct_norm`)."""
        return _multiple_choice.choice_score(item, responses)


def _ask(row: ChoiceRow, _: str) -> tuple[Choose, ...]:
    return (Choose(f"Question: {row.question}\nAnswer:", tuple(f" {option}" for option in row.options)),)
