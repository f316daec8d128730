"""Counterfactual texts: every word that names a gender is replaced by its counterpart, the rest stays as it is.

The rules, for English:

- whole words only, case kept ("He", "HE", "he"); "'s" and hyphens stay ("he's" -> "she's", "father-in-law" -> ...);
- "his" and "her" have two counterparts each. What follows decides: a word that can begin a noun phrase ("her long
  coat") makes it a possessive (his <-> her); punctuation, the end of the text or a word that cannot ("saw her in the
  park") makes it a pronoun of its own (her -> him, his -> hers). The list of such words is in the table;
- names are untouched: first names are in no table, and a word of the table that is capitalised and stands directly
  beside another capitalised word ("Billie Jean King", "Queen Victoria", "Mr King") is taken for a part of a name,
  unless it is a pronoun or Mr, Mrs, Ms. An article or a possessive in front is no name, and text in capitals has none;
- some words go one way only, because two words share a counterpart (Mrs -> Mr, but Mr -> Ms).

Limits: no parser is used, so "her" before an -ing form or an adverb may come out as the wrong one of the two (of 2,380
"him" and "his" in GAP's test and validation files, put down as "her", 97 % come back), and words that fit one gender
for other reasons (beard, pregnant) stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

from pydantic import model_validator

from evenhand.core.record import Frozen
from evenhand.data.lexicon import content

_POSSESSIVE = {"his": ("her", "hers"), "her": ("his", "him")}
"""Ambiguous word -> its counterpart as a possessive before a noun, and as a pronoun of its own."""
_CERTAIN = {"him": "her", "hers": "his"}
_NEXT = re.compile(r"\s+[\"'`“‘(\[]*(\w+)")
_BEFORE = re.compile(r"([\w’'.-]*\w\.?)\s$")
_AFTER = re.compile(r"\s(\w+)")
_TITLES = frozenset(["mr", "mrs", "ms", "dr"])
_NO_NAME = frozenset(
    ["i", "a", "an", "the", "this", "that", "my", "your", "his", "her", "its", "our", "their", "and", "but"]
)


class SwapTable(Frozen):
    """Words in lower case with their counterparts.

    Attributes:
        pairs: counterparts of each other.
        one_way: words that become another one, which does not become them.
        never_names: words that are swapped even beside a capitalised word.
        not_possessed: words that do not begin a noun phrase after a possessive.
    """

    name: str
    title: str
    language: str
    source: str
    pairs: tuple[tuple[str, str], ...]
    one_way: Mapping[str, str]
    never_names: frozenset[str]
    not_possessed: frozenset[str]

    @model_validator(mode="after")
    def _once(self) -> Self:
        """Every word has one counterpart."""
        words = [*(word for pair in self.pairs for word in pair), *self.one_way, *_POSSESSIVE, *_CERTAIN]
        if len(set(words)) < len(words):
            raise ValueError(
                f"expected every word once, found again: {sorted({w for w in words if words.count(w) > 1})}"
            )
        return self

    @cached_property
    def counterpart(self) -> Mapping[str, str]:
        """Word -> counterpart, all but those that depend on what follows."""
        both = dict(self.pairs) | {second: first for first, second in self.pairs}
        return {**both, **self.one_way, **_CERTAIN}

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds every word of the table, whole words only, whatever their case."""
        words = sorted([*self.counterpart, *_POSSESSIVE], key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Swapped:
    """A text with its gendered words replaced, and how many were."""

    text: str
    changed: int


@cache
def gender_table() -> SwapTable:
    """The table that comes with evenhand (English, about 100 pairs)."""
    return SwapTable.model_validate(content("gender_swap"))


def swap(text: str, table: SwapTable | None = None) -> Swapped:
    """The text with every gendered word replaced by its counterpart, by the rules above."""
    table = table or gender_table()
    pieces: list[str] = []
    done = changed = 0
    for match in table.pattern.finditer(text):
        if _in_name(text, match, table):
            continue
        pieces += [text[done : match.start()], _cased(match.group(), _counterpart(text, match, table))]
        done = match.end()
        changed += 1
    return Swapped("".join([*pieces, text[done:]]), changed)


def _counterpart(text: str, match: re.Match[str], table: SwapTable) -> str:
    word = match.group().lower()
    if word not in _POSSESSIVE:
        return table.counterpart[word]
    before_noun, alone = _POSSESSIVE[word]
    following = _NEXT.match(text, match.end())
    possessive = following is not None and following.group(1).lower() not in table.not_possessed
    return before_noun if possessive else alone


def _in_name(text: str, match: re.Match[str], table: SwapTable) -> bool:
    """Is a capitalised word beside another one that is neither an article nor a possessive?"""
    word = match.group()
    if not word[0].isupper() or (word.isupper() and len(word) > 1) or word.lower() in table.never_names:
        return False
    before, after = _BEFORE.search(text, max(0, match.start() - 40), match.start()), _AFTER.match(text, match.end())
    if before and before.group(1).lower().rstrip(".") in _TITLES:
        return True
    neighbours = [found.group(1) for found in (before, after) if found]
    return any(
        near[0].isupper() and not near.endswith(".") and near.lower() not in _NO_NAME | table.never_names
        for near in neighbours
    )


def _cased(original: str, word: str) -> str:
    """The word in the case of the original: capitals, a capital first, or small."""
    if original.isupper() and len(original) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if original[0].isupper() else word
