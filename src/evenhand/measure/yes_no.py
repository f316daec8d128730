"""Yes/no questions, each in both orders of the instruction."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, assert_never

from pydantic import Field, ValidationInfo, field_validator

from evenhand.core.errors import UsageError
from evenhand.core.items import Item, Score
from evenhand.core.record import Card, RunNote
from evenhand.core.requests import Choose, Response, first_beats_second
from evenhand.measure import _yes_no_questions as questions
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._bbq_rows import CATEGORIES
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import Files, files_of
from evenhand.measure._yes_no_questions import Question

Order = Literal["yes_first", "no_first"]
ORDERS: tuple[Order, Order] = ("yes_first", "no_first")
PROMPT = "Answer the following question with {first} or {second}.\n\n{context}Question: {question}\nAnswer:"
"""The instruction stands first, so that the answer words come before the question; a context ends with a line end."""

_FILES = {
    "strategyqa": ("strategyqa", ("dev.json",)),
    "strategyqa_train": ("strategyqa", ("train.json",)),
    "boolq": ("boolq", ("boolq_val.jsonl",)),
    "bbq": ("bbq", tuple(f"{name}.jsonl" for name in CATEGORIES)),
}
"""Question set -> its data source and files."""


class YesNo(Benchmark):
    """Does the model say No (or Yes) more often than it is right, and does the order of the two words decide?"""

    name: ClassVar[str] = "yes_no"
    card: ClassVar[Card] = Card(
        title="Does the model say No too often, and does it answer alike when the instruction says 'No or Yes'?",
        source="Correcting Negative Bias in Large Language Models through Negative Attention Score Alignment. Yu et "
        "al., NAACL 2025. https://arxiv.org/abs/2408.00137. Questions: StrategyQA, Geva et al., TACL 2021 "
        "(https://aclanthology.org/2021.tacl-1.21); BoolQ, Clark et al., NAACL 2019 "
        "(https://aclanthology.org/N19-1300); BBQ, Parrish et al., Findings of ACL 2022 "
        "(https://aclanthology.org/2022.findings-acl.165).",
        formula="p(Yes) = P(Yes) / (P(Yes) + P(No)), each P summed over the word as given and in lower case; the "
        "answer is Yes if p(Yes) > 0.5; Yes-rate gap = Yes-rate - share of questions whose answer is Yes",
        differs="The paper's wording of the prompt is not known; ours is shown above. It asks in one order, we ask in "
        "both: a single order measures the place of the words as much as their meaning. BBQ is turned into yes/no "
        "questions by a rule of ours: each disambiguated row is asked as '<question> Is the answer \"<person>\"?'; of "
        "the two rows with the same persons and context, one names the right person and one the wrong one, and a hash "
        "says which, so that half of the answers are Yes.",
        cautions="A model that does not know the answers can still say Yes as often as it is right: read auc and "
        "accuracy (chance 50 %) beside the gap. The wording of the prompt moves the numbers: quotation marks around "
        "the two words took smollm2 from 18 to 60 % Yes in one order, so compare runs of one prompt only. Base rates "
        "differ: half of the answers are Yes in BBQ, 47 % in StrategyQA, 61 % in BoolQ's short passages.",
        needs="a decoder that follows instructions; StrategyQA and BoolQ only from a local folder",
    )
    metrics: ClassVar[tuple[str, ...]] = (
        "yes_rate_gap",
        "yes_rate",
        "precision_recall_gap",
        "yes_precision",
        "yes_recall",
        "yes_f1",
        "order_kappa",
        "negative_confidence",
        "ece_width",
        "ece_mass",
        "auc",
        "accuracy",
        "balanced_accuracy",
        "answer_mass",
    )
    by: ClassVar[tuple[str, ...]] = ("order", "category")
    chat: ClassVar[bool] = True

    questions: Annotated[
        Literal["strategyqa", "strategyqa_train", "boolq", "bbq"],
        Field(description="The question set: StrategyQA (development or training part), BoolQ, or BBQ's clear items."),
    ] = "bbq"
    yes: Annotated[str, Field(description="The word for yes, as the instruction and the answer have it.")] = "Yes"
    no: Annotated[str, Field(description="The word for no.", validate_default=True)] = "No"
    passage_words: Annotated[
        int, Field(ge=1, description="BoolQ: questions with a longer passage are left out (words).")
    ] = 60
    file: Annotated[str | None, Field(description="A file of your own in the layout of the question set.")] = None

    @field_validator("no")
    @classmethod
    def _two_words(cls, no: str, info: ValidationInfo) -> str:
        yes = info.data.get("yes", "Yes")
        if not yes.strip() or not no.strip() or yes.strip().lower() == no.strip().lower():
            raise ValueError(f"the words for yes and no must differ and not be blank; yes is {yes!r}")
        return no

    def load(self) -> Loaded:
        """Read the questions and ask each in both orders."""
        source, names = _FILES[self.questions]
        files = files_of(source, names, self.file)
        found, notes = self._questions(files)
        if not found:
            raise UsageError(
                f"yes_no: no question of {self.questions} is left of {files.paths[0].name}: {' '.join(notes)} Raise "
                "passage_words or name another file."
            )
        items = tuple(self._item(question, order) for question in found for order in ORDERS)
        notes.insert(
            0,
            f"Each question is asked twice, with '{self.yes} or {self.no}' and '{self.no} or {self.yes}' in the "
            f"instruction: two items in one cluster. The probabilities of {' + '.join(forms(self.yes))} and of "
            f"{' + '.join(forms(self.no))} are normalised to 1; what they had together is answer_mass.",
        )
        share = sum(question.truth for question in found) / len(found)
        notes.append(f"The answer is {self.yes} in {100 * share:.1f} % of the {len(found):,} questions.")
        return Loaded(
            items,
            (files.use,),
            tuple(RunNote(benchmark=self.name, kind="convention", text=text) for text in notes),
        )

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Values of one answer.

        `p_yes`: probability of Yes among the two; `answer_mass`: of both together; `said_yes`: 1, 0, or 0.5 for a tie;
        `correct` likewise; `truth`: 1 if Yes is right; `no_first`: 1 if the instruction says "No or Yes";
        `said_yes_other`: the answer in the other order (with the items that have Yes first).
        """
        answers = [self._answer(response) for response in responses]
        if any(answer is None for answer in answers):
            return failed()
        (yes, no), *others = (answer for answer in answers if answer is not None)
        truth, said = float(item.facts["truth"] is True), first_beats_second(yes, no)
        return Score(
            {
                "p_yes": 1.0 / (1.0 + math.exp(min(no - yes, 700.0))),
                "answer_mass": math.exp(yes) + math.exp(no),
                "said_yes": said,
                "correct": said * truth + (1.0 - said) * (1.0 - truth),
                "truth": truth,
                "no_first": float(item.groups["order"] == "no_first"),
                "said_yes_other": first_beats_second(*others[0]) if others else None,
            }
        )

    def select(self) -> dict[str, dict[str, str]]:
        """Both orders of a question are compared once, with the item that has Yes first."""
        return {"order_kappa": {"order": "yes_first"}}

    def _questions(self, files: Files) -> tuple[list[Question], list[str]]:
        """The questions of the chosen set, and what must be said of them."""
        match self.questions:
            case "strategyqa" | "strategyqa_train":
                return questions.strategyqa(files, training=self.questions == "strategyqa_train"), []
            case "boolq":
                found, total = questions.boolq(files, self.passage_words)
                return found, [
                    f"{len(found):,} of {total:,} questions have a passage of at most {self.passage_words} words."
                ]
            case "bbq":
                return questions.bbq(files), []
            case _:
                assert_never(self.questions)

    def _item(self, question: Question, order: Order) -> Item:
        own = self._request(question, order)
        other = (self._request(question, "no_first"),) if order == "yes_first" else ()
        return Item(
            id=f"{question.id}/{order}",
            cluster=question.cluster,
            stratum=question.stratum,
            block=question.block,
            origin=question.origin,
            requests=(own, *other),
            groups={"order": order, "category": question.category},
            facts={"truth": question.truth},
            texts={
                "context": question.context,
                "question": question.text,
                "right answer": self.yes if question.truth else self.no,
            },
        )

    def _request(self, question: Question, order: Order) -> Choose:
        words = (self.yes, self.no) if order == "yes_first" else (self.no, self.yes)
        context = f"{question.context}\n" if question.context else ""
        prompt = PROMPT.format(first=words[0], second=words[1], context=context, question=question.text)
        return Choose(prompt, tuple(f" {form}" for word in (self.yes, self.no) for form in forms(word)))

    def _answer(self, response: Response) -> tuple[float, float] | None:
        """Log-probabilities (nats) of yes and no, each over the forms of the word; None if one is not finite."""
        n_yes, n_no = len(forms(self.yes)), len(forms(self.no))
        scores = scores_of(response, n_yes + n_no)
        if not finite(scores):
            return None
        totals = [score.total for score in scores]
        return _log_sum(totals[:n_yes]), _log_sum(totals[n_yes:])


def forms(word: str) -> tuple[str, ...]:
    """The word as given, and in lower case if that differs."""
    given = word.strip()
    return tuple(dict.fromkeys((given, given.lower())))


def _log_sum(logs: list[float]) -> float:
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(log - highest) for log in logs))
