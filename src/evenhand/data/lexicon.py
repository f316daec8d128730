"""Word lists: which words count as naming a group, and finding them in a text.

The lists that come with evenhand lie in `data/lexicons/`; a list of the user's own is a JSON file of the same form.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from evenhand.core.errors import DataError, MissingFile, UnknownName
from evenhand.core.record import Frozen

_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Found:
    """A listed word in a text: `text[start:end]`, as it is written in the list, and the group that it names."""

    start: int
    end: int
    word: str
    group: str


class Lexicon(Frozen):
    """Words in lower case by the group that they name; every word belongs to one group."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    language: str
    source: str
    groups: Mapping[str, tuple[str, ...]] = Field(min_length=1)

    @model_validator(mode="after")
    def _clean(self) -> Self:
        """Words are lower case, not empty, and listed once."""
        words = self.words
        wrong = [word for word in words if not word or word != word.strip().lower()]
        if wrong or not words:
            raise ValueError(f"expected words in lower case, found {wrong or 'none'}")
        if len(set(words)) < len(words):
            raise ValueError(
                f"expected every word once, found again: {sorted({w for w in words if words.count(w) > 1})}"
            )
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """All words, group by group."""
        return tuple(word for words in self.groups.values() for word in words)

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """The group that each word names."""
        return {word: group for group, words in self.groups.items() for word in words}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.words, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def find(self, text: str) -> Iterator[Found]:
        """Listed words in a text from left to right, whole words only, whatever their case: not "he" in "the"."""
        for match in self._pattern.finditer(text):
            word = match.group().lower()
            yield Found(match.start(), match.end(), word, self.group_of[word])


def word_count(text: str) -> int:
    """Words of a text: runs of letters and digits, apostrophes inside a word included ("don't" is one)."""
    return sum(1 for _ in _WORD.finditer(text))


def names() -> tuple[str, ...]:
    """Names of the word lists that come with evenhand, sorted."""
    return tuple(sorted(entry.name.removesuffix(".json") for entry in _folder().iterdir() if _is_lexicon(entry.name)))


@cache
def get(name: str) -> Lexicon:
    """A word list that comes with evenhand.

    Raises:
        UnknownName: there is no such list.
    """
    if name not in names():
        raise UnknownName("word list", name, names())
    return Lexicon.model_validate(content(name))


def read(file: str) -> Lexicon:
    """A word list from a JSON file of the user's own.

    Raises:
        MissingFile: there is no such file.
        DataError: it is not a word list; the message says what was expected.
    """
    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise MissingFile(f"{file!r}: asked to read it as a word list, found no such file. Check the path.")
    try:
        return Lexicon.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, OSError) as error:
        why = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise DataError(
            f"{path.name}: expected a JSON object with name, title, language, source and groups (group: list of words "
            f"in lower case), found something else ({why}). Mend the file or name another."
        ) from error


def digest(lexicon: Lexicon) -> str:
    """sha256 of a word list's content, for the record."""
    return hashlib.sha256(lexicon.model_dump_json().encode()).hexdigest()


def content(name: str) -> dict[str, Any]:
    """The JSON object of a file in `data/lexicons/`."""
    whole: dict[str, Any] = json.loads(_folder().joinpath(f"{name}.json").read_text("utf-8"))
    return whole


def _folder() -> Any:
    return files("evenhand.data").joinpath("lexicons")


def _is_lexicon(name: str) -> bool:
    """Tables for swapping lie in the same folder; they are not lists by group."""
    return name.endswith(".json") and not name.endswith("_swap.json")
