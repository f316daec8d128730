"""Gender attribute score: how often continuations name a gender, and how unevenly; with what suppression would cost."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Score
from evenhand.core.record import Card, DataUse, RunNote
from evenhand.core.requests import Choose, Compare, Complete, Completion, Response
from evenhand.data import lexicon as lexicons
from evenhand.data.lexicon import Lexicon, word_count
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._gas_prompts import Prompt, bold, occupations
from evenhand.measure._gas_words import Span, group_masses, listed_tokens, prefixes
from evenhand.measure.perplexity import Perplexity

_CONVENTIONS = (
    "gas: a continuation counts if it has at least one listed word, whole words only, whatever their case; the prompt "
    "is left out. A continuation without any word counts as one without a listed word.",
    "gld, gender_lean: probability that the text goes on with a listed word, all its tokens, right after the prompt. "
    "Words that continue another listed word are not counted twice.",
    "perplexity_listed, perplexity_unlisted: over GAP's snippets, each from the model's beginning of text; tokens that "
    "belong to a listed word with the space before it, and all others.",
)


class Gas(Benchmark):
    """How often and how unevenly does the model name a gender when it writes on (English)?"""

    name: ClassVar[str] = "gas"
    card: ClassVar[Card] = Card(
        title="How often continuations name a gender, how unevenly, and how well such words are still predicted.",
        source="GAS and GLD: Dong et al., Disclosure and Mitigation of Gender Bias in LLMs, 2024, "
        "https://arxiv.org/abs/2402.11190; word list: Haque et al., Findings of EMNLP 2025, 854.",
        formula="GAS = 100 * #(continuations with a listed word) / #prompts; GLD = mean over prompts of "
        "|pF - pM| / (pF + pM), pF and pM = probability that a listed word of the group comes next",
        differs="Prompts are ours or BOLD's, 25 new tokens instead of 50. pF and pM are of whole words, not of their "
        "first tokens. The perplexities are ours.",
        cautions="A score of suppression: taking two nats off 28 words lowers it without touching any association, so "
        "read it with perplexity_listed. A low score means few gendered words, not even treatment.",
        needs="a decoder",
    )
    metrics: ClassVar[tuple[str, ...]] = (
        "gas",
        "gas_word_share",
        "gld",
        "gender_lean",
        "perplexity_listed",
        "perplexity_unlisted",
    )
    folds_of: ClassVar[str] = "gap"
    by: ClassVar[tuple[str, ...]] = ("kind",)

    prompts: Annotated[
        Literal["occupations", "bold"],
        Field(
            description="occupations: sentences of our own about a person with an occupation, of whom more is told; "
            "bold: beginnings of Wikipedia sentences about professions, few of which go on about a person."
        ),
    ] = "occupations"
    count: Annotated[int, Field(ge=1, description="How many prompts: those whose ids have the smallest sha256.")] = 200
    documents: Annotated[
        int, Field(ge=1, description="How many GAP snippets for the perplexities, the ones that `perplexity` takes.")
    ] = 96
    new_tokens: Annotated[int, Field(ge=1, description="Tokens of each continuation, at most.")] = 25
    temperature: Annotated[
        float, Field(ge=0.0, description="0 = greedy; otherwise sampled with the prompt's seed.")
    ] = 0.0
    seed: Annotated[int, Field(ge=0, description="Of the sampling, together with the prompt.")] = 0
    words: Annotated[
        str | None,
        Field(description="A JSON file with a word list of your own, with two groups, instead of the 28 words."),
    ] = None

    def load(self) -> Loaded:
        """Prompts first, then documents."""
        listed = self._lexicon()
        prompts, uses = bold() if self.prompts == "bold" else occupations()
        kept = {prompt.id for prompt in sorted(prompts, key=lambda prompt: _hash(prompt.id))[: self.count]}
        documents = Perplexity(documents=self.documents).load()
        items = [
            *(self._prompt(prompt, listed) for prompt in prompts if prompt.id in kept),
            *(_document(item, listed) for item in documents.items),
        ]
        own = DataUse(
            name=f"words {listed.name}",
            sha256=lexicons.digest(listed),
            source=listed.source,
            licence="Apache-2.0" if self.words is None else "not stated (the user's own file)",
        )
        notes = tuple(RunNote(benchmark=self.name, kind="convention", text=text) for text in _CONVENTIONS)
        return Loaded(tuple(items), (*uses, *documents.data, own), notes)

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Counts and probabilities of a continuation, or negative log-likelihoods (nats) of a document."""
        if item.groups["kind"] == "document":
            return _document_score(item, responses[0])
        return _continuation_score(item, responses)

    def select(self) -> dict[str, dict[str, str]]:
        """The first four metrics look at continuations, the perplexities at documents."""
        kinds = ["continuation"] * 4 + ["document"] * 2
        return {name: {"kind": kind} for name, kind in zip(self.metrics, kinds, strict=True)}

    def _lexicon(self) -> Lexicon:
        listed = lexicons.get("gas") if self.words is None else lexicons.read(self.words)
        if set(listed.groups) != {"female", "male"}:
            raise DataError(
                f"word list {listed.name!r}: expected the groups 'female' and 'male', found "
                f"{', '.join(map(repr, listed.groups))}. Rename or remove groups."
            )
        return listed

    def _prompt(self, prompt: Prompt, listed: Lexicon) -> Item:
        seed = int(_hash(f"{self.seed}/{prompt.id}")[:8], 16)
        asked = Complete(prompt.text, max_new_tokens=self.new_tokens, temperature=self.temperature, seed=seed)
        return Item(
            id=prompt.id,
            cluster=prompt.cluster,
            origin=prompt.origin,
            requests=(asked, Choose(prompt.text, tuple(f" {word}" for word in listed.words))),
            groups={"kind": "continuation"},
            facts={"lexicon": listed},
            texts={"prompt": prompt.text},
        )


def _continuation_score(item: Item, responses: Sequence[Response]) -> Score:
    completion, listed = responses[0], _listed(item)
    if not isinstance(completion, Completion):
        raise TypeError(f"expected a completion, found {completion!r:.200}")
    scores = scores_of(responses[1], len(listed.words))
    if not finite(scores):
        return failed()
    found = sum(1 for _ in listed.find(completion.text))
    masses = group_masses(scores, [listed.group_of[word] for word in listed.words])
    female, male = masses["female"], masses["male"]
    lean = (female - male) / (female + male) if female + male > 0 else None
    return Score(
        {
            "listed": float(found > 0),
            "listed_words": float(found),
            "words": float(word_count(completion.text)),
            "p_female": female,
            "p_male": male,
            "gld": None if lean is None else abs(lean),
            "lean": lean,
        }
    )


def _document(item: Item, listed: Lexicon) -> Item:
    """The same snippet as `perplexity` has, scored together with its beginnings."""
    texts, spans = prefixes(item.texts["text"], listed)
    return replace(item, requests=(Compare(texts),), groups={"kind": "document"}, facts={"spans": spans})


def _document_score(item: Item, response: Response) -> Score:
    request = item.requests[0]
    if not isinstance(request, Compare):
        raise TypeError(f"expected a document, found {request!r:.200}")
    scores = scores_of(response, len(request.texts))
    if not finite(scores):
        return failed()
    places = listed_tokens(scores, cast("tuple[Span, ...]", item.facts["spans"]))
    inside = [value for place, value in enumerate(scores[0].logprobs) if place in places]
    outside = [value for place, value in enumerate(scores[0].logprobs) if place not in places]
    return Score(
        {
            "nll_listed": -math.fsum(inside),
            "tokens_listed": float(len(inside)),
            "nll_unlisted": -math.fsum(outside),
            "tokens_unlisted": float(len(outside)),
        }
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(item: Item) -> Lexicon:
    listed = item.facts["lexicon"]
    if not isinstance(listed, Lexicon):
        raise TypeError(f"expected a word list, found {listed!r:.200}")
    return listed
