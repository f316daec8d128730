"""Attention gap: heads that attend differently in a stereotype and in its anti-stereotype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card, SiteScore
from evenhand.locate._locator import Located, LocateOn, Locator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.locate._twins import Twins
    from evenhand.model import Model

    Floats = NDArray[np.float64]

_ROW = {"kl": 0, "kl_reverse": 1, "js": 2}


class AttentionGap(Locator):
    """Divergence between the attention of a head in two texts that differ in a word or two.

    The value of a head is its mean gap over pairs less the mean gap with other words in the place of those that differ:
    how much more it tells a stereotype from its opposite than it tells any two words.
    """

    name: ClassVar[str] = "attention_gap"
    card: ClassVar[Card] = Card(
        title="Heads that attend differently in a stereotype and in its anti-stereotype.",
        source="KLAAD: Refining Attention Mechanisms to Reduce Societal Bias in Generative Language Models, Kim, Lee, "
        "Lee, EMNLP 2025 (https://arxiv.org/abs/2507.19962)",
        formula="gap = mean over corresponding queries i > 0 of KL(A_anti[i] || A_stereotype[i]) over corresponding "
        "tokens up to i, each row brought to sum 1; value = mean over pairs of gap - mean of the gaps with stand-ins",
        differs="The paper looks at the last layer as a whole; this reads every head of every layer. It says nothing "
        "of texts of unequal length; here tokens correspond as equal blocks of token ids do, and replaced blocks of "
        "equal length token by token, and what has no partner is dropped. The paper's second softmax over the weights "
        "flattens them (paper_softmax=true). Null and interval are ours.",
        cautions="Equal attention is not equal likelihood: a smaller gap need not change the stereotype score. "
        "Words that fit a sentence differ less from each other than words "
        "drawn from the vocabulary do, so in a trained model many heads lie below their null; what is found lies "
        "above. p values are never below 1 / (1 + pairs).",
        needs="a decoder with attention",
    )
    locate_on: ClassVar[LocateOn] = LocateOn("stereoset", {"task": "intrasentence"})
    reads: ClassVar[tuple[str, ...]] = ("stereotype", "anti-stereotype")
    causal: ClassVar[bool] = False
    unit: ClassVar[str] = "nats"
    null: ClassVar[str] = (
        "The same texts with other tokens of like kind and rank in the place of those that differ, the same stand-in "
        "for a word throughout: does the head tell these twins apart more than it tells any two words in their place?"
    )
    correction: ClassVar[str] = "step-down of the maxima over all heads, for each draw of the null"

    divergence: Annotated[
        Literal["kl", "kl_reverse", "js"],
        Field(description="kl: KL(anti || stereotype), as KLAAD; kl_reverse: the other way; js: Jensen-Shannon."),
    ] = "kl"
    paper_softmax: Annotated[
        bool, Field(description="A softmax over the weights before the divergence, as the paper's text has it.")
    ] = False
    sample: Annotated[int, Field(ge=2, description="At most so many pairs, drawn at random.")] = 60
    pairs: Annotated[int, Field(ge=1, description="How many sets of stand-in words the null has.")] = 39

    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Read every pair, then again with stand-in words; texts are read as they are, never as a chat."""
        import numpy as np

        from evenhand.locate import _null
        from evenhand.locate._forward import attention_sites, drawn, some
        from evenhand.locate._stand_ins import stand_ins
        from evenhand.locate._twins import twins

        self.texts(items)
        chosen = drawn(items, self.sample, rng)
        made = [(twins(model, item), item.cluster) for item in chosen]
        found = [(pair, cluster) for pair, cluster in made if pair is not None]
        some(found, "holds two texts with corresponding and with different tokens", self.name, self.locate_on.benchmark)
        read, clusters = [pair for pair, _ in found], [cluster for _, cluster in found]
        words = {token for pair in read for token in pair.words}
        others = {token for pair in read for ids in pair.ids for token in ids}
        sets = stand_ins(model.tokenizer, words, self.pairs, others, rng)
        every = self._read(model, read)  # [3, N, S]
        own = every[_ROW[self.divergence]]
        rivals = np.stack(
            [self._read(model, [p.with_words(w) for p in read])[_ROW[self.divergence]] for w in sets]
        )  # [W, N, S]
        tested = _null.among_rivals(own.mean(axis=0), rivals.mean(axis=1), "above")
        excess = own - rivals.mean(axis=0)
        totals, counts = _null.by_cluster(excess, clusters)
        ends = _null.intervals(totals, counts, rng)
        scores = [
            SiteScore(
                site=str(site),
                value=float(excess[:, n].mean()),
                low=ends[n][0],
                high=ends[n][1],
                p=float(tested.p[n]),
                p_corrected=float(tested.corrected[n]),
                null=0.0,
                n=len(own),
                details={
                    **{name: float(every[row, :, n].mean()) for name, row in _ROW.items()},
                    "gap_of_stand_ins": float(tested.null[n]),
                },
            )
            for n, site in enumerate(attention_sites(model))
        ]
        above = int(np.sum(excess.mean(axis=0) > 0))
        notes = (
            f"{len(read):,} pairs in {len(counts):,} clusters; {len(chosen) - len(read):,} could not be used.",
            f"{self.pairs:,} sets of stand-ins for {len(words):,} tokens. {above:,} of {len(scores):,} heads lie above "
            "their null.",
        )
        return Located(tuple(scores), notes)

    def _read(self, model: Model, pairs: Sequence[Twins]) -> Floats:
        """Divergences of each pair at each head, float [3, N, S]."""
        import numpy as np

        from evenhand.locate._forward import attention_sites, in_batches, read_attention
        from evenhand.locate._twins import gaps

        out = np.zeros((3, len(pairs), len(attention_sites(model))))
        for group in in_batches(model, [2 * max(map(len, pair.ids)) for pair in pairs]):
            chosen = [pairs[n] for n in group]
            rows = [ids for pair in chosen for ids in pair.ids]
            queries = [places for pair in chosen for places in pair.kept]
            read = read_attention(
                model,
                rows,
                queries,
                lambda w, chosen=chosen: gaps(w, chosen, paper_softmax=self.paper_softmax),  # type: ignore[misc]
            )
            layers, _, heads = read.shape
            out[:, group] = read.reshape(layers, 3, len(group), heads).transpose(1, 2, 0, 3).reshape(3, len(group), -1)
        return out
