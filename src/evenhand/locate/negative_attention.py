"""Negative attention: heads that look at one of the two answer words in the instruction rather than at the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card, SiteScore
from evenhand.core.requests import Choose
from evenhand.locate._locator import Located, LocateOn, Locator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.model import Model
    from evenhand.model.answer_words import Prompt

    Floats = NDArray[np.float64]


class NegativeAttention(Locator):
    """Negative attention score of every head (H heads in each layer), over yes/no questions in both orders.

    Positive values look at the negative word. The value of a head is the mean over questions, each of which is the
    mean over both orders of the words and over the queries that follow the instruction.
    """

    name: ClassVar[str] = "negative_attention"
    card: ClassVar[Card] = Card(
        title="Heads that attend to 'No' rather than to 'Yes' in the instruction, whatever is asked.",
        source="Correcting Negative Bias in Large Language Models through Negative Attention Score Alignment, Yu et "
        "al., NAACL 2025 (https://arxiv.org/abs/2408.00137)",
        formula="NAS(x) = sum over queries i after the instruction of (A[i, Yes] + A[i, No]) ln(A[i, No] / A[i, Yes]); "
        "value = mean over questions of (NAS in 'Yes or No' + NAS in 'No or Yes') / 2, each divided by its queries",
        differs="The paper reads one order and sums over the queries (paper_literal=true): there the place of a word "
        "counts as much as the word, and long questions count more. Its bounds of the sum are not public; ours run "
        "from the token after the instruction to the last one. All occurrences of a word in the instruction and all "
        "its tokens count. Natural logarithm; weights below 1e-12 count as 1e-12. Null and interval are ours.",
        cautions="Attention is not effect: the score need not say which heads push the answer to No; head_patching "
        "measures that. p values come from a few questions read again with stand-in words and are never below 1 / "
        "(1 + pairs).",
        needs="a decoder with attention, a fast tokenizer",
    )
    locate_on: ClassVar[LocateOn] = LocateOn("yes_no")
    causal: ClassVar[bool] = False
    unit: ClassVar[str] = "nats of attention"
    null: ClassVar[str] = (
        "The same questions with two other tokens of like kind and rank in the place of the two words (against=words): "
        "does the head tell these two apart more than any other two? Or each question's sign turned at random, as if "
        "the roles of the words were exchanged (against=roles), which finds most heads of a random model."
    )
    correction: ClassVar[str] = "step-down of the maxima over all heads, for each draw of the null"

    yes: Annotated[str, Field(description="The word for yes, as the instruction has it.")] = "Yes"
    no: Annotated[str, Field(description="The word for no.")] = "No"
    candidate: Annotated[
        Literal["no", "yes"], Field(description="Whose heads have positive values: those of No, or those of Yes.")
    ] = "no"
    paper_literal: Annotated[
        bool, Field(description="One order (Yes first) and the plain sum over queries, as in the paper.")
    ] = False
    against: Annotated[
        Literal["words", "roles"], Field(description="The null: other words, or exchanged roles within questions.")
    ] = "words"
    sample: Annotated[int, Field(ge=2, description="At most so many questions, drawn at random.")] = 100
    pairs: Annotated[int, Field(ge=1, description="How many pairs of stand-in words the null has.")] = 39
    null_sample: Annotated[int, Field(ge=1, description="Questions that are read again for each pair.")] = 6

    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Read every question in both orders, then some of them with stand-in words."""
        import numpy as np

        from evenhand.locate import _null
        from evenhand.locate._forward import attention_sites, drawn, some

        asked, clusters, dropped = self._asked(model, items, rng, chat=chat)
        some(asked, f"asks with {self.yes!r} and {self.no!r} in its instruction", self.name, self.locate_on.benchmark)
        sign = 1.0 if self.candidate == "no" else -1.0
        sums, means = (sign * part for part in self._read(model, asked))  # [orders, N, S] each
        each = self._each(sums, means)
        totals, counts = _null.by_cluster(each, clusters)
        notes = [f"{len(asked):,} questions in {len(counts):,} clusters; {dropped:,} could not be used."]
        match self.against:
            case "roles":
                tested = _null.sign_flips(totals, draws=1999, rng=rng)
            case "words":
                few = drawn(range(len(asked)), self.null_sample, rng)
                rivals = self._rivals(model, [asked[n] for n in few], rng, sign)
                tested = _null.among_rivals(each[few].mean(axis=0), rivals, "both")
                notes.append(f"p values: {len(few):,} of the questions with {self.pairs:,} pairs of other words.")
        ends = _null.intervals(totals, counts, rng)
        halves = _halves(each, rng)
        notes += self._reliability(means, halves)
        scores = [
            SiteScore(
                site=str(site),
                value=float(each[:, n].mean()),
                low=ends[n][0],
                high=ends[n][1],
                p=float(tested.p[n]),
                p_corrected=float(tested.corrected[n]),
                null=float(tested.null[n]),
                n=len(each),
                details={
                    "yes_first": float(means[0, :, n].mean()),
                    "no_first": float(means[1, :, n].mean()),
                    "sum_yes_first": float(sums[0, :, n].mean()),
                    "sum_no_first": float(sums[1, :, n].mean()),
                    "share_positive_yes_first": float(np.mean(means[0, :, n] > 0)),
                    "share_positive_no_first": float(np.mean(means[1, :, n] > 0)),
                    "half_1": float(halves[0][n]),
                    "half_2": float(halves[1][n]),
                },
            )
            for n, site in enumerate(attention_sites(model))
        ]
        return Located(tuple(scores), tuple(notes))

    def _asked(
        self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool
    ) -> tuple[list[tuple[Prompt, Prompt]], list[str], int]:
        """Each question once, in both orders, with its cluster; and how many had to be left out."""
        from evenhand.locate._forward import drawn
        from evenhand.model.answer_words import both_orders, encode

        found: dict[tuple[str, str], str] = {}
        dropped = 0
        for item in items:
            prompt = next((request.prompt for request in item.requests if isinstance(request, Choose)), "")
            orders = both_orders(prompt, self.yes, self.no)
            dropped += orders is None
            if orders is not None:
                found.setdefault(orders, item.cluster)
        asked: list[tuple[Prompt, Prompt]] = []
        clusters: list[str] = []
        for orders in drawn(list(found), self.sample, rng):
            first, second = (encode(model, text, self.yes, self.no, chat=chat) for text in orders)
            if first is None or second is None:
                dropped += 1
                continue
            asked.append((first, second))
            clusters.append(found[orders])
        return asked, clusters, dropped

    def _read(self, model: Model, asked: Sequence[tuple[Prompt, Prompt]]) -> tuple[Floats, Floats]:
        """Scores of both orders summed over queries, and divided by them: float [2, N, S] each."""
        import numpy as np

        from evenhand.locate._forward import attention_sites, in_batches, read_attention
        from evenhand.model.answer_words import scores

        prompts = [pair[order] for order in (0, 1) for pair in asked]
        sums = np.zeros((len(prompts), len(attention_sites(model))))
        for group in in_batches(model, [len(prompt.ids) for prompt in prompts]):
            chosen = [prompts[n] for n in group]
            queries = [range(prompt.start, len(prompt.ids)) for prompt in chosen]
            read = read_attention(
                model,
                [p.ids for p in chosen],
                queries,
                lambda w, chosen=chosen: scores(w, chosen)[0],  # type: ignore[misc]
            )
            sums[group] = read.transpose(1, 0, 2).reshape(len(group), -1)
        rows = np.array([len(prompt.ids) - prompt.start for prompt in prompts], dtype=np.float64)
        shape = (2, len(asked), sums.shape[1])
        return sums.reshape(shape), (sums / rows[:, None]).reshape(shape)

    def _each(self, sums: Floats, means: Floats) -> Floats:
        """The value of each question, float [N, S]."""
        each: Floats = sums[0] if self.paper_literal else means.mean(axis=0)
        return each

    def _rivals(
        self, model: Model, asked: Sequence[tuple[Prompt, Prompt]], rng: np.random.Generator, sign: float
    ) -> Floats:
        """Mean values with stand-in words, float [pairs, S]."""
        import numpy as np

        from evenhand.locate._stand_ins import stand_ins

        words = {token for pair in asked for prompt in pair for token in prompt.words}
        others = {token for pair in asked for prompt in pair for token in prompt.ids}
        chosen = stand_ins(model.tokenizer, words, self.pairs, others, rng)
        prompts = [(a.with_words(words), b.with_words(words)) for words in chosen for a, b in asked]
        each = sign * self._each(*self._read(model, prompts))
        return np.stack([part.mean(axis=0) for part in np.split(each, self.pairs)])

    def _reliability(self, means: Floats, halves: tuple[Floats, Floats]) -> list[str]:
        """How well two halves of the questions, and the two orders, agree about the heads."""
        from evenhand.locate._null import correlation

        between = correlation(means[0].mean(axis=0), means[1].mean(axis=0))
        within = correlation(*halves)
        said = [f"{value:.3f}" if value is not None else "not known" for value in (within, between)]
        return [
            f"Over heads, two halves of the questions correlate by {said[0]}, the two orders by {said[1]}: a "
            "correlation of the orders near 0 says that one order alone measures the place of a word."
        ]


def _halves(each: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Means over two random halves of the questions, float [S] each."""
    order = rng.permutation(len(each))
    middle = len(each) // 2
    first, second = each[order[:middle]], each[order[middle:]]
    return (first if len(first) else second).mean(axis=0), second.mean(axis=0)
