"""Where the parts of a model are: blocks, attention, heads, feed-forward. Found by shape and by trying, not by name.

    blocks      the module list whose members are of a class that the model says must not be split over devices
    attention   the child of a block that knows its layer or its number of heads and ends in a projection to D
    projection  attention's last linear map with D outputs; its input are the heads side by side
    mlp         the last linear map of the block outside attention with D outputs; its input are the neurons

Every part is optional: asking for one that was not found raises `UnsupportedSite`. A guess is believed only if a short
forward pass calls it once, with the expected shapes. Which rows of a fused projection belong to which head is tried
out: without its value rows a head's output must be zero and all other heads must stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from evenhand.core.errors import UnsupportedSite
from evenhand.core.sites import Part, Site

Projected = Literal["q", "k", "v"]
_PROBE = 5  # tokens of a self-check


@dataclass(frozen=True, slots=True)
class Layer:
    """The modules of one block; None where the architecture has no such part."""

    block: nn.Module
    attention: nn.Module | None
    projection: nn.Module | None
    mlp: nn.Module | None


@dataclass(frozen=True, slots=True)
class HeadSlice:
    """Where a head's projection lies: the parameter, the axis of its outputs and the entries along it.

    `bias` names the bias vector in which the same entries belong to the head, "" if there is none. `shared` lists the
    heads that use the same entries: with grouped queries several heads share keys and values.
    """

    param: str
    axis: int
    index: tuple[int, ...]
    bias: str
    shared: tuple[int, ...]


class Anatomy:
    """The parts of one model.

    Attributes:
        layers: one per block, in order.
        hidden: D.
        heads: H, 0 if the model has no attention that could be found.
        head_width: K.
    """

    def __init__(self, hf: PreTrainedModel) -> None:
        config = hf.config.get_text_config(decoder=True)
        self.hf = hf
        self.hidden = int(config.hidden_size)
        self.heads = int(getattr(config, "num_attention_heads", 0) or 0)
        self.layers = [self._layer(block) for block in _blocks(hf)]
        self._check()
        widths = {_width(layer.projection, "in") for layer in self.layers if layer.projection is not None}
        whole = len(widths) == 1 and self.heads > 0 and next(iter(widths)) % self.heads == 0
        self.head_width = next(iter(widths)) // self.heads if whole else 0
        self._names = {id(parameter): name for name, parameter in hf.named_parameters()}
        self._layouts: dict[int, Literal["split", "contiguous", "grouped"]] = {}

    def module(self, site: Site) -> nn.Module:
        """The module whose output (or input, for heads, neurons and the final state) is the activation of a site.

        Raises:
            UnsupportedSite: there is no such layer, part or unit.
        """
        if site.part is Part.FINAL:
            head: nn.Module | None = self.hf.get_output_embeddings()  # type: ignore[no-untyped-call]
            return head if head is not None else self.hf
        layer = self.layer(site.layer)
        found: dict[Part, nn.Module | None] = {
            Part.RESIDUAL: layer.block,
            Part.ATTENTION: layer.projection,
            Part.HEADS: layer.projection if self.head_width else None,
            Part.MLP: layer.mlp,
            Part.NEURONS: layer.mlp,
        }
        module = found[site.part]
        if module is None:
            raise UnsupportedSite(
                f"{type(self.hf).__name__} has no part '{site.part}' in layer {site.layer} that could be found. "
                f"Parts found: {', '.join(part for part, made in found.items() if made is not None)}."
            )
        units = {Part.HEADS: self.heads, Part.NEURONS: _width(module, "in")}.get(site.part, 0)
        if site.unit is not None and not 0 <= site.unit < units:
            raise UnsupportedSite(f"{site}: there are {units} such units, counted from 0.")
        return module

    def layer(self, number: int) -> Layer:
        """The parts of one layer.

        Raises:
            UnsupportedSite: there is no such layer.
        """
        if not 0 <= number < len(self.layers):
            raise UnsupportedSite(
                f"There is no layer {number}: {type(self.hf).__name__} has {len(self.layers)}, counted from 0."
            )
        return self.layers[number]

    def sites(self, part: Part) -> list[Site]:
        """The sites of a part in all layers that have it: one per layer, or one per head for `HEADS`."""
        if part is Part.FINAL:
            return [Site(0, part)]
        found: list[Site] = []
        for number in range(len(self.layers)):
            try:
                self.module(Site(number, part))
            except UnsupportedSite:
                continue
            units: Sequence[int | None] = range(self.heads) if part is Part.HEADS else [None]
            found += [Site(number, part, unit) for unit in units]
        return found

    def head_slices(self, layer: int, head: int, which: Projected) -> HeadSlice:
        """Where a head's query, key or value projection lies.

        Raises:
            UnsupportedSite: the layer has no such head, or no layout of its projections passed the trial.
        """
        projection = self.module(Site(layer, Part.HEADS, head))
        if layer not in self._layouts:
            self._layouts[layer] = self._layout(layer, projection)
        return self._slice(layer, head, which, self._layouts[layer])

    def parameter_name(self, parameter: nn.Parameter) -> str:
        """The name of a parameter, as in `named_parameters`."""
        return self._names[id(parameter)]

    def _layer(self, block: nn.Module) -> Layer:
        attention = next((m for _, m in block.named_modules() if m is not block and self._is_attention(m)), None)
        linears = [m for m in block.modules() if _is_linear(m) and _width(m, "out") == self.hidden]
        inside = set(attention.modules()) if attention is not None else set()
        ends = [m for m in linears if m in inside]
        outside = [m for m in linears if m not in inside]
        return Layer(block, attention, ends[-1] if ends else None, outside[-1] if outside and attention else None)

    def _is_attention(self, module: nn.Module) -> bool:
        """Attention holds linear maps of its own, the last of them to D, and knows its layer or its heads."""
        own = [child for child in module.children() if _is_linear(child)]
        knows = hasattr(module, "layer_idx") or hasattr(module, "num_heads") or hasattr(module, "num_attention_heads")
        return self.heads > 0 and len(own) >= 2 and knows and _width(own[-1], "out") == self.hidden

    def _check(self) -> None:
        """Drop parts that a short forward pass does not call exactly once with the shapes they should have."""
        calls: dict[int, list[tuple[Tensor, Tensor]]] = {}

        def seen(module: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any], output: Any) -> None:
            first = next((a for a in (*arguments, *given.values()) if isinstance(a, Tensor)), torch.empty(0))
            calls.setdefault(id(module), []).append((first.detach().clone(), first_tensor(output)))

        wanted = {m for layer in self.layers for m in (layer.block, layer.mlp) if m is not None}
        wanted |= {m for layer in self.layers if layer.attention is not None for m in layer.attention.children()}
        handles = [module.register_forward_hook(seen, with_kwargs=True) for module in wanted]
        try:
            probe(self.hf)
        finally:
            for handle in handles:
                handle.remove()

        def once(module: nn.Module | None) -> bool:
            made = calls.get(id(module), [])
            return len(made) == 1 and made[0][1].shape[-1] == self.hidden

        def ends(layer: Layer) -> bool:
            """The output projection reads what no other map of attention reads; queries, keys, values share theirs."""
            if layer.attention is None or not once(layer.projection):
                return False
            read = calls[id(layer.projection)][0][0]
            others = [m for m in layer.attention.children() if _is_linear(m) and m is not layer.projection]
            return not any(torch.equal(read, made[0]) for other in others for made in calls.get(id(other), []))

        for layer in self.layers:
            if not once(layer.block):
                raise UnsupportedSite(
                    f"{type(self.hf).__name__}: a block is called {len(calls.get(id(layer.block), []))} times in one "
                    "forward pass, or not with the hidden size. Its layers cannot be told apart; please report it."
                )
        self.layers = [
            Layer(
                layer.block,
                layer.attention if ends(layer) else None,
                layer.projection if ends(layer) else None,
                layer.mlp if once(layer.mlp) else None,
            )
            for layer in self.layers
        ]

    def _layout(self, layer: int, projection: nn.Module) -> Literal["split", "contiguous", "grouped"]:
        """The first layout for which taking away a head's value rows silences that head and no other."""
        layouts: tuple[Literal["split", "contiguous", "grouped"], ...] = ("split", "contiguous", "grouped")
        untouched = self._head_outputs(projection)
        audible = [head for head in range(self.heads) if (untouched[:, head] != 0).any()] or [0]
        for layout in layouts:
            try:
                trial = [self._slice(layer, head, "v", layout) for head in (audible[0], audible[-1])]
            except UnsupportedSite:
                continue
            if all(self._silences(projection, place, untouched) for place in trial):
                return layout
        raise UnsupportedSite(
            f"Which rows of the projections of {type(self.hf).__name__} belong to which head could not be found out."
        )

    def _silences(self, projection: nn.Module, place: HeadSlice, untouched: Tensor) -> bool:
        with _zeroed(self.hf, place):
            found = self._head_outputs(projection)
        quiet = torch.zeros(self.heads, dtype=torch.bool)
        quiet[list(place.shared)] = True
        still = (found[:, quiet] == 0).all() and (untouched[:, quiet] != 0).any()
        return bool(still) and torch.equal(found[:, ~quiet], untouched[:, ~quiet])

    def _head_outputs(self, projection: nn.Module) -> Tensor:
        """Input of the projection in a short forward pass, [tokens, H, K]."""
        caught: list[Tensor] = []
        handle = projection.register_forward_pre_hook(lambda _, given: caught.append(given[0].detach().clone()))
        try:
            probe(self.hf)
        finally:
            handle.remove()
        return caught[0].reshape(-1, self.heads, self.head_width)

    def _slice(
        self, layer: int, head: int, which: Projected, layout: Literal["split", "contiguous", "grouped"]
    ) -> HeadSlice:
        attention = self.layer(layer).attention
        projection = self.layer(layer).projection
        assert attention is not None  # `module` found its heads
        width = self.head_width
        maps = {name: m for name, m in attention.named_children() if _is_linear(m) and m is not projection}
        if layout == "split":
            named = [m for name, m in maps.items() if name.lstrip("_").startswith(which)]
            if len(maps) < 3 or len(named) != 1 or _width(named[0], "out") % width:
                raise UnsupportedSite(f"{type(attention).__name__} has no projection of its own for {which!r}")
            module, groups = named[0], _width(named[0], "out") // width
            start = (head * groups // self.heads) * width
        else:
            module = next(iter(maps.values()), None) if len(maps) == 1 else None  # type: ignore[assignment]
            if module is None or _width(module, "out") % width:
                raise UnsupportedSite(f"{type(attention).__name__} has no fused projection")
            groups, odd = divmod(_width(module, "out") // width - self.heads, 2)
            if odd or groups < 1 or self.heads % groups:
                raise UnsupportedSite(f"{type(attention).__name__} has a projection of unknown layout")
            start = _fused_start(head, which, layout, self.heads, groups) * width
            groups = self.heads if which == "q" else groups
        if which == "q" and groups != self.heads:
            raise UnsupportedSite(f"{type(attention).__name__} has fewer queries than heads")
        per = self.heads // groups
        shared = tuple(range(head // per * per, head // per * per + per))
        bias = getattr(module, "bias", None)
        weight: Any = module.weight
        return HeadSlice(
            self.parameter_name(weight),
            1 if isinstance(module, Conv1D) else 0,
            tuple(range(start, start + width)),
            self.parameter_name(bias) if isinstance(bias, nn.Parameter) else "",
            shared,
        )


def _fused_start(head: int, which: Projected, layout: str, heads: int, groups: int) -> int:
    """Which block of K rows of a fused projection it is.

    contiguous: all queries, then all keys, then all values. grouped: for each group its queries, its key, its value.
    """
    per = heads // groups
    group, inside = divmod(head, per)
    if layout == "contiguous":
        return {"q": head, "k": heads + group, "v": heads + groups + group}[which]
    return group * (per + 2) + {"q": inside, "k": per, "v": per + 1}[which]


def first_tensor(output: Any) -> Tensor:
    """The hidden state in what a module returns: a tensor, or the first of a tuple."""
    found = output[0] if isinstance(output, tuple) else output
    assert isinstance(found, Tensor)
    return found


def with_first(output: Any, tensor: Tensor) -> Any:
    """What a module returned with another hidden state."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


def probe(hf: PreTrainedModel) -> None:
    """A short forward pass over different tokens."""
    from evenhand.model.packed import input_device

    vocabulary = hf.config.get_text_config(decoder=True).vocab_size
    ids = (torch.arange(_PROBE, device=input_device(hf)) * 7 + 3) % vocabulary
    with torch.inference_mode():
        hf(input_ids=ids[None])


@contextmanager
def _zeroed(hf: PreTrainedModel, place: HeadSlice) -> Iterator[None]:
    """The model without the rows of a slice, and without their bias."""
    parameters = dict(hf.named_parameters())
    index = torch.tensor(place.index)
    axes = [(parameters[place.param], place.axis)] + ([(parameters[place.bias], 0)] if place.bias else [])
    kept = [parameter.detach().clone() for parameter, _ in axes]
    try:
        with torch.no_grad():
            for parameter, axis in axes:
                parameter.index_fill_(axis, index.to(parameter.device), 0.0)
        yield
    finally:
        with torch.no_grad():
            for (parameter, _), old in zip(axes, kept, strict=True):
                parameter.copy_(old)


def _blocks(hf: PreTrainedModel) -> list[nn.Module]:
    names = set(getattr(hf, "_no_split_modules", None) or ())
    lists: list[list[nn.Module]] = [
        list(module)
        for module in hf.modules()
        if isinstance(module, nn.ModuleList) and len(module) and all(type(one).__name__ in names for one in module)
    ]
    if not lists:
        raise UnsupportedSite(
            f"{type(hf).__name__} does not say which of its modules are blocks, so its layers cannot be found."
        )
    return max(lists, key=len)


def _is_linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(module, nn.Linear | Conv1D) and isinstance(weight, nn.Parameter)


def _width(module: nn.Module | None, side: Literal["in", "out"]) -> int:
    """Inputs or outputs of a linear map; a Conv1D keeps its weight the other way round."""
    weight: Any = getattr(module, "weight", None)
    if weight is None or weight.dim() != 2:
        return 0
    rows, columns = weight.shape
    transposed = isinstance(module, Conv1D)
    return int(rows if (side == "out") != transposed else columns)
