"""What wording alone adds to the offset-free unevenness."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.record import Card
from evenhand.metrics._emission import SOURCE, Divergence


class EmissionKlFloor(Divergence):
    """Mean offset-free KL of neutral cues, each against the other neutral phrases of its template."""

    name: ClassVar[str] = "emission_kl_floor"
    card: ClassVar[Card] = Card(
        title="What emission_kl_offset_free gives for phrases that name no concept: its floor.",
        source=SOURCE,
        formula="emission_kl_offset_free of the neutral cues, each against the other neutral phrases",
        differs="ours: the paper has no such control",
        cautions="The offset is a mean of two phrases here and of three in emission_kl_offset_free, so it is "
        "slightly too high.",
    )
    needs: ClassVar[tuple[str, ...]] = ("kl_offset_free",)
