"""A balanced variant of CrAWD: words for groups become rarer and evener where no group was named yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.data import lexicon
from evenhand.mitigate import _crawd_reference as references
from evenhand.mitigate._mitigation import Fitted, Sham
from evenhand.mitigate.crawd import Crawd

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model


class CrawdBalanced(Crawd):
    """CrAWD's block, trained towards the untouched model with fewer and evener words where the group is open."""

    name: ClassVar[str] = "crawd_balanced"
    card: ClassVar[Card] = Card(
        title="Cross-attention to sensitive words, trained so that words for groups are rarer and even where the text "
        "has not named a group yet.",
        source="A variant of ours of CrAWD (Haque, Fu, Xu, Yuan, Niu, Findings of EMNLP 2025, "
        "https://aclanthology.org/2025.findings-emnlp.854).",
        formula="the block of crawd; minimise weight * mean over texts with open places of (mean over these of "
        "KL(P* || P)) + mean over texts of (mean over all other places of KL(P_0 || P)); P_0 = the untouched model; P* "
        "= P_0 with the listed words of each of two groups brought to keep * s / 2 together (even) or to keep times "
        "what they had, s = what both had, all else scaled up; open = in what the model writes after an opening about "
        "a person with an occupation, up to the first listed word",
        differs="From CrAWD: the loss. Cross-entropy asks for nothing about groups; this asks for it at places where "
        "nothing tells the group, and holds everything else to the untouched model, so that a group that was named "
        "stays named. It learns nothing of the text, which cannot therefore improve its perplexity either. Openings "
        "are sentences of ours with the occupations of the fold 'fit', and what the model itself writes after them. "
        "Listed words count by their first tokens, as in word_list_bias.",
        cautions="It aims at what gas counts, on openings of a like kind: a person with an occupation. Read it with "
        "perplexity_listed, and on other benchmarks for what it is worth. Fewer words for groups is not equal "
        "treatment; even=true keep=1 asks for evenness alone. Words and openings are English, for women and men.",
        needs="a decoder in float32 or bfloat16 whose hidden size can be divided into the heads; any text",
    )
    tasks: ClassVar[tuple[str, ...]] = ("decoder",)
    strength: ClassVar[str] = "keep"
    grid: ClassVar[tuple[float, ...]] = (0.5, 0.2, 0.05)
    rivals: ClassVar[tuple[str, ...]] = ("word_list_bias",)

    keep: Annotated[
        float, Field(gt=0, le=1, description="How much of the listed words' probability is kept at open places.")
    ] = 0.2
    even: Annotated[bool, Field(description="Both groups get the same share of it.")] = True
    weight: Annotated[float, Field(gt=0, description="Weight of the open places, beside 1 for the others.")] = 1.0
    listed: Annotated[
        str, Field(description="A word list with two groups that comes with evenhand, or a JSON file of this form.")
    ] = "gas"
    samples: Annotated[
        int, Field(ge=0, description="Continuations drawn after each opening, besides the likeliest one.")
    ] = 2
    new_tokens: Annotated[int, Field(ge=1, description="Tokens of each continuation, at most.")] = 25
    told: Annotated[
        int, Field(ge=1, description="Likeliest tokens that are told apart besides the listed ones; the rest is one.")
    ] = 64
    places: Annotated[
        Literal["open", "random"], Field(description="For the sham: as many places, dealt out at random.")
    ] = "open"

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Adapters `up:NAME`, `down:NAME`; block `extra:NAME`; `tau` [H]; ids `reference.before`, `.keys`, `.after`."""
        from evenhand.mitigate import _crawd_balance as balance
        from evenhand.mitigate._crawd_learn import learn

        texts = self._texts(items, rng)
        words = references.words_of(self.reference, self.words)
        found = lexicon.read(self.listed) if self.listed.endswith(".json") else lexicon.get(self.listed)
        named: Mapping[str, Sequence[str]] = found.groups
        if self.without == "words":
            words, named = _others(words, named, texts, rng, references.size_in(model))
        openings = balance.openings()
        own = balance.written(model, openings, self.samples, self.new_tokens, rng)
        heads = [*(openings * (self.samples + 1)), *([""] * len(texts))]
        groups = balance.groups_of(model.tokenizer, named)
        goal = balance.Balance(model, self, groups, [*own, *texts], heads, rng)
        fitted = learn(model, self, words, [*own, *texts], int(rng.integers(2**31)), goal)
        note = f"{goal.count:,} places in {len(own):,} continuations of {len(openings)} openings are open."
        return Fitted(fitted.tensors, (note, *fitted.notes), fitted.findings)

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Other words of like frequency, listed and referred to; and the same words at places dealt out at random."""
        return (
            Sham("other words", self.model_copy(update={"without": "words"}), items),
            Sham("random places", self.model_copy(update={"places": "random"}), items),
        )


def _others(
    words: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    texts: Sequence[str],
    rng: np.random.Generator,
    tokens: Callable[[str], int],
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Stand-ins for the reference, and for those listed words that the texts have, in the same groups."""
    present = {word for text in texts for word in re.findall(r"\w+", text.lower())}
    kept = {name: tuple(word for word in some if word in present) for name, some in groups.items()}
    wanted = tuple(dict.fromkeys([*words, *(word for some in kept.values() for word in some)]))
    other = dict(zip(wanted, references.stand_ins(wanted, texts, rng, tokens), strict=True))
    named = {name: tuple(other[word] for word in some) for name, some in kept.items()}
    return tuple(other[word] for word in words), named
