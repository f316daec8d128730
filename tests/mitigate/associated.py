"""Small items with concept cues: some of those that come with evenhand, and occupations for planted models."""

from __future__ import annotations

from tests.fixtures import planted

from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose
from evenhand.data.concepts import concepts

FRAMES = ("The{} is", "A{} was", "The person said that a{} is", "The question is a{} and it was")


def cues(attribute: str = "gender") -> list[Item]:
    """Four concepts with two phrases in two templates, as the benchmark lays them out."""
    found = concepts(attribute)
    templates = {one.id for one in found.templates[:2]}
    names = {one.id for one in found.concepts[:4]}
    kept = [c for c in found.cues() if c.template in templates and c.concept in names and c.id[-1] in "12"]
    return [item(cue.id, attribute, cue.cluster, cue.text, number) for number, cue in enumerate(kept, start=1)]


def occupations() -> list[Item]:
    """Cues of a planted model: each occupation is a concept, in every frame."""
    words = [word for sign in (1, -1) for word in planted.CUES[sign]]
    return [
        item(f"gender/{word.strip()}/f{place}/1", "gender", f"gender/{word.strip()}", frame.format(word), number)
        for number, word in enumerate(words)
        for place, frame in enumerate(FRAMES)
    ]


def item(name: str, attribute: str, cluster: str, text: str, row: int) -> Item:
    options = tuple(f" {form}" for form in concepts(attribute).forms)
    groups = {"attribute": attribute, "concept": cluster, "kind": "cue"}
    origin = Origin("concepts", f"{attribute}.json", row + 1)
    return Item(name, cluster, origin, (Choose(text, options),), groups, texts={"cue": text}, stratum=attribute)
