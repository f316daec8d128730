"""Label priors: what a model answers to yes/no and multiple choice before it knows the question."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item, Origin, Score
from evenhand.core.record import Card, DataUse, RunNote
from evenhand.core.requests import Choose, Response
from evenhand.data.content import ANSWER, CONTENT_FREE, Domain, Slots, slots
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._multiple_choice import LETTERS
from evenhand.measure.arc import Arc
from evenhand.measure.mmlu import Mmlu
from evenhand.measure.yes_no import YesNo

Contents = Literal["content_free", "in_domain", "batch"]
CONTENTS: tuple[Contents, ...] = ("content_free", "in_domain", "batch")
RANDOM_TEXTS = 1000
"""Random texts in all, at most; many questions share them."""
Questions = Literal["bbq", "boolq", "strategyqa", "strategyqa_train", "mmlu", "arc", "arc_easy"]


class LabelPrior(Benchmark):
    """Which label does the model like, whatever the question?"""

    name: ClassVar[str] = "label_prior"
    card: ClassVar[Card] = Card(
        title="Which label (Yes or No, A to D) does the model like, whatever the question is?",
        source="Calibrate Before Use. Zhao et al., ICML 2021. https://arxiv.org/abs/2102.09690 (inputs without "
        "content); Mitigating Label Biases for In-context Learning. Fei et al., ACL 2023. "
        "https://arxiv.org/abs/2305.19148 (random words of the domain); Batch Calibration. Zhou et al., ICLR 2024. "
        "https://arxiv.org/abs/2309.17249 (the mean over real questions)",
        formula="share of label c = P(c) / sum over labels of P, each P summed over the word as given and in lower "
        "case; prior = mean share over prompts, for each kind of contents and order of the labels",
        differs="No examples in the prompt. Each question is asked three ways: with 'N/A', nothing or '[MASK]' (in "
        "turn) for each of its texts; with random texts, as many words as such texts have on average, drawn from all "
        "of their words; and as it is. The papers take 3 inputs without content and 20 random texts in all. ARC's "
        "options are lettered here.",
        cautions="The chat format is that of yes_no, for letters too, where mmlu and arc have none (see --chat). The "
        "three priors need not agree, and none of them is the model's bias on a single question. In real "
        "questions one label may be right more often than others: the notes say how often.",
        needs="a decoder; BBQ is fetched, the other questions only from a local folder",
    )
    metrics: ClassVar[tuple[str, ...]] = ("prior_distance", "prior_entropy", "answer_mass")
    by: ClassVar[tuple[str, ...]] = ("contents", "order")
    folds_of: ClassVar[str] = "yes_no"
    chat: ClassVar[bool] = True

    questions: Annotated[
        Questions, Field(description="The question set: three with yes/no answers, or MMLU or ARC with four letters.")
    ] = "bbq"
    count: Annotated[int, Field(ge=2, description="Questions, at most; drawn at random from larger sets.")] = 4000
    seed: Annotated[int, Field(ge=0, description="Of the random texts, and of the questions that are drawn.")] = 0
    file: Annotated[str | None, Field(description="A file of your own in the layout of the question set.")] = None

    def load(self) -> Loaded:
        """Read the questions and ask each in three ways."""
        import numpy as np

        found, data = self._asked()
        names = list(dict.fromkeys(_question(item) for item in found))
        notes = [_right(found)]
        rng = np.random.default_rng(self.seed)
        if len(names) > self.count:
            kept = {names[number] for number in rng.permutation(len(names))[: self.count].tolist()}
            found = [item for item in found if _question(item) in kept]
            notes.append(f"{self.count:,} of {len(names):,} questions, drawn at random.")
        prompts = [(item, place) for item in found if (place := slots(_prompt(item), _texts(item))) is not None]
        domain = Domain.of(_texts(item) for item, _ in prompts if item.groups.get("order") != "no_first")
        drawn = [domain.draw(rng) for _ in range(min(RANDOM_TEXTS, len(prompts)))]
        items = tuple(
            one for number, given in enumerate(prompts) for one in _three_ways(number // 2, *given, drawn)
        )  # both orders of a question lie side by side
        notes.insert(0, "The contents of a prompt are its question, with passage and options where there are any.")
        return Loaded(items, data, tuple(RunNote(benchmark=self.name, kind="convention", text=text) for text in notes))

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Shares of the labels of one answer.

        `p_0` to `p_3`: share of each label in the order of the options, 0 beyond the last; `labels`: how many there
        are; `answer_mass`: probability of all together; `cell`: which way of asking it is, 0 to 5.
        """
        request = item.requests[0]
        assert isinstance(request, Choose)
        scores = scores_of(responses[0], len(request.options))
        if not finite(scores):
            return failed()
        sums: dict[str, float] = {}
        highest = max(score.total for score in scores)
        for option, score in zip(request.options, scores, strict=True):
            label = option.strip().lower()
            sums[label] = sums.get(label, 0.0) + math.exp(score.total - highest)
        whole = math.fsum(sums.values())
        shares = [value / whole for value in sums.values()]
        order = float(item.groups["order"] == "no_first")
        return Score(
            {
                **{f"p_{place}": share for place, share in enumerate([*shares, 0.0, 0.0][: len(LETTERS)])},
                "labels": float(len(shares)),
                "answer_mass": whole * math.exp(highest),
                "cell": 2.0 * CONTENTS.index(item.groups["contents"]) + order,
            }
        )

    def _asked(self) -> tuple[Sequence[Item], tuple[DataUse, ...]]:
        """The questions as other benchmarks ask them, and what they were read from."""
        if self.questions == "mmlu":
            loaded = Mmlu(file=self.file).load()
        elif self.questions in ("arc", "arc_easy"):
            loaded = Arc(subset="easy" if self.questions == "arc_easy" else "challenge", file=self.file).load()
            return tuple(_lettered(item) for item in loaded.items), loaded.data
        else:
            loaded = YesNo(questions=self.questions, file=self.file).load()
        return loaded.items, loaded.data


def _three_ways(number: int, item: Item, place: Slots, drawn: Sequence[Mapping[str, str]]) -> Iterator[Item]:
    """A question without content, with random words in its places, and as it is; `number` chooses the stand-ins."""
    request = item.requests[0]
    assert isinstance(request, Choose)
    free = CONTENT_FREE[number % len(CONTENT_FREE)]
    prompts = (place.filled_with(free), place.filled(drawn[number % len(drawn)]), request.prompt)
    for contents, prompt in zip(CONTENTS, prompts, strict=True):
        yield Item(
            id=f"{item.id}/{contents}",
            cluster=item.cluster,
            stratum=item.stratum,
            block=_question(item),
            origin=item.origin,
            requests=(Choose(prompt, request.options),),
            groups={"contents": contents, "order": item.groups.get("order", "")},
            texts=dict(item.texts) if contents == "batch" else {},
        )


def _question(item: Item) -> str:
    """The same for both orders of a question."""
    return item.id.removesuffix("/yes_first").removesuffix("/no_first")


def _prompt(item: Item) -> str:
    request = item.requests[0]
    assert isinstance(request, Choose)
    return request.prompt


def _texts(item: Item) -> dict[str, str]:
    return {key: text for key, text in item.texts.items() if key != ANSWER}


def _lettered(item: Item) -> Item:
    """A question with its options listed as A. to D., and the letters to choose among."""
    listed = "\n".join(f"{letter}. {item.texts[letter]}" for letter in LETTERS)
    request = Choose(f"Question: {item.texts['question']}\n{listed}\nAnswer:", tuple(f" {one}" for one in LETTERS))
    return Item(
        item.id,
        item.cluster,
        Origin(item.origin.source, item.origin.file, item.origin.row),
        (request,),
        dict(item.groups),
        dict(item.facts),
        dict(item.texts),
        item.stratum,
        item.block,
    )


def _right(items: Sequence[Item]) -> str:
    """How often each label is right."""
    counts: dict[str, int] = {}
    for item in items:
        truth = item.facts["truth"]
        label = ("No", "Yes")[truth] if isinstance(truth, bool) else LETTERS[int(str(truth))]
        counts[label] = counts.get(label, 0) + 1
    total = sum(counts.values())
    shown = ", ".join(f"{label} {100 * counts[label] / total:.1f} %" for label in sorted(counts))
    return f"Right answers: {shown}."
