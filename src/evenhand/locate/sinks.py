"""Attention sinks: heads that give much of their attention to the first token, whatever it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card, SiteScore
from evenhand.locate._locator import Located, LocateOn, Locator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from evenhand.model import Model

    Floats = NDArray[np.float64]


class Sinks(Locator):
    """Mean attention of a head to the first token, and how often it is a sink."""

    name: ClassVar[str] = "sinks"
    card: ClassVar[Card] = Card(
        title="Heads whose attention gathers on the first token, and on tokens in the middle of a text.",
        source="When Attention Sink Emerges in Language Models: An Empirical View, Gu et al., ICLR 2025, "
        "https://arxiv.org/abs/2410.10781; code: https://github.com/sail-sg/Attention-Sink. Sinks in the middle: "
        "Unveiling and Harnessing Hidden Attention Sinks, Yu et al., ICML 2024, https://arxiv.org/abs/2406.15765.",
        formula="a[k] = mean of A[t, k] over the queries t >= k of a text's first T tokens; value = mean over texts of "
        "a[1]; sink_rate = share of texts with a[1] > eps; inner = mean number of tokens k > 1 with a[k] > alpha / T "
        "and four queries or more",
        differs="The paper averages the share over layers and heads (the notes give it, in per cent); here each head "
        "has its own. Texts shorter than T are left out. Null and interval are ours.",
        cautions="A head that likes the opening token for what it is counts as well: opening=false leaves it out. Even "
        "attention alone gives a first token of 64 some 7 %, more than any other: the null takes that into account.",
        needs="a decoder with attention; any text",
    )
    locate_on: ClassVar[LocateOn] = LocateOn("perplexity")
    reads: ClassVar[tuple[str, ...]] = ("text",)
    causal: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    ideal: ClassVar[float | None] = None
    null: ClassVar[str] = (
        "Other tokens of the same texts, drawn at random: does the first token get more, compared with even attention, "
        "than any token does?"
    )
    correction: ClassVar[str] = "step-down of the maxima over all heads, for each draw of the null"

    eps: Annotated[float, Field(gt=0, lt=1, description="Mean attention above which the first token is a sink.")] = 0.3
    alpha: Annotated[float, Field(gt=0, description="Sinks in the middle get more than alpha / T.")] = 5.0
    length: Annotated[int, Field(ge=8, description="T, tokens of each text that are read.")] = 64
    sample: Annotated[int, Field(ge=2, description="Texts, drawn at random.")] = 100
    opening: Annotated[bool, Field(description="Texts are opened as the tokenizer does.")] = True
    draws: Annotated[int, Field(ge=19, description="Draws of other tokens.")] = 199

    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Read the first tokens of each text; texts are read as they are, never as a chat."""
        import numpy as np

        from evenhand.locate import _null
        from evenhand.locate._forward import attention_sites, drawn, some

        texts = self.texts(items)
        encoded = model.tokenizer([text for (text,) in texts], verbose=False, add_special_tokens=self.opening)
        long = [
            (row[: self.length], item.cluster)
            for row, item in zip(encoded["input_ids"], items, strict=True)
            if len(row) >= self.length
        ]
        some(long, f"has a text of {self.length} tokens or more", self.name, self.locate_on.benchmark)
        chosen = drawn(long, self.sample, rng)
        means = self._read(model, [row for row, _ in chosen])  # [N, T, S]
        even = _even(self.length)
        relative = np.round(means / even[None, :, None], 5)  # equal weights must tie
        rivals = np.stack(
            [
                np.take_along_axis(relative, rng.integers(1, self._last(), (len(chosen), 1, 1)), axis=1)[:, 0].mean(0)
                for _ in range(self.draws)
            ]
        )
        own = means[:, 0]
        p, corrected = _null.step_down(relative[:, 0].mean(axis=0), rivals)
        ends = _null.intervals(*_null.by_cluster(own, [cluster for _, cluster in chosen]), rng)
        inner = (means[:, 1 : self._last()] > self.alpha / self.length).sum(axis=1).mean(axis=0)
        rate = (own > self.eps).mean(axis=0)
        scores = tuple(
            SiteScore(
                site=str(site),
                value=float(own[:, n].mean()),
                low=ends[n][0],
                high=ends[n][1],
                p=float(p[n]),
                p_corrected=float(corrected[n]),
                null=float(rivals[:, n].mean() * even[0]),
                n=len(chosen),
                details={"sink_rate": float(rate[n]), "inner": float(inner[n])},
            )
            for n, site in enumerate(attention_sites(model))
        )
        notes = (
            f"{len(chosen):,} texts of {self.length} tokens; {len(items) - len(long):,} were shorter.",
            f"The first token is a sink (more than {self.eps}) in {100 * rate.mean():.2f} % of heads and texts; even "
            f"attention would give it {even[0]:.3f}.",
        )
        return Located(scores, notes)

    def _last(self) -> int:
        """The first token that fewer than four queries see."""
        return self.length - 3

    def _read(self, model: Model, rows: Sequence[Sequence[int]]) -> Floats:
        """Mean attention to each token over the queries that see it, float [N, T, S]."""
        import numpy as np
        import torch

        from evenhand.locate._forward import attention_layers, in_batches

        layers = attention_layers(model)
        out = np.zeros((len(rows), self.length, len(layers) * model.anatomy.heads))
        for group in in_batches(model, [len(row) for row in rows]):
            found: dict[int, Tensor] = {}

            def read(layer: int, weights: Tensor, found: dict[int, Tensor] = found) -> None:
                queries = torch.arange(weights.shape[-1], 0, -1, device=weights.device)
                found[layer] = (weights.float().sum(2) / queries).transpose(1, 2).double().cpu()  # [B, T, H]

            ids = torch.tensor([rows[n] for n in group], device=model.device)
            with torch.inference_mode(), model.attention(layers, read):
                model.hf(input_ids=ids, use_cache=False, logits_to_keep=1)
            out[group] = torch.cat([found[layer] for layer in layers], dim=2).numpy()
        return out


def _even(length: int) -> Floats:
    """Mean attention to each token if every query looks at all it sees alike, float [T]: mean of 1 / t over t >= k."""
    import numpy as np

    shares = 1.0 / np.arange(1, length + 1)
    found: Floats = np.cumsum(shares[::-1])[::-1] / np.arange(length, 0, -1)
    return found
