"""Fits KLAAD in one of the processes that `accelerate launch` starts: `parallel_fit.py FILE`, see test_parallel.py.

Every process writes what it learned to FILE-RANK.safetensors: `sgd:NAME` after one plain step of length 1 without
clipping, which is the gradient with its sign turned, of all parameters; `adamw:NAME` after a short run with adapters.
`history:TERM` of both are the terms of every step.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tests.mitigate import gendered
from tests.mitigate.test_klaad import TEXTS, item

from evenhand.mitigate import _trainer
from evenhand.mitigate.klaad import Klaad
from evenhand.mitigate.klaad_balanced import KlaadBalanced

EXAMPLES = 8
Tensors = dict[str, torch.Tensor]


def learned(processes: int) -> Tensors:
    """Both runs, with eight examples in each step over all processes together."""
    items = [item(number, texts) for number, texts in enumerate(TEXTS + tuple((b, a, u) for a, b, u in TEXTS))]
    share = {"batch": EXAMPLES // 2 // processes, "accumulation": 2}
    whole = {"rank": 0, "targets": "all", "layers": "all", "clip": 0.0}
    sgd = Klaad(**share, **whole, steps=1, lr=1.0, attention=1.0, triplet=1.0)
    adamw = KlaadBalanced(**share, rank=4, alpha=8.0, layers="all", steps=4, lr=2e-3)
    arguments: Any = _trainer.TrainingArguments
    _trainer.TrainingArguments = lambda **given: arguments(**given, optim="sgd", lr_scheduler_type="constant")  # type: ignore[assignment,misc]
    try:
        one = sgd.fit(gendered.model(), items, np.random.default_rng(0)).tensors
    finally:
        _trainer.TrainingArguments = arguments  # type: ignore[misc]
    other = adamw.fit(gendered.model(), items, np.random.default_rng(0)).tensors
    return {
        f"{kind}/{name}": tensor for kind, found in (("sgd", one), ("adamw", other)) for name, tensor in found.items()
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    save_file(learned(world), Path(f"{sys.argv[1]}-{rank}.safetensors"))
