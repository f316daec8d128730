"""INLP: directions by which a linear classifier tells two groups apart are projected out, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._contrast import Pair, contrasts, shuffled
from evenhand.mitigate._mitigation import Fitted, Sham
from evenhand.mitigate._projection import Projecting, check_rank, fit_projections, sites_of
from evenhand.mitigate.controls.random_direction import RandomDirection

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model

_HELD_OUT = 0.3
"""Share of the clusters whose texts are kept back to see how well the groups can still be told apart."""


class Inlp(Projecting):
    """Project the hidden state onto the null space of classifiers that tell the groups apart, again and again."""

    name: ClassVar[str] = "inlp"
    card: ClassVar[Card] = Card(
        title="Takes every direction by which linear classifiers tell women's from men's sentences out of the hidden "
        "state, one after the other.",
        source="Null It Out: Guarding Protected Attributes by Iterative Nullspace Projection, Ravfogel et al., ACL "
        "2020, https://aclanthology.org/2020.acl-main.647; for language models as in Meade et al., ACL 2022, "
        "https://aclanthology.org/2022.acl-long.132.",
        formula="repeat `dim` times: w = linear SVM (squared hinge, C = 1, no intercept) on P r; P = projection onto "
        "the null space of all w so far; then h' = h - amount * (I - P) h for every token",
        differs="Two groups instead of women, men and neutral, on gender-swapped sentences out of the snippets of GAP "
        "instead of 10,000 sentences of Wikipedia for each class, uncut. 70 % of the clusters are fitted on and the "
        "rest only tells the accuracy. amount below 1 and inner layers are ours; with several layers each is fitted "
        "with the earlier ones projected.",
        cautions="Fitted on gender as English pairs of words tell it. Many rounds take out more than the group: read "
        "perplexity beside it. What a linear classifier does not find stays.",
        needs="a decoder or masked model; text that names women or men, or pairs of texts",
    )

    dim: Annotated[int, Field(ge=1, description="Rounds: how many directions are taken out.")] = 10

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """An orthonormal basis of what each site loses: `<site>.left`, float32 [D, rounds]."""
        check_rank(self.name, self.dim, model)
        sites = sites_of(self.layers, model)
        pairs = contrasts(items, rng, limit=self.sentences, method=self.name)
        held_out = _held_out(pairs, rng)
        tensors, notes = fit_projections(
            model, pairs, sites, lambda first, second: self._null_space(first, second, held_out)
        )
        return Fitted(tensors, (f"Fitted on {len(pairs)} pairs of texts, {sum(held_out)} of them kept back.", *notes))

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The two texts change places in a random half of the pairs; and as many random directions."""
        pairs = contrasts(items, rng, limit=self.sentences, method=self.name)
        return (
            Sham("shuffled labels", self, shuffled(pairs, rng)),
            Sham("random direction", RandomDirection.like(tensors, self.amount), ()),
        )

    def _null_space(self, first: Tensor, second: Tensor, held_out: Sequence[bool]) -> tuple[dict[str, Tensor], str]:
        """The basis [D, rounds] of all classifiers' directions, from states [N, D]."""
        import numpy as np
        import torch
        from sklearn.svm import LinearSVC

        x = torch.cat([first, second]).double().numpy()
        labels = np.repeat([1, 0], len(first))
        kept_back = np.tile(np.asarray(held_out, dtype=np.bool_), 2)
        basis = np.zeros((x.shape[1], 0))
        accuracies = []
        for _ in range(self.dim + 1):  # the last one only tells how well the groups can still be told apart
            left = x - (x @ basis) @ basis.T
            classifier = LinearSVC(dual=False, fit_intercept=False, max_iter=2000)
            classifier.fit(left[~kept_back], labels[~kept_back])
            seen = kept_back if kept_back.any() else ~kept_back
            accuracies.append(float(classifier.score(left[seen], labels[seen])))
            if len(accuracies) > self.dim:
                break
            basis = _extended(basis, classifier.coef_[0])
        where = "held-out" if kept_back.any() else "the same"
        remark = (
            f"A linear classifier is right on {100 * accuracies[0]:.0f} % of {where} texts before and on "
            f"{100 * accuracies[-1]:.0f} % after (chance 50 %)."
        )
        return {"left": torch.from_numpy(basis)}, remark


def _extended(basis: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The orthonormal basis [D, k] with one more direction, if that is not in it already."""
    import numpy as np

    rest = direction - basis @ (basis.T @ direction)
    rest = rest - basis @ (basis.T @ rest)  # again: rounding of the first time
    size = float(np.linalg.norm(rest))
    if size <= 1e-9 * float(np.linalg.norm(direction)) or size == 0.0:
        return basis
    return np.column_stack([basis, rest / size])


def _held_out(pairs: Sequence[Pair], rng: np.random.Generator) -> list[bool]:
    """Which pairs are kept back: those of a share of the clusters; none if there are fewer than four clusters."""
    clusters = sorted({pair.cluster for pair in pairs})
    if len(clusters) < 4:
        return [False] * len(pairs)
    kept = {clusters[number] for number in rng.permutation(len(clusters))[: round(_HELD_OUT * len(clusters))]}
    return [pair.cluster in kept for pair in pairs]
