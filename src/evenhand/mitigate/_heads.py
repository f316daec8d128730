"""Scaling what attention heads hand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import UsageError
from evenhand.core.sites import Part, Site

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.model import Model


def head_sites(names: Sequence[str]) -> list[Site]:
    """The heads of these names, each once, in the order of the model.

    Raises:
        UsageError: a name is no head.
    """
    sites = sorted({Site.parse(name) for name in names})
    for site in sites:
        if site.part is not Part.HEADS or site.unit is None:
            raise UsageError(f"{site} is no head. Heads are named by layer and number, e.g. L5.heads.3.")
    return sites


def as_tensor(sites: Sequence[Site]) -> Tensor:
    """Layer and number of each head, int64 [n, 2]."""
    import torch

    return torch.tensor([(site.layer, site.unit) for site in sites], dtype=torch.long).reshape(-1, 2)


def scaled_heads(heads: Tensor, scale: float, model: Model) -> list[ActivationEdit]:
    """One edit for each layer: its heads among `heads` [n, 2] are multiplied, the others stay as they are."""
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads.tolist():
        by_layer.setdefault(layer, []).append(head)
    width = model.anatomy.head_width
    return [
        ActivationEdit(Site(layer, Part.HEADS), _scaled(numbers, width, scale))
        for layer, numbers in sorted(by_layer.items())
    ]


def _scaled(heads: Sequence[int], width: int, scale: float) -> Callable[[Tensor], Tensor]:
    def scaled(x: Tensor) -> Tensor:
        """[B, L, H * K] to [B, L, H * K]."""
        factors = x.new_ones(x.shape[-1] // width)
        factors[list(heads)] = scale
        return x * factors.repeat_interleave(width)

    return scaled
