"""Unevenness over groups after concept cues."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._emission import SOURCE, Divergence


class EmissionKl(Divergence):
    """Mean KL(u || p) of the group shares after cues that name a concept."""

    name: ClassVar[str] = "emission_kl"
    card: ClassVar[Card] = Card(
        title="How unevenly the groups share the probability of being named after a cue that names a concept.",
        source=SOURCE,
        formula="mean over cues of KL(u || p) = -log G - mean_g log p_g, averaged over attributes",
        differs="The paper trains on these probabilities; this reports how far they are from "
        "uniform, in the direction that it minimises.",
        cautions="Counts how common a group's words are as well: read it beside emission_kl_neutral.",
    )
    needs: ClassVar[tuple[str, ...]] = ("kl",)
