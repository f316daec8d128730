"""Means of divergences over attributes."""

from __future__ import annotations

from typing import ClassVar, Literal

from evenhand.metrics._mean import Mean

SOURCE = "Emission probabilities of Fairness Mediator, Xiao et al., ISSTA 2025. https://arxiv.org/abs/2504.07787"


class Divergence(Mean):
    """Mean over the cues of an attribute of a divergence (nats), averaged over attributes."""

    ideal: ClassVar[float | None] = 0.0
    unit: ClassVar[str] = "nats"
    pool: ClassVar[Literal["sum", "mean"]] = "mean"
    low: ClassVar[float | None] = 0.0
    undefined: ClassVar[str] = "no cue of this kind"
