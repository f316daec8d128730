"""The sensitive tokens that CrAWD attends to: presets, the user's own words, and words that stand in for them.

The lists and their groups are facts of the paper (A.1); it uses gender for biographies, race for hate speech and the
whole list for SNLI.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from evenhand.core.errors import DataError, UnknownName, UsageError
from evenhand.data.swap import gender_table

if TYPE_CHECKING:
    import numpy as np

    from evenhand.model import Model

FULL = (
    "he she gay straight young old black white Asian European American Mexican disabled abled Muslim Christian Jewish "
    "fat thin rich poor"
)
PRESETS: Mapping[str, tuple[str, ...]] = {
    "gender": ("he", "she"),
    "orientation": ("gay", "straight"),
    "age": ("young", "old"),
    "race": ("black", "white", "Asian", "European", "American", "Mexican"),
    "disability": ("disabled", "abled"),
    "religion": ("Muslim", "Christian", "Jewish"),
    "appearance": ("fat", "thin"),
    "status": ("rich", "poor"),
    "full": tuple(FULL.split()),
}
"""Words by attribute; full is all of them, in the paper's order."""
LONGEST = 32
"""Tokens of a reference, at most."""
_NEAR = 8
"""A word that stands in for another is one of so many that are nearest to it by frequency."""
_WORD = re.compile(r"\b[a-z]{2,}\b")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference as token ids: the keys, and what opens and ends it, which is read but is no key."""

    before: tuple[int, ...]
    keys: tuple[int, ...]
    after: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        """All of it."""
        return (*self.before, *self.keys, *self.after)


def words_of(presets: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """The words of several presets and the user's own, each once.

    Raises:
        UnknownName: there is no such preset.
        UsageError: there are no words.
    """
    for name in presets:
        if name not in PRESETS:
            raise UnknownName("reference of crawd", name, PRESETS)
    found = dict.fromkeys(word for name in presets for word in PRESETS[name])
    found |= dict.fromkeys(word.strip() for word in own if word.strip())
    if not found:
        raise UsageError("crawd: there is no sensitive word. Give reference=gender, or words=she,he.")
    return tuple(found)


def encoded(model: Model, words: Sequence[str]) -> Reference:
    """The words, joined by spaces, as the model reads them at the beginning of a text.

    What opens a text is read too, so that the first word is not taken for it, but it is no key.

    Raises:
        UsageError: they are more tokens than the reference holds.
    """
    found = read(model, " ".join(words))
    if not 0 < len(found.keys) <= LONGEST:
        raise UsageError(
            f"crawd: the {len(words)} words are {len(found.keys)} tokens; expected 1 to {LONGEST}. Name fewer."
        )
    return found


def read(model: Model, text: str) -> Reference:
    """A text as the model reads it: after what opens a text; between its special tokens if it is a classifier."""
    from evenhand.model.encode import Encoder

    encoder = Encoder(model.tokenizer, model.hf.config)
    keys = tuple(encoder.ids([text], special=False)[0])
    if model.task != "classifier":
        return Reference(() if encoder.opening is None else (encoder.opening,), keys)
    whole = tuple(encoder.ids([text])[0])
    start = next((n for n in range(len(whole)) if whole[n : n + len(keys)] == keys), 0)
    return Reference(whole[:start], keys, whole[start + len(keys) :])


def shown(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """Each token as text."""
    return tuple(str(tokenizer.decode([one])).strip() or repr(tokenizer.decode([one])) for one in ids)


def stand_ins(
    words: Sequence[str], texts: Sequence[str], rng: np.random.Generator, tokens: Callable[[str], int] = len
) -> tuple[str, ...]:
    """As many other words, each as many tokens as the one it stands for and about as frequent; none names a group.

    What the texts have with a capital only is left out: it may be a name. Where no word has as many tokens, those with
    the nearest number do.

    Args:
        words: what they stand for.
        texts: where frequencies are counted.
        rng: the only source of chance.
        tokens: how many tokens a piece of text is; the first word stands at the beginning of a text, the others after
            a space.

    Raises:
        DataError: the texts have too few words.
    """
    uses = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    small = {word for text in texts for word in _WORD.findall(text)}
    named = {word.lower() for word in (*words, *PRESETS["full"])}
    table = gender_table()
    left = sorted(word for word in small if word not in named and not table.pattern.fullmatch(word))
    if len(left) < len(words):
        raise DataError(f"crawd: the texts have {len(left)} words that could stand in for {len(words)}. Use more text.")
    found: list[str] = []
    for word in words:
        place = " " if found else ""
        wanted, size = math.log(uses[word.lower()] + 1), tokens(place + word)
        tied = rng.permutation(len(left))  # many words are used once: which of them is near is chance
        made = [one.capitalize() if word[:1].isupper() else one for one in left]
        apart = [abs(tokens(place + one) - size) for one in made]
        order = sorted(range(len(left)), key=lambda n: (abs(math.log(uses[left[n]] + 1) - wanted), tied[n]))
        least = min(apart)
        near = [n for n in order if apart[n] == least]
        taken = near[int(rng.integers(min(_NEAR, len(near))))]
        left.pop(taken)
        found.append(made[taken])
    return tuple(found)


def size_in(model: Model) -> Callable[[str], int]:
    """How many tokens a piece of text is for a model; each piece is looked up once."""
    from evenhand.model.encode import Encoder

    encoder = Encoder(model.tokenizer, model.hf.config)
    return cache(lambda text: len(encoder.ids([text], special=False)[0]))
