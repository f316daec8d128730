"""Attention in which every query sees the segments of a prompt in an order of its own.

A rotary score depends on the distance of query and key only. So the keys of a segment are turned once, to where they
would stand if their segment came first, and the query is turned once for each segment, to its distance from where the
segment begins for it. All of these places are the same in every order of the segments, so that rounding is, too: two
segments of almost equal importance would else change places by it. The cache stays as the model made it. Scores without
positions are those of queries and keys that are turned back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import SegmentEdit
from evenhand.core.errors import UnsupportedRequest, UnsupportedSite
from evenhand.model.positions import kept, prompts_end, segments_of
from evenhand.model.rotary import UNTURNED, Angles, Rotary

CHUNK = 1 << 24
"""Numbers in the turned queries of one piece of a pass (64 MiB)."""
_SPANS = "spans of segments"
_PROBE = (3, 17, 40, 7, 29, 11, 5, 23)


@dataclass(frozen=True, slots=True)
class Spans:
    """Segments of the prompts of a batch: B rows, L columns, S segments at most, of M tokens at most.

    Attributes:
        owner: int [B, L], segment of each column of the prompt, -1 outside.
        place: int [B, L], its place in the segment.
        lengths: int [B, S], 0 where a row has fewer segments.
        begin: int [B, S], tokens of the row's segments before each.
        columns: int [B, S, M], the column of each token.
        real: bool [B, S, M], whether there is such a token.
    """

    owner: Tensor
    place: Tensor
    lengths: Tensor
    begin: Tensor
    columns: Tensor
    real: Tensor

    @classmethod
    def of(cls, borders: tuple[tuple[int, ...], ...], length: int, device: torch.device) -> Spans:
        """From the columns where the segments of each row begin, and the end of the last."""
        most = max(map(len, borders))
        padded = [list(row) + [row[-1] if row else 0] * (most - len(row)) for row in borders]
        edges = torch.tensor(padded, device=device)
        lengths, begin = edges.diff(dim=-1), edges[:, :-1] - edges[:, :1]
        columns = torch.arange(length, device=device).expand(len(borders), -1).contiguous()
        found = torch.searchsorted(edges[:, 1:].contiguous(), columns, right=True)
        inside = (columns >= edges[:, :1]) & (columns < edges[:, -1:])
        owner = torch.where(inside, found, -1)
        place = columns - edges[:, :-1].gather(1, owner.clamp_min(0))
        tokens = torch.arange(int(lengths.max()), device=device)
        at = (edges[:, :-1, None] + tokens).clamp_max(length - 1)
        return cls(owner, place, lengths, begin, at, tokens < lengths[..., None])

    def rows(self, chosen: Tensor) -> Spans:
        """Of some of the rows, which may repeat."""
        parts = (self.owner, self.place, self.lengths, self.begin, self.columns, self.real)
        return Spans(*(part[chosen] for part in parts))


def continued(hf: PreTrainedModel, rows: Sequence[int]) -> dict[object, Any]:
    """What is kept of the prompts under way, for passes in which row n continues prompt `rows[n]`."""
    memory = kept(hf)
    if _SPANS not in memory:
        return {}
    spans: Spans = memory[_SPANS]
    chosen = torch.tensor(list(rows), device=spans.owner.device)
    keys = {name: tuple(part[chosen] for part in value) for name, value in memory.items() if isinstance(value, tuple)}
    return {_SPANS: spans.rows(chosen), **keys}


class Segmented:
    """One edit in place on one model; `attend` is called in every attention module's place."""

    def __init__(self, hf: PreTrainedModel, edit: SegmentEdit, rotary: Rotary, modules: Sequence[nn.Module]) -> None:
        self.hf = hf
        self.edit = edit
        self.rotary = rotary
        self.modules = modules
        self.caught: dict[int, Tensor] | None = None

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Callable[[], Tensor | None],
        given: dict[str, Any],
    ) -> Tensor | None:
        """Output [B, Lq, H, K], or None if no prompt under way has segments; `mask` makes what is added to scores.

        Raises:
            UnsupportedRequest: a window of attention is shorter than the text.
        """
        if self.caught is not None:
            self.caught[id(module)] = key
        borders = segments_of(self.hf)
        if len(borders) != len(query):
            return None
        angles = self.rotary.of(module)
        if angles is None:
            raise UnsupportedRequest(f"{type(self.hf).__name__} does not say at which positions its attention works.")
        window = given.get("sliding_window") or getattr(module, "sliding_window", None)
        if window is not None and key.shape[2] >= window:
            raise UnsupportedRequest(
                f"A prompt with segments has {key.shape[2]} tokens or more and this model's attention reaches back "
                f"{window} in some layers: a window has no meaning between segments. Use shorter prompts."
            )
        return _Pass(self, module, angles, borders, query, key).output(value, mask(), given)


class _Pass:
    """One attention module in one forward pass. B rows, G groups of R heads, Lq queries, Lk keys, K numbers."""

    def __init__(
        self,
        owner: Segmented,
        module: nn.Module,
        angles: Angles,
        borders: tuple[tuple[int, ...], ...],
        query: Tensor,
        key: Tensor,
    ) -> None:
        self.edit, self.angles = owner.edit, angles
        rows, heads, length, width = query.shape
        self.query = query.reshape(rows, key.shape[1], heads // key.shape[1], length, width)
        self.key = key
        memory = kept(owner.hf)
        reading = key.shape[2] == length  # otherwise the prompt lies in the cache
        if reading:
            if _SPANS not in memory or memory[_SPANS].owner.shape[1] != length:
                memory[_SPANS] = Spans.of(borders, length, query.device)
            memory[id(module)] = self._segment_keys(memory[_SPANS])
        if id(module) not in memory:
            raise UnsupportedRequest("A prompt with segments must be read in one piece, without a cache before it.")
        self.spans: Spans = memory[_SPANS]
        self.keys, self.plain_keys, self.start = memory[id(module)]
        self.positions = angles.positions.expand(rows, -1)
        self.plain = angles.turned(self.query, -self.positions[:, None, None])
        outside = torch.full((rows, length), -1, device=query.device)
        self.owner = self.spans.owner if reading else outside
        later = torch.full((rows, key.shape[2] - self.spans.owner.shape[1]), -1, device=query.device)
        self.key_owner = torch.cat((self.spans.owner, later), dim=1)
        self.key_place = torch.cat((self.spans.place, later.clamp_min(0)), dim=1)

    def _segment_keys(self, spans: Spans) -> tuple[Tensor, Tensor, Tensor]:
        """Keys [B, G, S, M, K] at their places in their segment, and at none (float32); where segments begin, [B]."""
        rows, groups, _, width = self.key.shape
        flat = spans.columns.flatten(1)
        taken = self.key.gather(2, flat[:, None, :, None].expand(-1, groups, -1, width))
        positions = self.angles.positions.expand(rows, -1).gather(1, flat)
        plain = self.angles.turned(taken, -positions[:, None])
        plain = plain.reshape(rows, groups, *spans.columns.shape[1:], width)
        inside = torch.arange(spans.columns.shape[2], device=flat.device)
        return self.angles.turned(plain, inside).to(self.key.dtype), plain, positions[:, 0]

    def output(self, value: Tensor, added: Tensor | None, given: dict[str, Any]) -> Tensor:
        """Output [B, Lq, H, K]."""
        stands, within = self._stands(given)
        rows, groups, per, length, width = self.query.shape
        size = max(1, CHUNK // max(1, rows * groups * per * within.shape[-1] * width))
        pieces = []
        for start in range(0, length, size):
            part = slice(start, start + size)
            mask = None if added is None else added[:, :, part]
            pieces.append(self._piece(value, mask, part, stands[:, part], within[..., part, :], given))
        return torch.cat(pieces, dim=3).reshape(rows, groups * per, length, -1).transpose(1, 2)

    def _stands(self, given: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Where queries stand: for keys outside the segments [B, Lq], and from each's beginning [B, G, R, Lq, S]."""
        spans = self.spans
        own = self.owner[..., None] == torch.arange(spans.lengths.shape[1], device=self.owner.device)  # [B, Lq, S]
        mass = self._mass(own, given)
        importance = self.edit.importance(mass.flatten(1, 2), spans.lengths[:, None, None]).view_as(mass)
        importance = importance.masked_fill(own[:, None, None], torch.inf)
        importance = importance.masked_fill((spans.lengths == 0)[:, None, None, None], -torch.inf)
        order = importance.argsort(dim=-1, descending=True, stable=True)
        lengths = spans.lengths[:, None, None, None].expand_as(order)
        nearer = torch.zeros_like(order).scatter(-1, order, lengths.gather(-1, order).cumsum(-1))
        total = spans.lengths.sum(-1)
        begins = (self.start + total)[:, None, None, None, None] - nearer
        place = self.owner.clamp_min(0)
        last = total[:, None] - spans.lengths.gather(1, place) - spans.begin.gather(1, place)
        stands = self.positions + torch.where(self.owner >= 0, last, 0)
        return stands, stands[:, None, None, :, None] - begins

    def _mass(self, own: Tensor, given: dict[str, Any]) -> Tensor:
        """Attention without positions on each segment, its own left out: [B, G, R, Lq, S]."""
        scores = torch.einsum("bgrqk,bgsmk->bgrqsm", self.plain, self.plain_keys) * self._scaling(given)
        unseen = ~self.spans.real[:, None, None, None] | own[:, None, None, :, :, None]
        weights = scores.masked_fill(unseen, -torch.inf).flatten(-2).softmax(-1).nan_to_num(0.0).view_as(scores)
        mass = weights.sum(-1)
        members = own.to(mass.dtype)
        together = torch.einsum("bgrqs,bqt->bgrts", mass, members)
        shared = torch.einsum("bgrts,bqt->bgrqs", together, members)
        return torch.where((self.owner >= 0)[:, None, None, :, None], shared, mass)

    def _piece(
        self, value: Tensor, added: Tensor | None, part: slice, stands: Tensor, within: Tensor, given: dict[str, Any]
    ) -> Tensor:
        """Output [B, G, R, q, K] of some queries."""
        query, owner = self.plain[..., part, :], self.owner[:, part]
        dtype = self.key.dtype
        usual = torch.matmul(self.angles.turned(query, stands[:, None, None]).to(dtype), self.key[:, :, None].mT)
        turned = self.angles.turned(query.unsqueeze(-2), within).to(dtype)
        moved = torch.einsum("bgrqsk,bgsmk->bgrqsm", turned, self.keys).flatten(-2)
        inside = self.key_owner >= 0
        place = (self.key_owner.clamp_min(0) * self.keys.shape[3] + self.key_place.clamp_min(0))[:, None, None, None]
        at = torch.where(inside[:, None, None, None], place, 0).expand(*moved.shape[:-1], -1)
        scores = torch.where(inside[:, None, None, None], moved.gather(-1, at), usual) * self._scaling(given)
        cap = given.get("softcap")
        if cap is not None:
            scores = torch.tanh(scores / cap) * cap
        across = (owner[:, :, None] >= 0) & inside[:, None] & (owner[:, :, None] != self.key_owner[:, None])
        if added is not None:
            seen = (added[:, 0] > torch.finfo(added.dtype).min / 2) | across
            scores = scores.masked_fill(~seen[:, None, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
        return torch.matmul(weights, value[:, :, None])

    def _scaling(self, given: dict[str, Any]) -> float:
        stated = given.get("scaling")
        return float(self.query.shape[-1] ** -0.5 if stated is None else stated)


def check(segmented: Segmented) -> None:
    """Make sure, by trying, that positions are understood.

    Raises:
        UnsupportedSite: keys that are moved are not the old ones turned, or one segment changes what is read.
    """
    hf = segmented.hf
    vocabulary = hf.config.get_text_config(decoder=True).vocab_size
    weight: Any = hf.get_input_embeddings().weight
    ids = torch.tensor([_PROBE], device=weight.device) % vocabulary
    steps = torch.arange(len(_PROBE), device=weight.device)[None]
    keys: list[dict[int, Tensor]] = []
    with torch.inference_mode():
        for moved in (0, 3):
            segmented.caught = {}
            hf(input_ids=ids, position_ids=steps + moved, use_cache=False)
            keys.append(segmented.caught)
        segmented.caught = None
        for module in segmented.modules:
            angles = segmented.rotary.of(module)
            old, new = (found.get(id(module)) for found in keys)
            if (
                angles is None
                or old is None
                or new is None
                or not _alike(angles.turned(old, steps[:, None] * 0 + 3), new)
            ):
                raise UnsupportedSite(
                    f"{type(hf).__name__}: keys that stand three places later are not the same keys, turned, in every "
                    "layer. Segments cannot be moved in this model."
                )
        plain = hf(input_ids=ids, use_cache=False).logits
        with prompts_end(hf, [len(_PROBE) - 1], [(2, 5)]):
            single = hf(input_ids=ids, use_cache=False).logits
        if not _alike(plain, single):
            raise UnsupportedSite(
                f"{type(hf).__name__}: a prompt with a single segment is not read as without marks; its attention does "
                "something that is not understood here."
            )


def _alike(old: Tensor, new: Tensor) -> bool:
    """Whether two tensors agree to within rounding of the coarser dtype."""
    near = UNTURNED if new.dtype == torch.float32 else 0.05
    return bool((old.float() - new.float()).abs().max() <= near * new.float().abs().max())
