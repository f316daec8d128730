"""LEACE: the smallest change of the hidden state after which no linear classifier beats chance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._contrast import contrasts, shuffled
from evenhand.mitigate._mitigation import Fitted, Sham
from evenhand.mitigate._projection import Projecting, fit_projections, sites_of
from evenhand.mitigate.controls.random_direction import RandomDirection

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model


class Leace(Projecting):
    """Least-squares concept erasure of gender, fitted on gender-swapped sentences."""

    name: ClassVar[str] = "leace"
    card: ClassVar[Card] = Card(
        title="Changes the hidden state as little as possible so that no linear classifier tells women's from men's "
        "sentences better than chance.",
        source="LEACE: Perfect linear concept erasure in closed form, Belrose et al., NeurIPS 2023, "
        "https://arxiv.org/abs/2306.03819, with the authors' package concept-erasure.",
        formula="W = (covariance of r)^(-1/2), u = W cov(r, z) / |...|; h' = h - amount * W^+ u u^T W (h - mean r) "
        "for every token, r = mean of a text's hidden states, z = 1 for the first text of a pair and 0 for the second",
        differs="Fitted on the means of whole texts and applied to every token; the paper erases what it was fitted "
        "on. The covariance is shrunk as the package does by default. amount below 1 is ours; with several layers "
        "each is fitted with the earlier ones erased, as in the paper's concept scrubbing.",
        cautions="The guarantee holds for the means of the texts it was fitted on, at amount 1, and for linear "
        "classifiers. Fitted on gender as English pairs of words tell it.",
        needs="a decoder or masked model; text that names women or men, or pairs of texts",
    )

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """The eraser of each site: `<site>.left` [D, 1], `.right` [1, D], `.centre` [D], float32."""
        sites = sites_of(self.layers, model)
        pairs = contrasts(items, rng, limit=self.sentences, method=self.name)
        tensors, notes = fit_projections(model, pairs, sites, _eraser)
        return Fitted(tensors, (f"Fitted on {len(pairs)} pairs of texts.", *notes))

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The texts change places in half of the pairs, which leaves a direction of chance; and a random one."""
        pairs = contrasts(items, rng, limit=self.sentences, method=self.name)
        return (
            Sham("shuffled labels", self, shuffled(pairs, rng)),
            Sham("random direction", RandomDirection.like(tensors, self.amount), ()),
        )


def _eraser(first: Tensor, second: Tensor) -> tuple[dict[str, Tensor], str]:
    """The package's eraser of the labels, from states [N, D]."""
    import torch

    x = torch.cat([first, second]).double()
    labels = torch.cat([torch.ones(len(first)), torch.zeros(len(second))]).double()
    eraser = package().LeaceFitter.fit(x, labels[:, None]).eraser
    gap = first.double().mean(0) - second.double().mean(0)
    spread = (x - x.mean(0)).square().sum(1).mean().sqrt()
    remark = f"The means of the two groups were {float(gap.norm() / spread.clamp_min(1e-300)):.2f} spreads apart."
    return {"left": eraser.proj_left, "right": eraser.proj_right, "centre": eraser.bias}, remark


def package() -> Any:
    """The module `concept_erasure`, imported without the warning that torch gives for its use of `torch.jit`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import concept_erasure
    return concept_erasure
