"""Retrieval heads: heads that look at the very word of the context that is copied next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card, SiteScore
from evenhand.locate._locator import Located, LocateOn, Locator

if TYPE_CHECKING:
    import numpy as np

    from evenhand.model import Model

THRESHOLD = 0.1
"""Copy score from which the paper calls a head a retrieval head."""


class RetrievalHeads(Locator):
    """Share of hidden words that a head looks at most just before they are copied."""

    name: ClassVar[str] = "retrieval_heads"
    card: ClassVar[Card] = Card(
        title="Heads that copy words from the context: they look at the word that comes next in the answer.",
        source="Retrieval Head Mechanistically Explains Long-Context Factuality, Wu et al., ICLR 2025, "
        "https://arxiv.org/abs/2404.15574; code: https://github.com/nightdessert/Retrieval_Head.",
        formula="score of a head = mean over tests of #{tokens j of the needle: at some step of the answer the head's "
        "largest weight lies on j and j's token comes next} / #tokens of the needle; retrieval head: score >= 0.1",
        differs="The needle is a row of random words, so that nothing but the context tells the next; the answer is "
        "given to the model, whether it would have found it or not (written=true counts as the paper does: steps whose "
        "token the model itself finds likeliest, in tests in which it finds more than half). A token counts once; the "
        "authors' code counts steps. The paper's contexts have 1,000 to 50,000 tokens. Null and interval are ours.",
        cautions="Says that a head looks there, not that the model needs it. Contexts of a few hundred tokens find the "
        "strongest heads only.",
        needs="a decoder with attention; any text",
    )
    locate_on: ClassVar[LocateOn] = LocateOn("perplexity")
    reads: ClassVar[tuple[str, ...]] = ("text",)
    causal: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    null: ClassVar[str] = (
        "The same tests with the tokens of the answer matched with the places of the needle in a random order: does "
        "the head look at the token that comes next more than at any token of the needle?"
    )
    correction: ClassVar[str] = "step-down of the maxima over all heads, for each random order"

    sample: Annotated[int, Field(ge=2, description="How many tests.")] = 40
    words: Annotated[int, Field(ge=2, description="Random words that are hidden in each.")] = 6
    length: Annotated[int, Field(ge=8, description="Tokens of the text around them, at most.")] = 256
    shuffles: Annotated[int, Field(ge=19, description="Random orders of the null.")] = 199
    written: Annotated[
        bool, Field(description="Count only what the model itself would write, in tests that it passes, as the paper.")
    ] = False

    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Hide words in the items' texts and ask for them; prompts are never put into a chat format."""
        import numpy as np

        from evenhand.locate import _null
        from evenhand.locate._forward import attention_layers, attention_sites
        from evenhand.model import needles

        texts = [text for (text,) in self.texts(items)]
        sites = attention_sites(model)
        asked = needles.needles(model.tokenizer, texts, self.sample, words=self.words, length=self.length, rng=rng)
        counted = [np.ones(len(one.queries), dtype=np.bool_) for one in asked]
        notes = [f"{len(asked):,} tests of {self.words} words in up to {self.length} tokens of text."]
        if self.written:
            counted = needles.written(model, asked)
            passed = [n for n, found in enumerate(counted) if found.mean() > 0.5]
            notes.append(f"The model passes {len(passed):,} of {len(asked):,} tests; the others do not count.")
            asked, counted = [asked[n] for n in passed], [counted[n] for n in passed]
        if not asked:
            empty = (SiteScore(site=str(site), value=None, low=None, high=None, n=0) for site in sites)
            return Located(tuple(empty), (*notes, "No test counts, so there is no score."))
        looked = needles.looked_at(model, asked, attention_layers(model))
        tests = list(zip(looked, asked, counted, strict=True))
        own = np.stack([needles.copied(f, one, range(len(one.words)), kept) for f, one, kept in tests])  # [N, S]
        drawn = np.zeros((self.shuffles, len(sites)))
        for number in range(self.shuffles):
            for found, one, kept in tests:
                order = rng.permutation(len(one.words)).tolist()
                drawn[number] += needles.copied(found, one, order, kept) / len(tests)
        p, corrected = _null.step_down(own.mean(axis=0), drawn)
        ends = _null.intervals(*_null.by_cluster(own, [str(n) for n in range(len(asked))]), rng)
        inside = np.stack([np.isin(f, one.places).mean(axis=1) for f, one in zip(looked, asked, strict=True)]).mean(0)
        scores = tuple(
            SiteScore(
                site=str(site),
                value=float(own[:, n].mean()),
                low=ends[n][0],
                high=ends[n][1],
                p=float(p[n]),
                p_corrected=float(corrected[n]),
                null=float(drawn[:, n].mean()),
                n=len(asked),
                details={"retrieval": float(own[:, n].mean() >= THRESHOLD), "looks_at_needle": float(inside[n])},
            )
            for n, site in enumerate(sites)
        )
        many = sum((one.value or 0.0) >= THRESHOLD for one in scores)
        notes.append(f"{many:,} of {len(scores):,} heads have a score of {THRESHOLD} or more.")
        return Located(scores, tuple(notes))
