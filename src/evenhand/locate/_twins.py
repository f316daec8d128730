"""Two texts that differ in a few words, as tokens: which of them correspond, and which differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from evenhand.core.items import Item
from evenhand.core.requests import Choose, Compare

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.model import Model

TINY = 1e-8


@dataclass(frozen=True, slots=True)
class Twins:
    """A stereotype and its anti-stereotype.

    Attributes:
        ids: token ids of both, with the token that opens a text.
        kept: places of corresponding tokens in both, in order and of equal number: equal blocks, and replaced blocks of
            equal length token by token.
        changed: places in both of the tokens that differ.
    """

    ids: tuple[tuple[int, ...], tuple[int, ...]]
    kept: tuple[tuple[int, ...], tuple[int, ...]]
    changed: tuple[frozenset[int], frozenset[int]]

    def with_words(self, stand_in: Mapping[int, int]) -> Twins:
        """The same texts with other tokens where they differ."""
        first, second = (
            tuple(stand_in[t] if n in places else t for n, t in enumerate(ids))
            for ids, places in zip(self.ids, self.changed, strict=True)
        )
        return replace(self, ids=(first, second))

    @property
    def words(self) -> set[int]:
        """Token ids of what differs."""
        return {ids[n] for ids, places in zip(self.ids, self.changed, strict=True) for n in places}


def twin_request(item: Item) -> Choose | Compare:
    """What scores the two texts of a pair: its own request, cut to the stereotype and the anti-stereotype."""
    match item.requests[0] if item.requests else None:
        case Choose(prompt, options) if len(options) >= 2:
            return Choose(prompt, options[:2])
        case _:
            return Compare((item.texts["stereotype"], item.texts["anti-stereotype"]))


def twins(model: Model, item: Item) -> Twins | None:
    """The two texts of an item as tokens, None if too little of them corresponds, nothing differs, or they are cut."""
    from evenhand.model.encode import Encoder

    encoded = Encoder(model.tokenizer, model.hf.config).encode([twin_request(item)])
    if any(len(option) != 1 for option in encoded.parts[0]) or encoded.counts.cut:
        return None
    first, second = (encoded.texts[option[0]].tokens for option in encoded.parts[0])
    kept: tuple[list[int], list[int]] = ([], [])
    changed: tuple[set[int], set[int]] = (set(), set())
    for kind, a, b, x, y in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if b - a == y - x:
            kept[0].extend(range(a, b))
            kept[1].extend(range(x, y))
        if kind != "equal":
            changed[0].update(range(a, b))
            changed[1].update(range(x, y))
    if len(kept[0]) < 2 or not (changed[0] or changed[1]):
        return None
    return Twins(
        (first, second),
        (tuple(kept[0]), tuple(kept[1])),
        (frozenset(changed[0]), frozenset(changed[1])),
    )


def gaps(weights: Tensor, pairs: Sequence[Twins], *, paper_softmax: bool = False) -> Tensor:
    """How differently the heads attend in two texts: means over corresponding queries but the first.

    The weights of a query over the corresponding tokens up to itself are brought to sum 1. With `paper_softmax` a
    softmax over these weights takes the place of that.

    Args:
        weights: [2 P, H, R, Lk] of the kept queries, the texts of a pair one after the other.
        pairs: P of them.
        paper_softmax: see above.

    Returns:
        float [3 P, H], in nats: KL(anti || stereotype) of all pairs, KL(stereotype || anti), Jensen-Shannon divergence.
    """
    import torch

    rows = weights.shape[2]
    columns = torch.zeros((len(weights), rows), dtype=torch.long, device=weights.device)
    size = torch.tensor([len(pair.kept[0]) for pair in pairs], device=weights.device)
    for number, places in enumerate(places for pair in pairs for places in pair.kept):
        columns[number, : len(places)] = torch.tensor(places, device=weights.device)
    weights = weights.gather(3, columns[:, None, None].expand(-1, weights.shape[1], rows, -1))
    place = torch.arange(rows, device=weights.device)
    seen = (place[None, :, None] >= place[None, None]) & (place < size[:, None])[:, None]  # [P, R, R]
    seen = seen.repeat_interleave(2, dim=0)[:, None]
    if paper_softmax:
        made = torch.softmax(weights.masked_fill(~seen, -torch.inf), dim=-1)
    else:
        held = (weights + TINY) * seen
        made = held / held.sum(-1, keepdim=True).clamp_min(TINY)
    logs = made.clamp_min(1e-30).log()
    stereotype, anti = made[0::2], made[1::2]
    middle = ((stereotype + anti) / 2).clamp_min(1e-30).log()
    forth = (anti * (logs[1::2] - logs[0::2])).sum(-1)
    back = (stereotype * (logs[0::2] - logs[1::2])).sum(-1)
    shared = ((stereotype * (logs[0::2] - middle)).sum(-1) + (anti * (logs[1::2] - middle)).sum(-1)) / 2
    counted = ((place[None] >= 1) & (place[None] < size[:, None])).to(forth.dtype)[:, None]
    return torch.cat([(one * counted).sum(-1) / counted.sum(-1) for one in (forth, back, shared)])
