"""SentenceDebias: the direction in which gender-swapped sentences differ is projected out of the hidden state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._contrast import contrasts, unrelated
from evenhand.mitigate._mitigation import Fitted, Sham
from evenhand.mitigate._projection import Projecting, check_rank, fit_projections, sites_of
from evenhand.mitigate.controls.random_direction import RandomDirection

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model


class SentenceDebias(Projecting):
    """Take the main direction of the differences of paired sentences out of the hidden state."""

    name: ClassVar[str] = "sentence_debias"
    card: ClassVar[Card] = Card(
        title="Takes the direction in which gender-swapped sentences differ out of every token's last hidden state.",
        source="Towards Debiasing Sentence Representations, Liang et al., ACL 2020, "
        "https://aclanthology.org/2020.acl-main.488; for language models as in An Empirical Survey of the "
        "Effectiveness of Debiasing Techniques, Meade et al., ACL 2022, https://aclanthology.org/2022.acl-long.132.",
        formula="r = mean of the text's hidden states, length 1; V = first `dim` principal components of r - (mean of "
        "the pair); h' = h - amount * V V^T h for every token",
        differs="Sentences are cut out of the snippets of GAP and swapped by our own table, two texts each; the "
        "sources take Wikipedia and other corpora. Special tokens count in the mean. amount below 1 and residual "
        "streams of inner layers are ours; with several layers each is fitted with the earlier ones projected.",
        cautions="Fitted on gender as English pairs of words tell it; StereoSet and CrowS-Pairs hold other kinds of "
        "bias too. What a linear direction does not hold stays.",
        needs="a decoder or masked model; text that names women or men, or pairs of texts",
    )

    dim: Annotated[int, Field(ge=1, description="How many directions are taken out.")] = 1

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """The directions of each site: `<site>.left`, float32 [D, dim]."""
        check_rank(self.name, self.dim, model)
        sites = sites_of(self.layers, model)
        pairs = contrasts(items, rng, limit=self.sentences, method=self.name)
        tensors, notes = fit_projections(model, pairs, sites, self._components)
        return Fitted(tensors, (f"Fitted on {len(pairs)} pairs of texts.", *notes))

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Unrelated partners of the same role (swapping roles would change nothing), and random directions."""
        pairs = contrasts(items, rng, limit=self.sentences, method=self.name)
        return (
            Sham("unrelated partners", self, unrelated(pairs, rng)),
            Sham("random direction", RandomDirection.like(tensors, self.amount), ()),
        )

    def _components(self, first: Tensor, second: Tensor) -> tuple[dict[str, Tensor], str]:
        """First principal components of the paired differences, from states [N, D]."""
        import torch

        units = [
            states.double() / states.double().norm(dim=1, keepdim=True).clamp_min(1e-12) for states in (first, second)
        ]
        # around the mean of its pair each text lies at plus or minus half of the difference, so the mean of all is 0
        half = (units[0] - units[1]) / 2
        _, sizes, components = torch.linalg.svd(half, full_matrices=False)
        kept = components[: self.dim].T
        share = float(sizes[: self.dim].square().sum() / sizes.square().sum().clamp_min(1e-300))
        return {"left": kept}, f"They hold {100 * share:.1f} % of the differences within pairs."
