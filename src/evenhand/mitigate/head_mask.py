"""Head masking: chosen attention heads are weakened or taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.mitigate._heads import as_tensor, head_sites, scaled_heads
from evenhand.mitigate._mitigation import Fitted, Mitigation, Sham
from evenhand.mitigate.controls.random_heads import RandomHeads

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class HeadMask(Mitigation):
    """Multiply the output of named heads."""

    name: ClassVar[str] = "head_mask"
    card: ClassVar[Card] = Card(
        title="Weakens attention heads that a locator or the user names.",
        source="Are Sixteen Heads Really Better than One?, Michel et al., NeurIPS 2019, "
        "https://arxiv.org/abs/1905.10650; against bias: Bias A-head?, Yang et al., TrustNLP 2025, "
        "https://aclanthology.org/2025.trustnlp-main.18.",
        formula="output of each named head, before attention's output projection, times (1 - amount)",
        differs="The papers rank the heads themselves; here a locator does (`evenhand locate`), and amount may be "
        "below 1. A head's mean is not put in its place.",
        cautions="Heads found on some items and tested on the same ones prove nothing: locate on the fit fold.",
        needs="a decoder whose heads can be told apart; names of heads",
    )
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)

    heads: Annotated[
        tuple[str, ...],
        Field(description="Which heads, e.g. L5.heads.3,L6.heads.1, or the best ones of a file: @sites.json:10."),
    ] = ()
    amount: Annotated[float, Field(gt=0, le=1, description="How much of a head's output is taken away.")] = 1.0

    @field_validator("heads", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Names with commas between them, as the command line gives them."""
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """`heads`: layer and number of each head, int64 [n, 2]. Nothing is learned.

        Raises:
            UsageError: no heads are named, or a name is no head.
            UnsupportedSite: the model has no such head.
        """
        if not self.heads:
            raise UsageError(
                "head_mask was given no heads. Name them, e.g. --set heads=L5.heads.3,L6.heads.1, or take those that a "
                "locator found: evenhand locate MODEL --by head_patching, then --set heads=@sites.json:10."
            )
        sites = head_sites(self.heads)
        for site in sites:
            model.anatomy.module(site)
        return Fitted({"heads": as_tensor(sites)})

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """A scaling in each layer that has one of the heads."""
        return scaled_heads(tensors["heads"], 1.0 - self.amount, model)

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """As many other heads, drawn at random."""
        names = tuple(map(str, head_sites(self.heads)))
        return (Sham("random heads", RandomHeads(count=len(names), exclude=names, amount=self.amount), ()),)
