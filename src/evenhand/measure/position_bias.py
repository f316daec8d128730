"""Position bias: does the place of an option decide whether it is chosen?"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item, Origin, Score
from evenhand.core.record import Card, RunNote
from evenhand.core.requests import Response
from evenhand.measure import _placed
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._bbq import shares
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import Files, files_of
from evenhand.measure._mmlu_subjects import SUBJECTS

MARGIN = 2e-4
"""Options within so many nats of the best one are as good as chosen where two orders are compared."""
_ARC = {"challenge": "ARC-Challenge", "easy": "ARC-Easy", "test": "test", "validation": "val"}
_SEGMENTS = (
    "position_bias: the options are listed as unlabelled lines, which the prompt marks as segments, and each is scored "
    "as text after 'Answer:'; the choice is the one with the highest log-probability. Moving an option changes nothing "
    "but its place."
)
_LETTERED = (
    "position_bias: the options are listed as A., B., ... and the letters are scored after 'Answer:'. Moving an option "
    "gives it another letter, too, so place and letter cannot be told apart."
)


class PositionBias(Benchmark):
    """Questions whose options are asked in several orders, each right answer in every place."""

    name: ClassVar[str] = "position_bias"
    card: ClassVar[Card] = Card(
        title="How far the place of an option among the others decides whether a model chooses it.",
        source="Large Language Models Are Not Robust Multiple Choice Selectors, Zheng et al., ICLR 2024, "
        "https://arxiv.org/abs/2309.03882 (recalls by place). Questions of ARC (https://arxiv.org/abs/1803.05457), "
        "MMLU (https://arxiv.org/abs/2009.03300) or CommonsenseQA (https://aclanthology.org/N19-1421).",
        formula="changed_answers = mean over questions of the share of pairs of orders with different answers; "
        "recall_spread = standard deviation over places of the accuracy where the right answer stands there",
        differs="Every question is asked in all orders, or in those that put each option once into each place; the "
        "paper moves the right answers of the whole set to one place. Options as unlabelled segments, scored as text, "
        "are ours. Equal scores share the choice.",
        cautions="As segments, an option's own probability weighs more than its place; as letters, small models often "
        "choose one letter throughout. CommonsenseQA has answers for its development part only.",
        needs="a decoder; the files only from a local folder",
    )
    metrics: ClassVar[tuple[str, ...]] = ("changed_answers", "recall_spread", "accuracy")
    by: ClassVar[tuple[str, ...]] = ("place",)
    folds_of: ClassVar[str] = "arc"

    questions: Annotated[Literal["arc", "mmlu", "commonsense_qa"], Field(description="Whose questions.")] = "arc"
    form: Annotated[
        Literal["segments", "letters"],
        Field(description="segments: unlabelled lines, scored as text; letters: A., B., ..., the letter is scored."),
    ] = "segments"
    orders: Annotated[
        Literal["cyclic", "all"],
        Field(description="cyclic: each option once in each place (4 orders of 4); all: every order (24 of 4)."),
    ] = "cyclic"
    subset: Annotated[Literal["challenge", "easy"], Field(description="Of ARC.")] = "easy"
    split: Annotated[
        Literal["test", "validation"], Field(description="Of ARC and MMLU: test to report, validation to choose on.")
    ] = "test"
    file: Annotated[
        str | None,
        Field(description="A file of your own in the layout of `questions`: a CSV without a header, or JSON lines."),
    ] = None

    def load(self) -> Loaded:
        """Read the questions; one item for each question and place of its right answer."""
        files, found = self._read()
        items = [item for question in found for item in self._items(question, files.source)]
        text = _SEGMENTS if self.form == "segments" else _LETTERED
        return Loaded(tuple(items), (files.use,), (RunNote(benchmark=self.name, kind="convention", text=text),))

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """`correct`: share of the right choice where the right answer stands in `place`; `changed` once a question."""
        orders, own, truth = item.facts["orders"], item.facts["own"], item.facts["truth"]
        if not (isinstance(orders, tuple) and isinstance(own, tuple) and isinstance(truth, int)):
            raise TypeError(f"expected orders and the number of the right option in {item.id}, found {item.facts!r}")
        by_order = [scores_of(response, len(orders[0])) for response in responses]
        if not all(finite(scores) for scores in by_order):
            return failed()
        totals: list[list[float]] = []
        for order, scores in zip(orders, by_order, strict=True):
            placed = [score.total for score in scores]
            at = {number: place for place, number in enumerate(order)} if self.form == "letters" else {}
            totals.append([placed[at.get(number, number)] for number in range(len(placed))])
        correct = sum(shares(totals[n])[truth] for n in own) / len(own)
        place = float(orders[own[0]].index(truth) + 1)
        changed = _changed(totals) if len(own) < len(orders) else None
        return Score({"correct": correct, "place": place, "changed": changed})

    def _read(self) -> tuple[Files, list[_placed.Question]]:
        if self.questions == "commonsense_qa":
            files = files_of("commonsense_qa", ("valid.jsonl",), self.file)
            return files, _placed.from_commonsense_qa(files.paths[0])
        if self.questions == "arc":
            files = files_of("arc", (f"{_ARC[self.subset]}_{_ARC[self.split]}.csv",), self.file)
            names: list[str] = [self.subset]
        else:
            part = "test" if self.split == "test" else "val"
            files = files_of("mmlu", tuple(f"{part}/{name}_{part}.csv" for name in SUBJECTS), self.file)
            names = list(SUBJECTS)
        return files, _placed.from_tables(files, names if self.file is None else [files.paths[0].stem])

    def _items(self, question: _placed.Question, source: str) -> list[Item]:
        every = _placed.orders(len(question.options), self.orders == "all")
        made = []
        for place in range(len(question.options)):
            there = [order for order in every if order[place] == question.truth]
            asked = every if place == 0 else there  # the first item of a question also compares its orders
            made.append(
                Item(
                    id=f"{question.name}/{place + 1}",
                    cluster=question.name,
                    stratum=question.name.rpartition("/")[0],
                    block=question.name,
                    origin=Origin(source, question.file, question.row),
                    requests=tuple(_placed.ask(question, o, letters=self.form == "letters") for o in asked),
                    groups={"place": str(place + 1)},
                    facts={
                        "orders": tuple(asked),
                        "own": tuple(asked.index(order) for order in there),
                        "truth": question.truth,
                    },
                    texts={
                        "question": question.text,
                        **dict(zip(_placed.LETTERS, question.options, strict=False)),
                        "right answer": question.options[question.truth],
                    },
                )
            )
        return made


def _changed(totals: list[list[float]]) -> float:
    """Share of pairs of orders without a common best option, from the totals (nats) of the options in each order."""
    best = [{n for n, total in enumerate(one) if total > max(one) - MARGIN} for one in totals]
    pairs = list(combinations(best, 2))
    return sum(not first & second for first, second in pairs) / len(pairs)
