"""What a model can be asked, and what it answers.

A benchmark turns an item into requests; `Model.answer` turns requests into responses, in the same order.
Log-probabilities are in nats, are never normalised, and are rounded to 1e-6 when they leave the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenhand.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Choose:
    """Score each option as a continuation of the prompt.

    Options carry their own leading space (`" yes"`). An empty prompt means the model's own beginning of text.
    With a chat template the prompt becomes the user's message and the options the assistant's answer.
    """

    prompt: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """Score whole texts, from their first token on, each from the model's own beginning of text.

    A text longer than the model's context is scored in windows that do not overlap, each conditioned on the last
    token of the one before. A masked language model answers with pseudo-log-likelihoods (one mask at a time).
    """

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NextToken:
    """Log-probability, as the token after the prompt, of each word's first token (words carry leading spaces)."""

    prompt: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Complete:
    """Continue the prompt: greedy at temperature 0, otherwise sampled with the request's own seed.

    The text does not depend on which other requests are in the batch.

    Args:
        prompt: what is continued; empty means the model's own beginning of text.
        max_new_tokens: the text ends here at the latest; at least 1.
        temperature: 0 takes the most likely token; log-probabilities are divided by anything above, which is finite.
        top_p: mass of the most likely tokens that are sampled from, above 0 and at most 1 (all tokens).
        seed: of the samples, 0 or more.

    Raises:
        UsageError: a value is out of its range.
    """

    prompt: str
    max_new_tokens: int = 50
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < math.inf, "0 (the most likely token) or a number above it"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("seed", self.seed >= 0, "0 or more"),
        ):
            if not fits:
                raise UsageError(f"Complete was asked for with {name}={getattr(self, name)!r}; it must be {wanted}.")


@dataclass(frozen=True, slots=True)
class Classify:
    """Class log-probabilities of a text (sequence classifiers only)."""

    text: str


Request = Choose | Compare | NextToken | Complete | Classify


@dataclass(frozen=True, slots=True)
class TextScore:
    """Log-probability in nats of each scored token of one text or option, with the token ids."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]

    @property
    def total(self) -> float:
        """Sum of the log-probabilities (nats)."""
        return math.fsum(self.logprobs)

    @property
    def mean(self) -> float:
        """Log-probability per token (nats); the model's geometric-mean convention has the same order."""
        return math.fsum(self.logprobs) / len(self.logprobs)


@dataclass(frozen=True, slots=True)
class Scores:
    """Answer to `Choose` and `Compare`: one score per option or text, in their order."""

    scores: tuple[TextScore, ...]


@dataclass(frozen=True, slots=True)
class WordScores:
    """Answer to `NextToken`: one log-probability (nats) per word."""

    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """Answer to `Complete`: the continuation without the prompt; `finished` = the model ended it itself."""

    text: str
    tokens: tuple[int, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Answer to `Classify`: label names and their log-probabilities (nats)."""

    labels: tuple[str, ...]
    logprobs: tuple[float, ...]


Response = Scores | WordScores | Completion | ClassScores

TIE = 1e-5
"""Log-probabilities closer than this (nats) are a tie everywhere: packing may move a score by a few 1e-6."""


def first_beats_second(first: float, second: float) -> float:
    """1.0 if the first score is higher, 0.0 if lower, 0.5 for a tie (scores in nats)."""
    if abs(first - second) < TIE:
        return 0.5
    return 1.0 if first > second else 0.0
