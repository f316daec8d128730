"""Control: random directions are projected out, or a random vector is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, assert_never

from pydantic import Field

from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.sites import FINAL, Part, Site
from evenhand.mitigate._mitigation import Fitted, Mitigation, Sham
from evenhand.mitigate._projection import check_rank, projections

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class RandomDirection(Mitigation):
    """What any change of the same kind and size does: the directions mean nothing."""

    name: ClassVar[str] = "random_direction"
    card: ClassVar[Card] = Card(
        title="Takes random directions out of the hidden state, or adds a random vector: what a change of that size "
        "does by itself.",
        source="A control of ours, for methods that project the hidden state or shift it.",
        formula="project: h' = h - amount * V V^T h, V [D, rank] an orthonormal basis of a subspace drawn evenly; "
        "add: h' = h + amount * norm * v, v drawn evenly from the vectors of length 1",
        cautions="Equal in rank, not in the variance that it takes out: a direction that a method found usually holds "
        "more of it than a random one. The notes of the patches say how much.",
        needs="a decoder or masked model",
    )
    tasks: ClassVar[tuple[str, ...]] = ("decoder", "masked")
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)

    sites: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="Where: L0.final is the last hidden state, L5.residual a residual stream."),
    ] = (str(FINAL),)
    rank: Annotated[int, Field(ge=1, description="How many directions are taken out (mode=project).")] = 1
    mode: Annotated[
        Literal["project", "add"], Field(description="project: take directions out; add: add a vector to every token.")
    ] = "project"
    norm: Annotated[float, Field(gt=0, description="Length of the added vector (mode=add), in the model's units.")] = (
        1.0
    )
    amount: Annotated[float, Field(gt=0, le=1, description="How much of it is done: 1 = all.")] = 1.0

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], amount: float) -> Self:
        """As many directions at the same sites as the projections of a fitted method."""
        ranks = {name.removesuffix(".left"): t.shape[1] for name, t in tensors.items() if name.endswith(".left")}
        return cls(sites=tuple(ranks), rank=max(1, *ranks.values()), amount=amount)

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """`<site>.left`, float32 [D, rank], or `<site>.vector`, float32 [D]."""
        import numpy as np
        import torch

        check_rank(self.name, self.rank, model)
        tensors: dict[str, Tensor] = {}
        for site in self._places(model):
            drawn = rng.standard_normal((model.anatomy.hidden, self.rank if self.mode == "project" else 1))
            basis = torch.from_numpy(np.linalg.qr(drawn).Q).float().contiguous()
            if self.mode == "project":
                tensors[f"{site}.left"] = basis
            else:
                tensors[f"{site}.vector"] = (self.norm * basis[:, 0]).contiguous()
        return Fitted(tensors)

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """A projection, or an addition, at each site."""
        match self.mode:
            case "project":
                return projections(tensors, self.amount)
            case "add":
                return [
                    ActivationEdit(Site.parse(name.removesuffix(".vector")), _added(vector, self.amount))
                    for name, vector in tensors.items()
                ]
            case _:
                assert_never(self.mode)

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Other directions, drawn with another seed: one draw may do good by chance."""
        return (Sham("another draw", self, ()),)

    def _places(self, model: Model) -> list[Site]:
        """The sites, each once; only those as wide as the hidden state."""
        sites = sorted({Site.parse(text) for text in self.sites})
        for site in sites:
            if site.part in (Part.HEADS, Part.NEURONS) or site.unit is not None:
                raise UsageError(
                    f"{self.name} acts on whole hidden states (residual, attention, mlp, final), not {site}."
                )
            model.anatomy.module(site)
        return sites


def _added(vector: Tensor, amount: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x + amount * vector.to(x)
