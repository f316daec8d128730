"""Projections of the hidden state: how they are fitted layer by layer, kept in a patch, and put into a model.

A projection takes x to x - s * (x - centre) right^T left^T, with left [D, r], right [r, D], centre [D] and strength s.
For an orthogonal one left is an orthonormal basis, right its transpose and centre 0; then only left is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.sites import FINAL, Part, Site
from evenhand.mitigate._contrast import Pair, holds_pairs
from evenhand.mitigate._mitigation import FitOn, Mitigation

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

Rule = Callable[["Tensor", "Tensor"], "tuple[Mapping[str, Tensor], str]"]
"""States of the first and of the second texts, float32 [N, D] each, to left (and right, centre) and a remark."""


class Projecting(Mitigation):
    """A method that is fitted on pairs of texts and takes directions out of the hidden state."""

    fit_on: ClassVar[FitOn | None] = FitOn("perplexity", {"documents": 1000})
    tasks: ClassVar[tuple[str, ...]] = ("decoder", "masked")
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)
    primary: ClassVar[tuple[str, ...]] = ("stereoset.ss", "gas.gld")
    test_on: ClassVar[tuple[str, ...]] = ("crows_pairs", "emission")
    rivals: ClassVar[tuple[str, ...]] = ("word_list_bias",)

    layers: Annotated[
        tuple[int, ...],
        Field(description="Residual streams to change, layers counted from 0; none = the last hidden state."),
    ] = ()
    sentences: Annotated[int, Field(ge=2, description="Pairs of texts to fit on, at most; drawn at random.")] = 300
    amount: Annotated[float, Field(gt=0, le=1, description="How much of it is taken out: 1 = all.")] = 1.0

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """A projection at each site."""
        return projections(tensors, self.amount)

    def can_read(self, items: Sequence[Item]) -> bool:
        """Texts, or pairs of them."""
        return holds_pairs(items)


def sites_of(layers: Sequence[int], model: Model) -> list[Site]:
    """The last hidden state if no layers are named, else the residual stream after each of them.

    Raises:
        UnsupportedSite: there is no such layer.
    """
    if not layers:
        return [FINAL]
    sites = [Site(layer, Part.RESIDUAL) for layer in sorted(set(layers))]
    for site in sites:
        model.anatomy.module(site)
    return sites


def fit_projections(
    model: Model, pairs: Sequence[Pair], sites: Sequence[Site], rule: Rule
) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors of each site by name, and remarks. A later layer is fitted with the earlier ones projected in full."""
    texts = [pair.first for pair in pairs] + [pair.second for pair in pairs]
    tensors: dict[str, Tensor] = {}
    notes: list[str] = []
    with ExitStack() as undo:
        for site in sites:
            states = model.states(texts, [site])[site]
            learned, remark = rule(states[: len(pairs)], states[len(pairs) :])
            made = {f"{site}.{name}": tensor.float().contiguous() for name, tensor in learned.items()}
            share = 100 * _removed(states, learned)
            notes.append(
                f"{site}: what is taken out holds {share:.1f} % of the variance of the states. {remark}".strip()
            )
            tensors |= made
            if site != sites[-1]:
                undo.enter_context(model.install(projections(made, 1.0)))
    return tensors, notes


def projections(tensors: Mapping[str, Tensor], strength: float) -> list[ActivationEdit]:
    """One edit for each site that the tensors name."""
    sites = [Site.parse(name.removesuffix(".left")) for name in tensors if name.endswith(".left")]
    return [ActivationEdit(site, _projected(tensors, site, strength)) for site in sorted(sites)]


def _projected(tensors: Mapping[str, Tensor], site: Site, strength: float) -> Callable[[Tensor], Tensor]:
    left = tensors[f"{site}.left"]
    right = tensors.get(f"{site}.right", left.T)
    centre = tensors.get(f"{site}.centre")

    def project(x: Tensor) -> Tensor:
        """[B, L, D] to [B, L, D]; computed in float32 at least."""
        from torch import float32, promote_types

        wide = x.to(promote_types(x.dtype, float32))
        delta = wide if centre is None else wide - centre.to(wide)
        return (wide - strength * (delta @ right.T.to(wide)) @ left.T.to(wide)).to(x.dtype)

    return project


def _removed(states: Tensor, learned: Mapping[str, Tensor]) -> float:
    """Share of the squared distance from the mean that lies in the directions which are taken out."""
    import torch

    basis = torch.linalg.qr(learned["left"].double()).Q
    centred = states.double() - states.double().mean(0)
    whole = float(centred.square().sum())
    return float((centred @ basis).square().sum()) / whole if whole else 0.0


def check_rank(name: str, rank: int, model: Model) -> None:
    """Make sure that something of the hidden state is left.

    Raises:
        UsageError: nothing would be.
    """
    if rank >= model.anatomy.hidden:
        raise UsageError(
            f"{name} was asked to take {rank} directions out of a hidden state of {model.anatomy.hidden}. Ask for "
            "fewer."
        )
