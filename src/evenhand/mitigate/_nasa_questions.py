"""Yes/no questions in both orders as token rows, and their split into three parts that share no cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.requests import Choose

if TYPE_CHECKING:
    import numpy as np

    from evenhand.model import Model
    from evenhand.model.answer_words import Prompt

ORDERS = ("yes_first", "no_first")


@dataclass(frozen=True, slots=True)
class Option:
    """Where one form of an answer is scored.

    Attributes:
        row: number of the token row among those of its prompt.
        start: place of the token that predicts the form's first token.
        tokens: the form's tokens.
    """

    row: int
    start: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in one order.

    Attributes:
        prompt: the prompt, with the places of the two words.
        rows: token rows; the first begins with the prompt. Forms of one token share it.
        yes, no: the forms of the two answers.
    """

    prompt: Prompt
    rows: tuple[tuple[int, ...], ...]
    yes: tuple[Option, ...]
    no: tuple[Option, ...]

    @property
    def tokens(self) -> int:
        """What it takes in a batch, at most."""
        return len(self.rows) * max(map(len, self.rows))


@dataclass(frozen=True, slots=True)
class Question:
    """A question in both orders, that with the word for yes first standing first."""

    orders: tuple[Asked, Asked]
    truth: bool
    cluster: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Three sets of questions without a common cluster: to choose heads, to train them, to watch the answers."""

    probe: tuple[Question, ...]
    train: tuple[Question, ...]
    monitor: tuple[Question, ...]


def read(model: Model, items: Sequence[Item], *, chat: bool, method: str) -> tuple[list[Question], int]:
    """Each question once, in both orders; and how many items were left out.

    The two words are those of the items' options: forms of the first answer, then those of the second.

    Raises:
        DataError: no item asks with both words in its instruction and says what is right.
    """
    from evenhand.model.answer_words import both_orders

    found: dict[tuple[str, str], Question | None] = {}
    dropped = 0
    for item in items:
        request = item.requests[0] if item.requests else None
        orders, forms = None, 0
        if isinstance(request, Choose) and isinstance(item.facts.get("truth"), bool):
            forms = first_forms(request.options)
            words = [request.options[n].strip() for n in (0, forms % len(request.options))]
            orders = both_orders(request.prompt, *words) if forms < len(request.options) else None
        if orders is None or not isinstance(request, Choose):
            dropped += 1
        elif orders not in found:
            asked = [_asked(model, Choose(text, request.options), forms, chat=chat) for text in orders]
            first, second = asked
            whole = None if first is None or second is None else (first, second)
            dropped += whole is None
            found[orders] = Question(whole, item.facts["truth"] is True, item.cluster) if whole else None
    kept = [question for question in found.values() if question is not None]
    if not kept:
        raise DataError(
            f"{method} is fitted on yes/no questions whose instruction names both words and whose answer is known; "
            f"none of the {len(items):,} items is one. Fit it on others, e.g. --fit-on yes_no."
        )
    return kept, dropped


def thinned(items: Sequence[Item], questions: int, rng: np.random.Generator) -> list[Item]:
    """Items in their order, of large clusters only as many as it takes to have about three times so many questions.

    A question is two items where both orders are asked. Small clusters are kept whole; nothing is drawn then.
    """
    places: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        places.setdefault(item.cluster, []).append(number)
    most = max(2, -(-3 * questions // max(1, len(places))))
    kept: list[int] = []
    for found in places.values():
        kept += found if len(found) <= most else rng.choice(found, most, replace=False).tolist()
    return [items[number] for number in sorted(kept)]


def words_of(items: Sequence[Item]) -> tuple[str, str]:
    """The words for yes and for no of the first item that has both, for a reader."""
    for item in items:
        request = item.requests[0] if item.requests else None
        if isinstance(request, Choose) and first_forms(request.options) < len(request.options):
            return request.options[0].strip(), request.options[first_forms(request.options)].strip()
    return "yes", "no"


def first_forms(options: Sequence[str]) -> int:
    """How many options are forms of the first answer: those that are spelt like the first one but for capitals."""
    first = options[0].strip().lower()
    return next((n for n, option in enumerate(options) if option.strip().lower() != first), len(options))


def split(questions: Sequence[Question], sizes: tuple[int, int, int], rng: np.random.Generator, method: str) -> Parts:
    """Clusters drawn at random into parts of about these sizes (probe, train, monitor), or in their proportion.

    Raises:
        DataError: there are fewer than three clusters.
    """
    clusters: dict[str, list[Question]] = {}
    for question in questions:
        clusters.setdefault(question.cluster, []).append(question)
    if len(clusters) < 3:
        raise DataError(
            f"{method} chooses, trains and watches on questions of different clusters and found {len(clusters)} "
            f"cluster(s) in {len(questions):,} questions. Give more, e.g. --fit-on yes_no."
        )
    names = sorted(clusters)
    share = min(1.0, len(questions) / sum(sizes))
    wanted = [max(1.0, size * share) for size in sizes]
    parts: list[list[Question]] = [[], [], []]
    for number in rng.permutation(len(names)):
        lacking = [1.0 - len(part) / size for part, size in zip(parts, wanted, strict=True)]
        neediest = max(range(3), key=lambda n: lacking[n])
        if lacking[neediest] > 0:
            parts[neediest] += clusters[names[number]]
    probe, train, monitor = (tuple(part) for part in parts)
    return Parts(probe, train, monitor)


def _asked(model: Model, request: Choose, forms: int, *, chat: bool) -> Asked | None:
    """A prompt with its options as token rows, None if it is longer than the model's context."""
    from evenhand.model.answer_words import encode
    from evenhand.model.encode import Encoder

    words = [request.options[n].strip() for n in (0, forms)]
    prompt = encode(model, request.prompt, *words, chat=chat)
    encoded = Encoder(model.tokenizer, model.hf.config, chat=chat).encode([request])
    if prompt is None or encoded.counts.cut or any(len(option) != 1 for option in encoded.parts[0]):
        return None
    texts = [encoded.texts[option[0]] for option in encoded.parts[0]]
    rows = [prompt.ids]
    for text in texts:
        fed = text.tokens[:-1]
        match = next((n for n, row in enumerate(rows) if _begins(row, fed) or _begins(fed, row)), None)
        if match is None:
            rows.append(fed)
        elif len(fed) > len(rows[match]):
            rows[match] = fed
    options = [
        Option(
            next(n for n, row in enumerate(rows) if _begins(text.tokens[:-1], row)),
            text.start - 1,
            text.tokens[text.start :],
        )
        for text in texts
    ]
    return Asked(prompt, tuple(rows), tuple(options[:forms]), tuple(options[forms:]))


def _begins(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether the second sequence begins with the first."""
    return len(one) <= len(other) and tuple(other[: len(one)]) == tuple(one)
