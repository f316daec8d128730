"""Rotary positions from outside: which angles a model turns queries and keys by, and turning them further.

A model's own rotary modules say how much; `rotate_half` of its own source file says which numbers are turned together.
Whether both were understood is tried out: keys of the same tokens a few places later must be the old ones, turned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.errors import UnsupportedSite

UNTURNED = 1e-3
"""Largest difference of turned keys, relative to the largest key, in float32."""
_BY_LENGTH = ("dynamic", "longrope")
"""Kinds of rotary positions whose angles depend on the length of the text."""


@dataclass(slots=True)
class Angles:
    """The angles of a forward pass as one rotary module gave them.

    Attributes:
        module: the rotary module.
        extra: what it was called with besides the hidden state and the positions (a type of layer).
        positions: int [B or 1, L] of the queries of the pass.
    """

    module: nn.Module
    extra: dict[str, Any]
    positions: Tensor
    _table: tuple[Tensor, Tensor] | None = None

    def turned(self, x: Tensor, places: Tensor) -> Tensor:
        """X [..., K] turned by so many places [...] (broadcast; may be negative), in float32."""
        cos, sin = self._lookup(places)
        rot = cos.shape[-1]
        part = x[..., :rot].float()
        made = part * cos + _half(self.module)(part) * sin
        rest = x[..., rot:].float()
        return torch.cat((made, rest.expand(*made.shape[:-1], rest.shape[-1])), dim=-1) if rest.shape[-1] else made

    def _lookup(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines [..., rot] of unit length."""
        size = int(places.abs().max()) + 1 if places.numel() else 1
        if self._table is None or len(self._table[0]) < size:
            steps = torch.arange(max(size, 64), device=places.device)[None]
            like = torch.zeros(1, dtype=torch.float32, device=places.device)
            with torch.no_grad():
                cos, sin = self.module.forward(like, steps, **self.extra)
            scale = (cos[0].double() ** 2 + sin[0].double() ** 2).sqrt()
            self._table = (cos[0] / scale).float(), (sin[0] / scale).float()
        cos, sin = self._table
        away = places.abs()
        return cos[away], sin[away] * places.sign()[..., None]


class Rotary:
    """Watches the rotary modules and the attention modules of one model while it is in place."""

    def __init__(self, hf: PreTrainedModel) -> None:
        self.hf = hf
        self._calls: list[tuple[Tensor, Angles]] = []
        self._of: dict[int, Angles] = {}

    def of(self, attention: nn.Module) -> Angles | None:
        """The angles that an attention module was handed in the pass under way, None if it was handed none."""
        return self._of.get(id(attention))

    @contextmanager
    def watching(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Keep the angles that the attention modules are handed.

        Raises:
            UnsupportedSite: the model has no rotary positions, or such that depend on the length of the text.
        """
        makers = [module for module in self.hf.modules() if _makes_angles(module)]
        if not makers:
            raise UnsupportedSite(
                f"{type(self.hf).__name__} has no rotary positions: the place of its tokens is in what they are, so "
                "segments cannot be seen in another order by each query. Use a model of a family with rotary positions "
                "(Llama, Qwen, Gemma, ...)."
            )
        kinds = {kind for module in makers for kind in _kinds(module)}
        if kinds & set(_BY_LENGTH):
            raise UnsupportedSite(
                f"{type(self.hf).__name__} has rotary positions of the kind {', '.join(sorted(kinds))}, whose angles "
                "depend on the length of the text; keys cannot be moved. Use another model."
            )
        with ExitStack() as undo:
            for module in makers:
                undo.callback(module.register_forward_hook(self._made, with_kwargs=True).remove)
            for module in modules:
                undo.callback(module.register_forward_pre_hook(self._handed, with_kwargs=True).remove)
            yield
        self._calls.clear()
        self._of.clear()

    def _made(self, module: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any], output: Any) -> None:
        extra = dict(given)
        positions = extra.pop("position_ids", None)
        extra.pop("x", None)
        rest = list(arguments[1:])
        positions = rest.pop(0) if positions is None else positions
        if rest:
            extra["layer_type"] = rest.pop(0)
        self._calls = [*self._calls[-7:], (output[0], Angles(module, extra, positions))]

    def _handed(self, module: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]) -> None:
        handed = given.get("position_embeddings")
        found = [angles for cos, angles in self._calls if isinstance(handed, tuple) and cos is handed[0]]
        if found:
            self._of[id(module)] = found[-1]
        else:
            self._of.pop(id(module), None)


def _makes_angles(module: nn.Module) -> bool:
    return any(name.endswith("inv_freq") for name, _ in module.named_buffers(recurse=False))


def _kinds(module: nn.Module) -> set[str]:
    stated = getattr(module, "rope_type", "default")
    return set(stated.values()) if isinstance(stated, dict) else {str(stated)}


def _half(module: nn.Module) -> Any:
    """The model's own way to pair the numbers that are turned together."""
    found = getattr(sys.modules[type(module).__module__], "rotate_half", None)
    if found is None:
        raise UnsupportedSite(f"How {type(module).__name__} pairs the numbers of a key could not be found.")
    return found
