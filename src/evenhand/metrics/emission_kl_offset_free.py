"""Unevenness over groups that the concepts add."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._emission import SOURCE, Divergence


class EmissionKlOffsetFree(Divergence):
    """Mean KL(u || p) with each group's log-probability after neutral cues taken off."""

    name: ClassVar[str] = "emission_kl_offset_free"
    card: ClassVar[Card] = Card(
        title="How unevenly naming a concept moves the groups' probabilities, whatever they are without it.",
        source=SOURCE,
        formula="mean over cues of KL(u || softmax(s - mean s after neutral cues of the same template)), averaged over "
        "attributes",
        differs="ours: the paper has no such correction",
        cautions="Wording alone makes it positive: compare it with emission_kl_floor, not with 0.",
    )
    needs: ClassVar[tuple[str, ...]] = ("kl_offset_free",)
