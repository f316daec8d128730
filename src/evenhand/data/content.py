"""What a prompt is about, taken out of it: stand-ins without content, and random texts in the words of a domain.

A prompt is a template with an item's texts in it. Where they are replaced by something that says nothing, what the
model answers is what it answers anyway: its prior over the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CONTENT_FREE = ("N/A", "", "[MASK]")
"""The inputs without content of Zhao et al. (2021)."""
ANSWER = "right answer"
"""The key of `Item.texts` that holds an answer, which is no part of what is asked."""


@dataclass(frozen=True, slots=True)
class Slots:
    """A prompt without its contents.

    Attributes:
        pieces: what stands before, between and after the contents: one more than there are keys.
        keys: names of the contents, in the order of the prompt.
    """

    pieces: tuple[str, ...]
    keys: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> str:
        """The prompt with these contents."""
        parts = [self.pieces[0]]
        for key, piece in zip(self.keys, self.pieces[1:], strict=True):
            parts += [values[key], piece]
        return "".join(parts)

    def filled_with(self, text: str) -> str:
        """The prompt with the same text in every place."""
        return self.filled(dict.fromkeys(self.keys, text))


def slots(prompt: str, texts: Mapping[str, str]) -> Slots | None:
    """Where an item's texts stand in a prompt, as whole words, each after the one before; None if none does."""
    pieces: list[str] = []
    keys: list[str] = []
    begin = 0
    for key, text in texts.items():
        wanted = text.strip()
        if key == ANSWER or not wanted:
            continue
        place = _whole(prompt, wanted, begin)
        if place >= 0:
            pieces.append(prompt[begin:place])
            keys.append(key)
            begin = place + len(wanted)
    return Slots((*pieces, prompt[begin:]), tuple(keys)) if keys else None


def _whole(prompt: str, wanted: str, begin: int) -> int:
    """Where a text stands that neither begins nor ends within a word, -1 if nowhere."""
    place = prompt.find(wanted, begin)
    while place >= 0:
        end = place + len(wanted)
        if not (_in_word(prompt[place - 1 : place + 1]) or _in_word(prompt[end - 1 : end + 1])):
            return place
        place = prompt.find(wanted, place + 1)
    return -1


def _in_word(pair: str) -> bool:
    """Whether two neighbours are both part of a word."""
    return len(pair) == 2 and all(letter.isalnum() or letter == "_" for letter in pair)


@dataclass(frozen=True, slots=True)
class Domain:
    """The words of a domain, apart for each kind of text.

    Attributes:
        words: all words in lower case, as often as they occur.
        lengths: mean number of words of a text, cut to a whole number, at least 1.
    """

    words: Mapping[str, tuple[str, ...]]
    lengths: Mapping[str, int]

    @classmethod
    def of(cls, texts: Iterable[Mapping[str, str]]) -> Domain:
        """From the texts of items; blank ones do not count."""
        words: dict[str, list[str]] = {}
        counts: dict[str, int] = {}
        for item in texts:
            for key, text in item.items():
                found = text.lower().split()
                if found:
                    words.setdefault(key, []).extend(found)
                    counts[key] = counts.get(key, 0) + 1
        lengths = {key: max(1, len(found) // counts[key]) for key, found in words.items()}
        return cls({key: tuple(found) for key, found in words.items()}, lengths)

    def draw(self, rng: np.random.Generator) -> dict[str, str]:
        """One random text of each kind: words drawn with replacement, by frequency, and a full stop."""
        made = {}
        for key, words in self.words.items():
            drawn = rng.integers(0, len(words), self.lengths[key])
            made[key] = " ".join([*(words[number] for number in drawn.tolist()), "."])
        return made
