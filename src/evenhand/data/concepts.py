"""Concept cues: sentences that name a concept and stop where a social group would come next.

A cue is a template with a phrase put into it: "The person known for" + "leading a large team" + "is". What may follow
are the forms of the groups ("a woman", "a man", ...). The phrases of one concept go into the same templates, and so do
a few neutral phrases that name no concept: what a model says after these is what it says anyway.

All of it is English text of our own in `data/concepts/`: one file per attribute with its groups and concepts, and
`templates.json` with the templates and the neutral phrases. A phrase is a verb in -ing with its object, a form is a
noun phrase with its article, so that every phrase fits every template and every form may follow.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from evenhand.core.errors import UnknownName
from evenhand.core.record import Frozen

_TEMPLATES = "templates"
_SLOT = "{phrase}"
_Id = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
_Texts = Annotated[tuple[str, ...], Field(min_length=1)]


class Group(Frozen):
    """A social group and the ways to name it, each a noun phrase with its article and no leading space."""

    id: _Id
    forms: _Texts


class Template(Frozen):
    """A sentence with the slot `{phrase}` that stops where a group comes next, without a trailing space."""

    id: _Id
    text: str

    @model_validator(mode="after")
    def _one_slot(self) -> Self:
        if self.text.count(_SLOT) != 1 or self.text != self.text.strip():
            raise ValueError(
                f"template {self.id!r}: expected one {_SLOT} and no space at the ends, found {self.text!r}"
            )
        return self

    def filled(self, phrase: str) -> str:
        """The sentence with a phrase in its slot."""
        return self.text.replace(_SLOT, phrase)


class Concept(Frozen):
    """Something that people are associated with, and phrases that name it."""

    id: _Id
    phrases: _Texts


@dataclass(frozen=True, slots=True)
class Cue:
    """One sentence to be continued.

    Attributes:
        id: attribute/concept/template/number of the phrase, from 1.
        attribute: the attribute whose groups may follow.
        concept: id of the concept, "" for a neutral phrase.
        template: id of the template.
        text: the sentence, without a trailing space.
        phrase: what was put into the template.
        neutral: the same template with each neutral phrase; for a neutral cue, with the other neutral phrases only.
    """

    id: str
    attribute: str
    concept: str
    template: str
    text: str
    phrase: str
    neutral: tuple[str, ...]

    @property
    def cluster(self) -> str:
        """Cues that belong together: those of one concept, or the neutral ones of one template."""
        return f"{self.attribute}/{self.concept}" if self.concept else f"neutral/{self.attribute}.{self.template}"


class Concepts(Frozen):
    """An attribute: its groups, its concepts, and the templates that they go into."""

    attribute: _Id
    title: str
    language: str
    source: str
    groups: Annotated[tuple[Group, ...], Field(min_length=2)]
    concepts: Annotated[tuple[Concept, ...], Field(min_length=1)]
    templates: Annotated[tuple[Template, ...], Field(min_length=1)]
    neutral: _Texts

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Ids are used once, and no form is the beginning of another: their probabilities may be added."""
        for kind in (self.groups, self.concepts, self.templates):
            ids = [entry.id for entry in kind]
            if len(set(ids)) < len(ids):
                raise ValueError(f"{self.attribute}: expected ids used once, found {ids}")
        for first, second in itertools.permutations(self.forms, 2):
            if second.startswith(first):
                raise ValueError(f"{self.attribute}: the form {second!r} begins with the form {first!r}")
        return self

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of all groups, group by group."""
        return tuple(form for group in self.groups for form in group.forms)

    def cues(self) -> Iterator[Cue]:
        """Every phrase of every concept in every template, concept by concept."""
        for concept in self.concepts:
            yield from self._cues(concept.id, concept.phrases)

    def neutral_cues(self) -> Iterator[Cue]:
        """Every neutral phrase in every template."""
        yield from self._cues("", self.neutral)

    def _cues(self, concept: str, phrases: tuple[str, ...]) -> Iterator[Cue]:
        for template in self.templates:
            for number, phrase in enumerate(phrases, start=1):
                name = f"{self.attribute}/{concept or 'neutral'}/{template.id}/{number}"
                neutral = tuple(template.filled(other) for other in self.neutral if other != phrase)
                text = template.filled(phrase)
                yield Cue(name, self.attribute, concept, template.id, text, phrase, neutral)


def attributes() -> tuple[str, ...]:
    """Names of all attributes, sorted."""
    found = (entry.name for entry in files("evenhand.data").joinpath("concepts").iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in found if name != f"{_TEMPLATES}.json"))


@cache
def concepts(attribute: str) -> Concepts:
    """Groups, concepts and templates of an attribute.

    Raises:
        UnknownName: there is no such attribute.
    """
    if attribute not in attributes():
        raise UnknownName("attribute", attribute, attributes())
    shared = _read(_TEMPLATES)
    return Concepts.model_validate(
        {**_read(attribute), "templates": shared["templates"], "neutral": shared["neutral"]}, strict=False
    )


def digest() -> str:
    """sha256 over all files, for the record."""
    whole = hashlib.sha256()
    for name in (*attributes(), _TEMPLATES):
        whole.update(_bytes(name))
    return whole.hexdigest()


def _bytes(name: str) -> bytes:
    return files("evenhand.data").joinpath("concepts", f"{name}.json").read_bytes()


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_bytes(name))
    return content
