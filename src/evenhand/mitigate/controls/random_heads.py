"""Control: as many attention heads, drawn at random, are masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from evenhand.core.errors import UnsupportedSite, UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.sites import Part
from evenhand.mitigate._heads import as_tensor, head_sites, scaled_heads
from evenhand.mitigate._mitigation import Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model


class RandomHeads(Mitigation):
    """What masking any heads does."""

    name: ClassVar[str] = "random_heads"
    card: ClassVar[Card] = Card(
        title="Weakens attention heads that were drawn at random: what masking that many does by itself.",
        source="A control of ours, for methods that mask or change chosen heads.",
        formula="output of each drawn head times (1 - amount)",
        needs="a decoder whose heads can be told apart",
    )
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0)

    count: Annotated[int, Field(ge=1, description="How many heads.")] = 1
    exclude: Annotated[tuple[str, ...], Field(description="Heads that are not drawn, e.g. L5.heads.3.")] = ()
    amount: Annotated[float, Field(gt=0, le=1, description="How much of a head's output is taken away.")] = 1.0

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """`heads`: layer and number of each head, int64 [count, 2].

        Raises:
            UsageError: the model has fewer heads.
            UnsupportedSite: its heads cannot be told apart.
        """
        every = model.anatomy.sites(Part.HEADS)
        if not every:
            raise UnsupportedSite(f"{type(model.hf).__name__} has no attention heads that could be told apart.")
        excluded = set(head_sites(self.exclude))
        known = [site for site in every if site not in excluded]
        if len(known) < self.count:
            raise UsageError(
                f"{self.name} was asked for {self.count} heads; {model.name} has {len(known)} that may be drawn. Ask "
                "for fewer."
            )
        drawn = sorted(known[number] for number in rng.choice(len(known), self.count, replace=False))
        return Fitted({"heads": as_tensor(drawn)}, (f"Drawn: {', '.join(map(str, drawn))}.",))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """A scaling in each layer that has one of the heads."""
        return scaled_heads(tensors["heads"], 1.0 - self.amount, model)

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Other heads, drawn with another seed: one draw may do good by chance."""
        return (Sham("another draw", self, ()),)
