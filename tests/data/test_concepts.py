from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from evenhand.core.errors import UnknownName
from evenhand.data import concepts
from evenhand.data.concepts import Concept, Concepts, Group, Template


def made(**changed: object) -> Concepts:
    given: dict[str, object] = {
        "attribute": "toy",
        "title": "t",
        "language": "en",
        "source": "s",
        "groups": (Group(id="cat", forms=("a cat",)), Group(id="dog", forms=("a dog", "a hound"))),
        "concepts": (Concept(id="noise", phrases=("barking", "howling")),),
        "templates": (Template(id="one", text="The one {phrase} is"), Template(id="two", text="See {phrase}? It is")),
        "neutral": ("sitting", "standing"),
    }
    return Concepts.model_validate({**given, **changed})


def test_cues_are_every_phrase_in_every_template() -> None:
    cues = list(made().cues())
    assert [cue.text for cue in cues] == [
        "The one barking is",
        "The one howling is",
        "See barking? It is",
        "See howling? It is",
    ]
    assert [cue.id for cue in cues][:2] == ["toy/noise/one/1", "toy/noise/one/2"]
    assert {cue.cluster for cue in cues} == {"toy/noise"}
    assert cues[2].neutral == ("See sitting? It is", "See standing? It is")


def test_a_neutral_cue_is_compared_with_the_other_neutral_phrases_only() -> None:
    cues = list(made().neutral_cues())
    assert [(cue.text, cue.neutral, cue.cluster) for cue in cues][:2] == [
        ("The one sitting is", ("The one standing is",), "neutral/toy.one"),
        ("The one standing is", ("The one sitting is",), "neutral/toy.one"),
    ]


def test_forms_that_begin_with_each_other_are_refused_because_their_probabilities_overlap() -> None:
    with pytest.raises(ValidationError, match="'a catfish' begins with the form 'a cat'"):
        made(groups=(Group(id="cat", forms=("a cat",)), Group(id="fish", forms=("a catfish",))))


def test_a_template_without_a_slot_or_an_id_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"expected one .phrase."):
        Template(id="x", text="Nothing here")
    with pytest.raises(ValidationError, match="ids used once"):
        made(concepts=(Concept(id="noise", phrases=("a",)), Concept(id="noise", phrases=("b",))))
    with pytest.raises(UnknownName, match="Did you mean 'gender'"):
        concepts.concepts("gendre")


@pytest.mark.parametrize("attribute", concepts.attributes())
def test_every_attribute_has_ten_concepts_of_forty_cues_and_as_many_forms_for_each_group(attribute: str) -> None:
    found = concepts.concepts(attribute)
    cues = list(found.cues())
    assert found.attribute == attribute
    assert len(found.concepts) == 10
    assert all(sum(cue.concept == concept.id for cue in cues) >= 40 for concept in found.concepts)
    assert len({cue.text for cue in cues}) == len(cues) == len({cue.id for cue in cues})
    assert len({len(group.forms) for group in found.groups}) == 1


@pytest.mark.parametrize("attribute", concepts.attributes())
def test_phrases_begin_with_a_verb_in_ing_and_forms_with_their_article_and_no_phrase_names_a_group(
    attribute: str,
) -> None:
    found = concepts.concepts(attribute)
    phrases = [phrase for concept in found.concepts for phrase in concept.phrases]
    for phrase in (*phrases, *found.neutral):
        assert re.match(r"(?:figure )?\w+ing\b", phrase), phrase
        assert phrase == phrase.strip()
        assert not phrase.endswith(".")
    for form in found.forms:
        assert re.match(r"(?:a [^aeiou]|an [aeiouAEIOU]|some(?:one|body) |one of )", form), form
    nouns = {word for form in found.forms for word in form.split()} - {"a", "an", "one", "of", "the", "with", "from"}
    nouns -= {"someone", "who", "is", "person", "not", "without", "women", "man", "woman"}
    assert not [phrase for phrase in phrases if nouns & set(phrase.split())]


def test_the_digest_is_that_of_all_files() -> None:
    assert re.fullmatch("[0-9a-f]{64}", concepts.digest())
    assert len(concepts.attributes()) == 9
