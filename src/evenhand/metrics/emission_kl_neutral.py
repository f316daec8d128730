"""Unevenness over groups without any concept."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._emission import SOURCE, Divergence


class EmissionKlNeutral(Divergence):
    """Mean KL(u || p) of the group shares after cues that name no concept."""

    name: ClassVar[str] = "emission_kl_neutral"
    card: ClassVar[Card] = Card(
        title="How unevenly the groups share the probability of being named when no concept is named: the offset.",
        source=SOURCE,
        formula="emission_kl of the neutral cues",
        differs="ours: the paper has no such control",
        cautions="Eight templates with three phrases for each attribute: the interval is wide.",
    )
    needs: ClassVar[tuple[str, ...]] = ("kl",)
