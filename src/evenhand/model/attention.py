"""Reading and changing attention weights in chosen layers, rows and heads; all the rest stays on the fast path.

transformers hands queries, keys, values and an additive mask to a registered function. Ours calls what the model would
have called (sdpa, or the model's own eager attention) for the output, and the model's own eager attention again for the
rows or heads that somebody wants to see or to change. So soft caps, sinks, grouped queries and windows are the model's
own. No layer's full matrix is made unless all its rows are asked for, and none outlives the callback.

Families that do not ask for a registered function (Bloom, Falcon, GPT-Neo) can be read: from what their attention
module hands to torch's own attention, or else from the weights that it returns. They cannot be changed
(`UnsupportedSite`). Falcon is not asked for its weights instead: it would then compute something else than it does
(with a mask of booleans added to the scores, or with its position biases counted twice).

The switch to our function is counted per model: it is made for the first reader or edit and undone after the last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from evenhand.core.edits import AttentionEdit, SegmentEdit
from evenhand.core.errors import PatchError, UnsupportedRequest, UnsupportedSite
from evenhand.model.anatomy import Anatomy
from evenhand.model.marks import forget, marks
from evenhand.model.positions import tokens_are_kept
from evenhand.model.rotary import Rotary
from evenhand.model.segments import Segmented, check

NAMES = {"sdpa": "evenhand_on_sdpa", "eager": "evenhand_on_eager"}
"""Our function's name by what it stands before; each name gets the kind of mask that the other would get."""
Reader = Callable[[int, Tensor], None]
"""Called with the layer and its weights [B, H, R, Lk]: one row for each wanted query (R = Lq if all are)."""


@dataclass(slots=True)
class _Seat:
    """What happens at one attention module while our function is in place."""

    layer: int
    base: str
    hf: ReferenceType[PreTrainedModel]
    edits: list[AttentionEdit] = field(default_factory=list)
    readers: list[tuple[Reader, Tensor | None]] = field(default_factory=list)
    segmented: Segmented | None = None


_seats: WeakKeyDictionary[nn.Module, _Seat] = WeakKeyDictionary()
_uses: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()
_before: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


class _Heads:
    """An attention module as its eager function sees it, reduced to heads that each have keys of their own."""

    def __init__(self, module: nn.Module, heads: Sequence[int]) -> None:
        self._module = module
        self.num_key_value_groups = 1
        self.training = False
        sinks = getattr(module, "sinks", None)
        if sinks is not None:
            self.sinks = sinks[list(heads)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, Tensor | None]:
    """The registered function: query [B, H, Lq, K], key and value [B, G, Lk, K] to output [B, Lq, H, K]."""
    seat = _seats[module]
    if seat.segmented is not None:

        def added() -> Tensor | None:
            return _added(module, query, key.shape[2], attention_mask, None, given.get("is_causal"))

        made = seat.segmented.attend(module, query, key, value, added, given)
        if made is not None and (seat.edits or seat.readers):
            raise UnsupportedRequest(
                "A prompt with segments is read in an order of its own by each query: attention weights can be neither "
                "read nor changed beside that. Remove the other patch, or the one for segments."
            )
        if made is not None:
            return made, None
    native: Any = sys.modules[type(module).__module__].eager_attention_forward
    base: Any = native if seat.base == "eager" else ALL_ATTENTION_FUNCTIONS[seat.base]
    out, weights = base(module, query, key, value, attention_mask, **given)
    for edit in seat.edits:
        out = _edited(edit, seat, native, module, out, query, key, value, attention_mask, given)
    for reader, rows in seat.readers:
        reader(seat.layer, _weights(native, module, query, key, value, attention_mask, given, rows=rows)[1])
    return out, weights


def _edited(
    edit: AttentionEdit,
    seat: _Seat,
    native: Any,
    module: nn.Module,
    out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    given: dict[str, Any],
) -> Tensor:
    heads = list(edit.heads)
    changed = dict(given)
    if edit.temperature != 1.0:
        usual = given.get("scaling")
        changed["scaling"] = (query.shape[-1] ** -0.5 if usual is None else usual) / edit.temperature
    part, weights = _weights(native, module, query, key, value, mask, changed, heads=heads)
    if edit.fn is not None:
        weights = edit.fn(weights)
    if edit.marked is not None:
        hf = seat.hf()
        assert hf is not None  # it is running
        added = _added(module, query, key.shape[2], mask, None, given.get("is_causal"))
        weights = edit.marked.change(weights, marks(hf, edit, edit.marked, weights, added))
    if edit.fn is not None or edit.marked is not None:
        group = query.shape[1] // key.shape[1]
        values = value[:, [head // group for head in heads]]
        part = torch.matmul(weights.to(values.dtype), values).transpose(1, 2)
    out = out.clone()
    out[:, :, heads] = part
    return out


def _weights(
    native: Any,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    given: dict[str, Any],
    *,
    heads: Sequence[int] | None = None,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Output [B, R, heads, K] and weights [B, heads, R, Lk] of the model's own eager attention.

    `rows` [B, R] are the wanted queries of each text; None = all of them.
    """
    group = query.shape[1] // key.shape[1]
    chosen = list(range(query.shape[1])) if heads is None else list(heads)
    owners = [head // group for head in chosen]
    if mask is not None and mask.shape[1] > 1:
        mask = mask[:, chosen]
    if heads is not None:
        query = query[:, chosen]
    mask = _added(module, query, key.shape[2], mask, rows, given.get("is_causal"))
    if rows is not None:
        query = _picked(query, rows)
    given = {**given, "dropout": 0.0}
    out, weights = native(_Heads(module, chosen), query, key[:, owners], value[:, owners], mask, **given)
    return out, weights


def _added(
    module: nn.Module, query: Tensor, length: int, mask: Tensor | None, rows: Tensor | None, is_causal: bool | None
) -> Tensor | None:
    """What eager attention adds to the scores of the wanted rows [B or 1, 1 or heads, R, Lk]; None = nothing.

    sdpa is handed booleans, or no mask where its own causal one will do: that is aligned with the first key, and is
    left away for a single query.
    """
    if mask is None:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if query.shape[2] == 1 or not causal:
            return None
        places = torch.arange(query.shape[2], device=query.device)[None] if rows is None else rows.to(query.device)
        mask = torch.arange(length, device=query.device) <= places[:, None, :, None]
    elif rows is not None:
        mask = _picked(mask.expand(query.shape[0], -1, -1, -1), rows)
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(
            ~mask, torch.finfo(query.dtype).min
        )
    return mask


for _base, _name in NAMES.items():
    AttentionInterface.register(_name, _attend)
    AttentionMaskInterface.register(_name, sdpa_mask if _base == "sdpa" else eager_mask)


def editable(hf: PreTrainedModel, anatomy: Anatomy) -> bool:
    """Whether this family asks for a registered attention function."""
    return bool(hf._can_set_attn_implementation()) and any(layer.attention is not None for layer in anatomy.layers)


@contextmanager
def edited(hf: PreTrainedModel, anatomy: Anatomy, edit: AttentionEdit) -> Iterator[None]:
    """Put an edit in place.

    Raises:
        UnsupportedSite: this family cannot be changed here, or has no such layer or head.
    """
    module = _attention(anatomy, edit.layer)
    if not editable(hf, anatomy):
        raise UnsupportedSite(
            f"The attention weights of {type(hf).__name__} cannot be changed: it does not use transformers' attention "
            "interface. Whole heads can be scaled through an edit of the part 'heads'."
        )
    beyond = [head for head in edit.heads if not 0 <= head < anatomy.heads]
    if beyond:
        raise UnsupportedSite(f"There is no head {beyond[0]}: {type(hf).__name__} has {anatomy.heads}, from 0.")
    named = edit.marked is not None and bool(edit.marked.never)
    with _switched(hf, anatomy), tokens_are_kept(hf) if named else nullcontext():
        _seats[module].edits.append(edit)
        try:
            yield
        finally:
            _seats[module].edits.remove(edit)
            forget(hf, edit)


@contextmanager
def segmented(hf: PreTrainedModel, anatomy: Anatomy, edit: SegmentEdit) -> Iterator[None]:
    """Put an edit of segments in place, in all layers.

    Raises:
        UnsupportedSite: this family cannot be changed here, or its positions are not rotary ones that are understood.
        PatchError: there is one already.
    """
    modules = [layer.attention for layer in anatomy.layers if layer.attention is not None]
    if not editable(hf, anatomy) or len(modules) < len(anatomy.layers):
        raise UnsupportedSite(
            f"The attention of {type(hf).__name__} cannot be changed in all layers: it does not use transformers' "
            "attention interface throughout, so segments cannot be seen in another order. Use another model."
        )
    rotary = Rotary(hf)
    with rotary.watching(modules), _switched(hf, anatomy):
        if _seats[modules[0]].segmented is not None:
            raise PatchError("Two edits of segments cannot be installed at once: remove the other patch first.")
        made = Segmented(hf, edit, rotary, modules)
        try:
            for module in modules:
                _seats[module].segmented = made
            check(made)
            yield
        finally:
            for module in modules:
                _seats[module].segmented = None


@contextmanager
def reading(
    hf: PreTrainedModel, anatomy: Anatomy, layers: Collection[int], reader: Reader, rows: Tensor | None = None
) -> Iterator[None]:
    """Call `reader` in every forward pass with the weights of the chosen layers.

    Args:
        hf: the model.
        anatomy: its parts.
        layers: which layers.
        reader: reduces the weights; it must not keep them.
        rows: the wanted queries, int [B, R]; None = all. The forward passes inside must have B texts.

    Raises:
        UnsupportedSite: there is no such layer, or this family shows no weights.
    """
    modules = {number: _attention(anatomy, number) for number in layers}
    with ExitStack() as undo:
        if editable(hf, anatomy):
            undo.enter_context(_switched(hf, anatomy))
            for module in modules.values():
                entry = (reader, rows)
                _seats[module].readers.append(entry)
                undo.callback(_seats[module].readers.remove, entry)
        else:
            for number, module in modules.items():
                undo.enter_context(_returned(hf, module, number, reader, rows))
        yield


@contextmanager
def _returned(
    hf: PreTrainedModel, module: nn.Module, layer: int, reader: Reader, rows: Tensor | None
) -> Iterator[None]:
    """Read an attention module from outside: what it hands to torch's attention, or what it returns."""
    watch = _Watch(lambda weights: reader(layer, weights), rows)

    def begin(_: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        watch.inside, watch.seen = True, False
        asked = hf.config._attn_implementation == "eager" and "output_attentions" in given
        return arguments, {**given, "output_attentions": True} if asked else given

    def end(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        watch.inside = False
        if watch.seen:
            return
        found = [one for one in output[1:] if isinstance(one, Tensor) and one.dim() == 4]
        if not found:
            raise UnsupportedSite(f"{type(hf).__name__} does not show its attention weights.")
        reader(layer, found[-1] if rows is None else _picked(found[-1], rows))

    with ExitStack() as undo:
        undo.enter_context(watch)
        undo.callback(module.register_forward_pre_hook(begin, with_kwargs=True).remove)
        undo.callback(module.register_forward_hook(end).remove)
        yield


class _Watch(TorchFunctionMode):
    """Sees the calls of torch's attention while `inside` and reports their weights; the calls go on as they were."""

    def __init__(self, report: Callable[[Tensor], None], rows: Tensor | None) -> None:
        super().__init__()
        self.report = report
        self.rows = rows
        self.inside = False
        self.seen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.inside and func is functional.scaled_dot_product_attention:
            self.seen = True
            self.report(_of_call(self.rows, *args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _of_call(
    rows: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: Any,
) -> Tensor:
    """Weights [B, H, R, Lk] of a call of torch's attention; its masks hold booleans or are added."""
    lengths = query.shape[-2], key.shape[-2]
    if is_causal:
        attn_mask = torch.ones(lengths, dtype=torch.bool, device=query.device).tril()[None, None]
    if rows is not None:
        query = _picked(query, rows)
        if attn_mask is not None:
            attn_mask = _picked(attn_mask.expand(query.shape[0], -1, -1, -1), rows)
    if key.shape[1] not in (1, query.shape[1]):
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)


def _picked(tensor: Tensor, rows: Tensor) -> Tensor:
    """The rows [B, R] of each text: [B, H, L, n] to [B, H, R, n]."""
    place = rows.to(tensor.device)[:, None, :, None]
    return tensor.gather(2, place.expand(-1, tensor.shape[1], -1, tensor.shape[-1]))


def _attention(anatomy: Anatomy, layer: int) -> nn.Module:
    module = anatomy.layer(layer).attention
    if module is None:
        raise UnsupportedSite(f"{type(anatomy.hf).__name__} has no attention in layer {layer} that could be found.")
    return module


@contextmanager
def _switched(hf: PreTrainedModel, anatomy: Anatomy) -> Iterator[None]:
    """Our function in place of the model's; what it replaces is put back after the last use."""
    if not _uses.get(hf):
        _before[hf] = before = hf.config._attn_implementation
        base = before if before in NAMES else "sdpa" if hf._supports_sdpa else "eager"
        for number, layer in enumerate(anatomy.layers):
            if layer.attention is not None:
                _seats[layer.attention] = _Seat(number, base, ref(hf))
        hf.set_attn_implementation(NAMES[base])
    _uses[hf] = _uses.get(hf, 0) + 1
    try:
        yield
    finally:
        _uses[hf] -= 1
        if not _uses[hf]:
            hf.set_attn_implementation(_before.pop(hf))
            for layer in anatomy.layers:
                if layer.attention is not None:
                    _seats.pop(layer.attention, None)
