"""A model lent to a trainer and given back as it was, bit by bit, also after an error or Ctrl-C.

Trainers change more than they say: adapters take the place of layers, parameters are frozen, training mode is switched
on, attributes appear on the model, the process-wide generators of Python, NumPy and torch are seeded, and accelerate
remembers device and precision for the rest of the process.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState  # type: ignore[import-untyped]
from torch import Tensor, nn


@contextmanager
def as_it_was(network: nn.Module, changed: Sequence[nn.Parameter] = ()) -> Iterator[None]:
    """Put everything back at the end.

    Args:
        network: what is lent; layers that were replaced return, attributes that were added go.
        changed: its parameters whose values the trainer may change; a copy of each is kept.
    """
    modules = [(module, dict(module._modules), module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in network.parameters()]
    values = [(parameter, parameter.detach().clone()) for parameter in changed]
    attributes = dict(network.__dict__)
    try:
        with generators_as_they_were(), accelerate_as_it_was():
            yield
    finally:
        for module, children, training in modules:
            module._modules.clear()
            module._modules.update(children)
            module.training = training
        for name in set(network.__dict__) - set(attributes):
            del network.__dict__[name]
        with torch.no_grad():
            for parameter, value in values:
                parameter.copy_(value)
        for parameter, wanted, gradient in flags:
            parameter.requires_grad_(wanted)
            parameter.grad = gradient


@contextmanager
def generators_as_they_were() -> Iterator[None]:
    """Let libraries seed the process-wide generators and put their states back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda: Any = torch.cuda
    devices = range(cuda.device_count()) if cuda.is_initialized() else ()
    metal: Any = torch.mps if torch.backends.mps.is_available() else None
    kept: Tensor | None = metal.get_rng_state() if metal else None
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if metal:
            metal.set_rng_state(kept)


@contextmanager
def accelerate_as_it_was() -> Iterator[None]:
    """Let a trainer set up accelerate in its own way; the caller's `Accelerator`, before or after, sees nothing."""
    states: list[Any] = [AcceleratorState, PartialState, GradientState]
    kept = [dict(state._shared_state) for state in states]
    for state in states:
        state._shared_state.clear()
    try:
        yield
    finally:
        for state, content in zip(states, kept, strict=True):
            state._shared_state.clear()
            state._shared_state.update(content)
