"""Items for tiny models, of words that `tests.fixtures.planted` knows as single tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tests.fixtures import planted

from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose, Compare
from evenhand.data.concepts import concepts

ANSWERS = {" Yes", " No", " yes", " no"}
PLAIN = tuple(word for word in planted.OTHERS if word not in ANSWERS)
CUES = tuple(word for words in planted.CUES.values() for word in words)
TEMPLATES = ("The{} is", "The person who is the{} said that it was", "In the house the{} sat on the mat with")
FORMS = tuple(f" {form}" for form in concepts("gender").forms)


def _item(name: str, cluster: str, request: Choose | Compare, **given: dict[str, str]) -> Item:
    facts = {"truth": True} if isinstance(request, Choose) else {}
    return Item(name, cluster, Origin("made up", "made up", 1), (request,), facts=facts, **given)


def questions(count: int, rng: np.random.Generator) -> list[Item]:
    """Yes/no questions of random words, one cluster each."""
    out = []
    for number in range(count):
        asked = "".join(rng.choice([*PLAIN, *CUES], size=6, replace=False))
        prompt = f"Answer the following question with Yes or No.\n\nQuestion:{asked}?\nAnswer:"
        out.append(_item(f"q{number}", f"q{number}", Choose(prompt, (" Yes", " yes", " No", " no"))))
    return out


def twins(first: Sequence[str], second: Sequence[str], rng: np.random.Generator, *, before: str = "The") -> list[Item]:
    """Pairs of texts that differ in one word each, with random words around it."""
    out = []
    for number, words in enumerate(zip(first, second, strict=True)):
        around = rng.choice([word for word in PLAIN if word not in words], size=6, replace=False)
        left, right = "".join(around[:3]), "".join(around[3:])
        texts = tuple(f"{before}{left}{word}{right}" for word in words)
        named = {"stereotype": texts[0], "anti-stereotype": texts[1]}
        out.append(_item(f"t{number}", f"t{number}", Compare(texts), texts=named))
    return out


def random_twins(count: int, rng: np.random.Generator) -> list[Item]:
    """Pairs of random words: neither is the stereotype."""
    drawn = [rng.choice(CUES, size=2, replace=False) for _ in range(count)]
    return twins([str(a) for a, _ in drawn], [str(b) for _, b in drawn], rng)


def gendered(count: int, rng: np.random.Generator) -> list[Item]:
    """A cue, then at once a word of the group that the stereotype gives it to, or of the other."""
    out = []
    for number in range(count):
        sign = 1 if number % 2 else -1
        cue = planted.CUES[sign][int(rng.integers(8))]
        she, he = str(rng.choice(planted.SHE)), str(rng.choice(planted.HE))
        start = "The" + "".join(rng.choice(PLAIN, size=3, replace=False)) + cue
        texts = (start + she, start + he)[::sign]
        named = {"stereotype": texts[0], "anti-stereotype": texts[1]}
        out.append(_item(f"g{number}", f"g{number}", Compare(texts), texts=named))
    return out


def cues() -> list[Item]:
    """Every cue in every template, each cue a concept."""
    return [
        _item(
            f"gender/{word.strip()}/t{number}/1",
            f"gender/{word.strip()}",
            Choose(template.format(word), FORMS),
            groups={"attribute": "gender", "kind": "cue"},
            texts={"cue": template.format(word)},
        )
        for word in CUES
        for number, template in enumerate(TEMPLATES)
    ]
