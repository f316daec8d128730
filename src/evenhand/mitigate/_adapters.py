"""Which parameters are trained: low-rank adapters on linear maps (LoRA, by peft), or the parameters themselves.

A trained adapter is read as a change of the weight it stands beside: `scale * B @ A`, with B [out, r] and A [r, in],
for a linear map, and its transpose for a `Conv1D`, which keeps its weight as [in, out].
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from evenhand.core.errors import UnknownName, UnsupportedSite, UsageError

if TYPE_CHECKING:
    from evenhand.mitigate._train import TrainSettings
    from evenhand.model.anatomy import Anatomy

ADAPTER = "evenhand"


def layers_of(anatomy: Anatomy, settings: TrainSettings) -> list[int]:
    """Numbers of the layers to train.

    Raises:
        UnsupportedSite: the model has no such layer.
    """
    count = len(anatomy.layers)
    if settings.layers == "all":
        return list(range(count))
    if settings.layers == "upper":
        return list(range(count // 2, count))
    for number in settings.layers:
        anatomy.layer(number)
    return sorted(set(settings.layers))


def maps_of(anatomy: Anatomy, settings: TrainSettings) -> dict[str, nn.Module]:
    """The linear maps to train, by their full names, in the model's order.

    Raises:
        UnsupportedSite: no attention or feed-forward part was found.
        UnknownName: no map has the name that was given.
    """
    names = {id(module): name for name, module in anatomy.hf.named_modules()}
    found: dict[str, nn.Module] = {}
    seen: set[str] = set()
    wanted = {part.strip() for part in settings.targets.split(",")}
    for number in layers_of(anatomy, settings):
        layer = anatomy.layers[number]
        inside = set(layer.attention.modules()) if layer.attention is not None else set()
        for module in layer.block.modules():
            if not isinstance(module, nn.Linear | Conv1D):
                continue
            name = names[id(module)]
            last = name.rpartition(".")[2]
            seen.add(last)
            part = "attention" if module in inside else "mlp" if layer.mlp is not None else ""
            if settings.targets == part or settings.targets == "all" or last in wanted:
                found[name] = module
    if not found and settings.targets in {"attention", "mlp", "all"}:
        raise UnsupportedSite(
            f"{type(anatomy.hf).__name__} has no linear maps of '{settings.targets}' that could be found. "
            f"Name them: targets={','.join(sorted(seen)) or '...'}."
        )
    for name in sorted(wanted - seen if settings.targets not in {"attention", "mlp", "all"} else ()):
        raise UnknownName("linear map in these layers", name, seen)
    return found


def parameters_of(anatomy: Anatomy, settings: TrainSettings) -> dict[str, nn.Parameter]:
    """The parameters that full training changes, by name: all of them, or weights and biases of the chosen maps.

    Raises:
        UnsupportedSite: no attention or feed-forward part was found.
        UnknownName: no map has the name that was given.
    """
    named = dict(anatomy.hf.named_parameters())
    if settings.targets == "all" and settings.layers == "all":
        return named
    if settings.targets == "all":
        chosen = [anatomy.layers[number].block for number in layers_of(anatomy, settings)]
    else:
        chosen = list(maps_of(anatomy, settings).values())
    wanted = {id(parameter) for module in chosen for parameter in module.parameters()}
    return {name: parameter for name, parameter in named.items() if id(parameter) in wanted}


def attach(network: Any, maps: dict[str, nn.Module], settings: TrainSettings, generator: torch.Generator) -> None:
    """Put adapters beside these maps. A is drawn from the generator as peft's default does, B is zero.

    A is uniform in +-1/sqrt(inputs); B is zero, so that at first the model is unchanged. Adapters are in float32 also
    beside weights in bfloat16, where small steps and the optimiser's means of squares would be lost.
    """
    alpha: Any = settings.alpha  # peft divides it by the rank; it need not be whole
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=alpha,
        lora_dropout=settings.dropout,
        target_modules=list(maps),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in maps.values()),
        bias="none",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns of Conv1D beside Linear, and then does the right thing
        inject_adapter_in_model(config, network, adapter_name=ADAPTER)
    for module in network.modules():
        if isinstance(module, LoraLayer):
            made: Any = module.lora_A[ADAPTER].float()
            module.lora_B[ADAPTER].float()
            weight: Tensor = made.weight
            bound = 1 / math.sqrt(weight.shape[1])
            drawn = torch.rand(weight.shape, generator=generator) * 2 * bound - bound
            with torch.no_grad():
                weight.copy_(drawn)


def folded(network: Any, adapter: str = ADAPTER) -> dict[str, Tensor]:
    """Trained adapters as changes of weights: "up:NAME" [rows, r] and "down:NAME" [r, columns], float32 on the CPU.

    NAME is the parameter's own, in its own orientation; the scale is in `up`.

    Raises:
        UsageError: the adapters are of a kind that is no low-rank change of a weight (DoRA, biases, whole modules), or
            scaled by another rule (rsLoRA).
    """
    config = network.peft_config[adapter]
    odd = [
        said
        for said, found in (
            ("DoRA", config.use_dora),
            ("rsLoRA", config.use_rslora),
            ("biases", config.bias != "none" or getattr(config, "lora_bias", False)),
            ("whole modules", bool(config.modules_to_save)),
            ("parameters that are no module's weight", bool(getattr(config, "target_parameters", None))),
        )
        if found
    ]
    if odd:
        raise UsageError(
            f"The adapter {adapter!r} holds {', '.join(odd)}: that is not read as a change of weights. Train a plain "
            "LoRA (bias='none', no modules_to_save, use_rslora=False, use_dora=False)."
        )
    tensors: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if not isinstance(module, LoraLayer) or adapter not in module.lora_A:
            continue
        base = module.get_base_layer()
        if not isinstance(base, nn.Linear | Conv1D):
            raise UsageError(f"{name} is a {type(base).__name__}; adapters are read on linear maps only.")
        above: Any = module.lora_B[adapter]
        below: Any = module.lora_A[adapter]
        up = above.weight.detach().float().cpu() * float(module.scaling[adapter])
        down = below.weight.detach().float().cpu()
        if isinstance(base, Conv1D):
            up, down = down.T, up.T
        tensors[f"up:{name}.weight"] = up.contiguous().clone()
        tensors[f"down:{name}.weight"] = down.contiguous().clone()
    return tensors
