"""What a step of KLAAD costs over a plain step of fine-tuning on the same sentences, in time and in memory.

    python benchmarks/training_cost.py [--row NAME] [--rounds 9] [--table]

A step is a forward and a backward pass and one step of AdamW, with the adapters that are the default. The rows of time
take eight items of StereoSet, all three sentences of each; steps take turns, so that all meet the same load, and each
number is the median of the rounds by the processor's time. `twins alone` trains on two of the three sentences. The rows
of memory take one triplet of 512 tokens a text that differ in every hundredth token; each step runs in a process of its
own, and what counts is its highest use above that of the plain step. It can be negative: the plain step takes the
likelihood of all three texts, `klaad` that of two, and with a large vocabulary that is most of the memory. `whole` asks
transformers for the attention of all layers instead (output_attentions=True, which needs its eager attention) and
computes the same term. One thread.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import evenhand as eh
import ledger
from evenhand.measure._plan import configured
from evenhand.mitigate import _adapters, _klaad_terms, _trainer
from evenhand.mitigate._kept import as_it_was
from evenhand.mitigate._klaad import Objective, texts_of
from evenhand.mitigate._klaad_balance import Balance
from evenhand.mitigate._train import Batch, next_token_loss
from evenhand.mitigate._triplets import corresponding, triplet
from evenhand.mitigate.klaad import Klaad
from evenhand.mitigate.klaad_balanced import KlaadBalanced
from evenhand.model import Model
from footprint import resident
from turns import compared, in_turns, processor_time

ROWS = ["time in float32", "time in bfloat16", "memory in float32"]
EXAMPLES, LENGTH = 8, 512
KINDS = ("plain", "klaad", "whole")
Step = Callable[[], None]
Loss = Callable[[Any, Batch], Mapping[str, torch.Tensor]]


@contextmanager
def stepping(model: Model) -> Iterator[Callable[[Loss, Batch], Step]]:
    """Adapters in place; makes a step of a loss on a batch."""
    settings = Klaad()
    with as_it_was(model.hf):
        model.hf.requires_grad_(False)
        _adapters.attach(
            model.hf, _adapters.maps_of(model.anatomy, settings), settings, torch.Generator().manual_seed(0)
        )
        trained = [one for one in model.hf.parameters() if one.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=settings.lr)
        model.hf.train()

        def step_of(loss: Loss, batch: Batch) -> Step:
            def step() -> None:
                optimiser.zero_grad()
                torch.autograd.backward(loss(model.hf, batch)["loss"].mean())
                optimiser.step()

            return step

        yield step_of


def times(name: str, dtype: Any, rounds: int) -> ledger.Json:
    """Medians of seconds for each kind of step, and its ratio to the plain step of the same round."""
    torch.set_num_threads(1)
    model = eh.Model.load(name, dtype=dtype, device="cpu")
    items = eh.items(configured("stereoset", {}), fold="fit", limit=EXAMPLES).items
    found = [triplet(one) for one in items]
    balanced = KlaadBalanced()
    three, two = ([one.texts[:count] for one in found] for count in (3, 2))
    batch, twins = (_trainer.batched(_trainer.encoded(model, texts, 64), model.device) for texts in (three, two))
    more = Balance(model, balanced, found, texts_of(found, balanced), np.random.default_rng(0))
    with stepping(model) as step_of:
        steps = {
            "plain": step_of(next_token_loss, batch),
            "klaad": step_of(Objective(model, Klaad()), batch),
            "klaad_balanced": step_of(Objective(model, balanced, more), batch),
            "twins alone": step_of(next_token_loss, twins),
        }
        turns = in_turns({kind: processor_time(step) for kind, step in steps.items()}, rounds)
    result = {}
    for kind, of in turns.items():
        one = compared(turns["plain"], of)["cpu"]
        result[kind] = {"seconds": one["with"], "ratio": one["ratio"], "ratios": one["ratios"]}
    return result | {"shape": list(batch.tokens.shape)}


def memory(name: str) -> ledger.Json:
    """Bytes above the plain step, of `klaad` and of the same loss with all attention."""
    found = {}
    for kind in KINDS:
        command = [sys.executable, __file__, "--apart", kind, "--model", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The process whose memory was to be measured failed:\n{done.stderr[-2000:]}")
        found[kind] = json.loads(done.stdout.splitlines()[-1])
        ledger.note(f"{kind}: {found[kind]}")
    above = {kind: found[kind]["peak"] - found["plain"]["peak"] for kind in KINDS[1:]}
    return {**found, "above": above}


def apart(name: str, kind: str) -> ledger.Json:
    """One kind of step in this process: bytes held before it, and at its highest."""
    torch.set_num_threads(1)
    model = eh.Model.load(name, dtype="float32", device="cpu")
    generator = torch.Generator().manual_seed(0)
    size = model.hf.config.get_text_config().vocab_size
    tokens = torch.randint(size // 2, (3, LENGTH), generator=generator)
    tokens[1] = tokens[0]
    tokens[1, 50::100] += size // 2
    batch = Batch(tokens, torch.ones_like(tokens), torch.tensor([0]))
    if kind == "whole":
        model.hf.set_attn_implementation("eager")
    losses: dict[str, Loss] = {"plain": next_token_loss, "klaad": Objective(model, Klaad()), "whole": whole}
    with stepping(model) as step_of:
        step = step_of(losses[kind], batch)
        short = Batch(tokens[:, :16], batch.mask[:, :16], batch.index)
        step_of(next_token_loss, short)()  # everything is in memory once
        held = resident()
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        step()
    return {"held": held, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def whole(network: Any, batch: Batch) -> Mapping[str, torch.Tensor]:
    """KLAAD's loss from the attention of all layers and the hidden states of all, as transformers returns them."""
    settings = Klaad()
    out = network(
        input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False, output_attentions=True,
        output_hidden_states=True,
    )  # fmt: skip
    surprisals = _klaad_terms.surprisals(out.logits[:2], batch.tokens[:2])
    kept = [corresponding(batch.tokens[0].tolist(), batch.tokens[1].tolist(), "match")]
    weights = out.attentions[-1][:2]
    terms = (
        _klaad_terms.mean_over(surprisals, batch.mask[:2, 1:]).mean(),
        _klaad_terms.attention_gap(weights, kept, heads="each", paper_softmax=False, teacher="none").mean(),
        _klaad_terms.triplet_loss(out.hidden_states[-1], batch.mask, margin=settings.wide, pool="mean").mean(),
    )
    weighted = zip(settings.weighting.values(), terms, strict=True)
    return {"loss": torch.stack([weight * term for weight, term in weighted]).sum()}


def measure(row: str, name: str, rounds: int) -> ledger.Json:
    """One row."""
    what, _, dtype = row.partition(" in ")
    return memory(name) if what == "memory" else times(name, dtype, rounds)


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    shown, of = {"row": entry["row"]}, entry["result"]
    if "above" in of:
        shown |= {f"{kind}, MiB above a plain step": f"{held / 2**20:.0f}" for kind, held in of["above"].items()}
        more = of["above"]["klaad"] > 0
        return shown | {"ratio": f"{of['above']['whole'] / of['above']['klaad']:.1f}" if more else "nothing above"}
    shown["plain step, s"] = f"{of['plain']['seconds']:.2f}"
    return shown | {f"{kind} / plain": f"{of[kind]['ratio']:.2f}" for kind in of if kind not in ("plain", "shape")}


def main() -> None:
    """Command line."""
    parser = ledger.parser(__doc__, ROWS)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of steps in turn (default: %(default)s)")
    parser.add_argument("--model", default="smollm2", help="name or folder (default: %(default)s)")
    parser.add_argument("--apart", choices=KINDS, help="for the script itself: one step's memory, in this process")
    options = parser.parse_args()
    if options.apart:
        ledger.say(json.dumps(apart(options.model, options.apart)))
        return
    book = ledger.Ledger("training_cost", options.out)
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return
    facts = {"model": options.model, "examples": EXAMPLES, "length": LENGTH}
    rounds = options.rounds
    ledger.run(
        book,
        options.row or ROWS,
        lambda row: {**facts, **({} if row.startswith("memory") else {"rounds": rounds})},
        lambda row: measure(row, options.model, rounds),
        cells,
    )


if __name__ == "__main__":
    main()
