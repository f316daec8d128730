"""Two processes learn what one learns. They draw their own dropout, so without; and sums differ in their last bits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.mitigate import parallel_fit

ROOT = Path(__file__).parents[2]


def launched(file: Path, processes: int) -> list[parallel_fit.Tensors]:
    """What each process learned; `accelerate launch` starts them, and they speak to each other through gloo."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port), "-m", "tests.mitigate.parallel_fit", str(file)]
    given = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [load_file(f"{file}-{rank}.safetensors") for rank in range(processes)]


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    """The gradient of one step to 1e-5, the terms of every step, and nearly where a short run of AdamW ends."""
    alone = parallel_fit.learned(1)
    first, second = launched(tmp_path / "learned", 2)
    assert first.keys() == second.keys() == alone.keys()
    assert max(float(tensor.abs().max()) for name, tensor in alone.items() if name.startswith("sgd/delta")) > 0.1
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        kind, _, what = name.partition("/")
        near = 1e-5 if kind == "sgd" else 1e-4 if what.startswith("history") else 1e-3
        torch.testing.assert_close(
            first[name], tensor, atol=near, rtol=near, msg=lambda text, name=name: f"{name}: {text}"
        )
