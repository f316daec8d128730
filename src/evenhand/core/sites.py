"""Places inside a model: what is read by locators and changed by edits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from evenhand.core.errors import UsageError


class Part(StrEnum):
    """What is read or changed in a layer. B texts, L tokens, D hidden, H heads, K head width, N neurons."""

    RESIDUAL = "residual"  # output of the block, [B, L, D]
    ATTENTION = "attention"  # output of attention's output projection, [B, L, D]
    HEADS = "heads"  # input of attention's output projection: the heads side by side, [B, L, H * K]
    MLP = "mlp"  # output of the feed-forward part's last projection, [B, L, D]
    NEURONS = "neurons"  # input of the feed-forward part's last projection, [B, L, N]
    FINAL = "final"  # input of the vocabulary head, after the last norm, [B, L, D]; its layer is 0


_SITE = re.compile(r"L(\d+)\.(\w+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A part of a layer, or one unit of it: a head of `HEADS`, a neuron of `NEURONS`. Layers count from 0."""

    layer: int
    part: Part
    unit: int | None = None

    def __str__(self) -> str:
        return f"L{self.layer}.{self.part}" + ("" if self.unit is None else f".{self.unit}")

    @classmethod
    def parse(cls, text: str) -> Site:
        """The site that `str` wrote, e.g. "L5.heads.3".

        Raises:
            UsageError: the text is no site.
        """
        match = _SITE.fullmatch(text.strip())
        if match is None or match[2] not in set(Part):
            raise UsageError(
                f"{text!r} is no site. Expected a layer, a part ({', '.join(Part)}) and maybe a unit, e.g. L5.heads.3."
            )
        return cls(int(match[1]), Part(match[2]), None if match[3] is None else int(match[3]))


FINAL = Site(0, Part.FINAL)
"""The last hidden state, which the vocabulary head reads."""
