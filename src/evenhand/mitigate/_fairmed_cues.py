"""Cues with what the model says after them: the material that FairMed is fitted on.

A cue is a sentence that stops where a social group would come next; after it each form of each group is scored, and the
forms of a group are added: [cues, groups] log-probabilities in nats. Only `item.texts["cue"]` and the item's attribute
are read; the groups and their forms are those of `evenhand.data.concepts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evenhand.core.errors import DataError, ModelError
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Scores
from evenhand.data.concepts import attributes, concepts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.model import Model


@dataclass(frozen=True)
class Cues:
    """Cues of one attribute, and maybe of others, with the emission over its groups.

    Attributes:
        attribute: whose groups were scored.
        groups: their ids.
        texts: the N cues.
        clusters: the concept of each, or the neutral cues that it belongs to.
        templates: the template of each, "" if it is not known.
        logs: log-probability of each group (nats), float64 [N, G].
    """

    attribute: str
    groups: tuple[str, ...]
    texts: tuple[str, ...]
    clusters: tuple[str, ...]
    templates: tuple[str, ...]
    logs: Tensor

    @property
    def odds(self) -> Tensor:
        """Each group's log-probability against the mean over the groups (nats), float64 [N, G]; 0 = uniform."""
        return self.logs - self.logs.mean(1, keepdim=True)

    def calibrated(self) -> Cues:
        """With each template's median over the attribute's own cues taken off: what the model says anyway."""
        import torch

        odds = self.odds.clone()
        own = [name.startswith(f"{self.attribute}/") for name in self.clusters]
        for template in sorted(set(self.templates)):
            rows = torch.tensor([one == template for one in self.templates])
            mine = rows & torch.tensor(own)
            odds[rows] -= self.odds[mine if bool(mine.any()) else rows].median(0).values
        return replace(self, logs=odds)

    def shuffled(self, rng: np.random.Generator) -> Cues:
        """With the emissions dealt out over the cues at random."""
        import torch

        return replace(self, logs=self.logs[torch.from_numpy(rng.permutation(len(self.texts)))])


def read(
    model: Model,
    items: Sequence[Item],
    rng: np.random.Generator,
    *,
    wanted: Sequence[str],
    limit: int,
    others: int,
    method: str,
) -> list[Cues]:
    """Score the groups of each wanted attribute after its own cues, and after some that are about other attributes.

    Args:
        model: the model.
        items: those of the benchmark emission.
        rng: draws the cues where there are more than wanted.
        wanted: names of attributes; those that the items lack are left out; () = those of the items.
        limit: cues of the attribute itself, at most.
        others: cues of other attributes, at most.
        method: who asks, for messages.

    Raises:
        DataError: there are no cues for any of them, or for one about fewer than two concepts.
        ModelError: the model gives no finite number.
    """
    held = sorted({item.groups.get("attribute", "") for item in items if "cue" in item.texts} & set(attributes()))
    chosen = [name for name in (wanted or held) if name in held]
    if not chosen:
        raise DataError(
            f"{method} was asked to be fitted on cues for {', '.join(wanted) or 'a social attribute'}; the "
            f"{len(items)} items hold cues for {', '.join(held) or 'none'}. Fit it on emission (--fit-on emission)."
        )
    return [_scored(model, items, name, rng, (limit, others), method) for name in chosen]


def _scored(
    model: Model, items: Sequence[Item], attribute: str, rng: np.random.Generator, sizes: tuple[int, int], method: str
) -> Cues:
    import numpy as np
    import torch

    named = [item for item in items if "cue" in item.texts and item.groups.get("concept")]
    own = _drawn([item for item in named if item.groups["attribute"] == attribute], sizes[0], rng)
    taken = own + _drawn([item for item in named if item.groups["attribute"] != attribute], sizes[1], rng)
    if len({item.cluster for item in own}) < 2:
        raise DataError(
            f"{method} tells what holds for new concepts by keeping some back; the {len(own)} cues for {attribute} "
            "are about fewer than two. Fit it on more of emission."
        )
    groups = concepts(attribute).groups
    options = tuple(f" {form}" for group in groups for form in group.forms)
    found = model.answer([Choose(item.texts["cue"], options) for item in taken])
    totals = np.array([[one.total for one in answer.scores] for answer in found if isinstance(answer, Scores)])
    if not np.isfinite(totals).all():
        raise ModelError(f"{model.name} gives no finite number after some cues for {attribute}; {method} needs them.")
    ends = np.cumsum([len(group.forms) for group in groups])[:-1]
    logs = np.stack([np.logaddexp.reduce(part, axis=1) for part in np.split(totals, ends, axis=1)], axis=1)
    return Cues(
        attribute,
        tuple(group.id for group in groups),
        tuple(item.texts["cue"] for item in taken),
        tuple(item.cluster for item in taken),
        tuple(_template(item) for item in taken),
        torch.from_numpy(logs),
    )


def _drawn(items: Sequence[Item], limit: int, rng: np.random.Generator) -> list[Item]:
    """At most so many, in their order."""
    if len(items) <= limit:
        return list(items)
    return [items[number] for number in sorted(rng.choice(len(items), limit, replace=False))]


def _template(item: Item) -> str:
    """attribute/concept/template/number is the id of a cue."""
    parts = item.id.split("/")
    return parts[-2] if len(parts) == 4 else ""
