"""The query and key rows of heads: found, trained, put back bit by bit, and told as weight edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evenhand.core.edits import Slice, WeightEdit
from evenhand.core.sites import Part, Site

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.model import Model


@dataclass(frozen=True, slots=True)
class Place:
    """Entries of a parameter that belong to a head.

    Attributes:
        name: head and part, e.g. "L5.heads.3.q"; keys that several heads share have the name of the first of them.
        param, axis, index: as in `Slice`.
        shared: numbers of the heads that use them.
    """

    name: str
    param: str
    axis: int
    index: tuple[int, ...]
    shared: tuple[int, ...]


def places(model: Model, site: Site, *, keys: bool) -> list[Place]:
    """The query rows of a head and, if wanted, its key rows, with their biases.

    Raises:
        UnsupportedSite: which rows are the head's could not be found out.
    """
    found = []
    wanted: tuple[Literal["q", "k"], ...] = ("q", "k") if keys else ("q",)
    for which in wanted:
        rows = model.anatomy.head_slices(site.layer, site.unit or 0, which)
        name = f"{Site(site.layer, Part.HEADS, rows.shared[0])}.{which}"
        found.append(Place(name, rows.param, rows.axis, rows.index, rows.shared))
        if rows.bias:
            found.append(Place(f"{name}.bias", rows.bias, 0, rows.index, rows.shared))
    return found


class Rows:
    """The rows of one head while it is tuned: float32 copies that are trained and written back into the model."""

    def __init__(self, model: Model, chosen: Sequence[Place]) -> None:
        import torch

        self.places = tuple(chosen)
        self.parameters = [model.hf.get_parameter(place.param) for place in chosen]
        self.index = [
            torch.tensor(place.index, device=p.device) for place, p in zip(chosen, self.parameters, strict=True)
        ]
        self.leaves = [value.float().requires_grad_() for value in self.values()]

    def values(self) -> list[Tensor]:
        """Copies of the rows as they are in the model, in its dtype."""
        found = zip(self.places, self.parameters, self.index, strict=True)
        return [p.detach().index_select(place.axis, index) for place, p, index in found]

    def write(self, values: Sequence[Tensor]) -> None:
        """Put rows into the model: those of `values`, to the bit if they have its dtype."""
        import torch

        with torch.no_grad():
            for place, parameter, index, value in zip(self.places, self.parameters, self.index, values, strict=True):
                parameter.index_copy_(place.axis, index, value.detach().to(parameter.dtype))

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """Gradient of a loss in each of the rows, float32. Whole parameters are derived; only the rows are kept.

        The parameters must want gradients while the loss is computed: see `wanted`.
        """
        import torch

        own = list({id(p): p for p in self.parameters}.values())
        whole = dict(zip(map(id, own), torch.autograd.grad(loss, own), strict=True))
        found = zip(self.places, self.parameters, self.index, strict=True)
        return [whole[id(p)].index_select(place.axis, index).float() for place, p, index in found]

    def wanted(self, yes: bool) -> None:
        """Switch the gradients of the parameters on or off."""
        for parameter in self.parameters:
            parameter.requires_grad_(yes)


def edits(tensors: Mapping[str, Tensor], model: Model) -> list[WeightEdit]:
    """What is added to the rows: one edit for each tensor that has a place as its name."""
    made = []
    for name, values in sorted(tensors.items()):
        head, _, part = name.removesuffix(".bias").rpartition(".")
        if part in ("q", "k"):
            site = Site.parse(head)
            found = next(place for place in places(model, site, keys=True) if place.name == name)
            made.append(WeightEdit(found.param, Slice(found.axis, found.index, values)))
    return made
