"""What this machine computes with."""

from __future__ import annotations

from typing import Any, Literal

import torch

from evenhand.core.errors import UsageError

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def accelerator() -> str | None:
    """The accelerator that `--device auto` takes, None if there is only the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return str(found) if found is not None else None


def threads() -> int:
    """CPU threads of a forward pass."""
    return torch.get_num_threads()


def native_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 itself, so that `--dtype bfloat16` is faster than float32."""
    capable = torch.backends.cpu.get_cpu_capability()
    return "AMX" in capable or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def usable(device: str) -> str:
    """The device of this name; "auto" is the first accelerator, else the CPU.

    Raises:
        UsageError: it is not there.
    """
    if device != "auto":
        try:
            torch.zeros(1, device=device).item()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"--device {device} is not usable here: {reason}. Use --device cpu or auto.") from error
        return device
    return accelerator() or "cpu"


def torch_dtype(dtype: Dtype, device: str) -> Any:
    """The torch dtype; "auto" is float32 on the CPU and the stored dtype elsewhere."""
    if dtype == "auto":
        return torch.float32 if device == "cpu" else "auto"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
