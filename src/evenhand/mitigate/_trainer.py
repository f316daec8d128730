"""transformers' Trainer, made quiet: nothing on disk, nothing on the screen, and the model given back as it was.

Traps that it steps round: a batch without the key `labels` and a loss that is said to be unscaled, so that gradient
accumulation divides once; no column of the examples is dropped; loss, adapters and extra modules are one module with
one forward, so that wrapping it (mixed precision, several processes) reaches everything. Under `accelerate launch` each
process sees its share of every step's examples: `batch` is for one process, gradients and reported terms are means over
all. Shares are of equal size, so a number of examples that cannot be shared out makes some count twice.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from evenhand.core.errors import DataError, UsageError
from evenhand.core.requests import Compare
from evenhand.mitigate import _adapters
from evenhand.mitigate._kept import as_it_was
from evenhand.mitigate._train import Batch, Loss, Step, Trained, TrainSettings
from evenhand.model.encode import Encoder

if TYPE_CHECKING:
    from evenhand.model import Model

SHORT = 128
"""Tokens up to which a text is short for attention."""
_Example = tuple[int, tuple[tuple[int, ...], ...]]


class _Whole(nn.Module):
    """The network, what is trained beside it, and the loss, as one module."""

    def __init__(self, network: nn.Module, extra: nn.Module | None, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self.extra = extra
        self.loss = loss

    def forward(self, tokens: Tensor, mask: Tensor, index: Tensor) -> dict[str, Tensor]:
        """One number per example and term."""
        return dict(self.loss(self.network, Batch(tokens, mask, index)))


class _Quiet(Trainer):
    """Takes the mean of the examples' losses and remembers the terms of every step."""

    loss_is_scaled_for_ga = False
    steps: list[Step]
    terms: dict[str, list[Tensor]]
    tell: Callable[[int, int], None] | None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Mean over the examples of a batch.

        Raises:
            UsageError: it is not finite.
        """
        found = model(**inputs)
        loss = found["loss"].mean().to(self.args.device)
        if not math.isfinite(loss.item()):
            raise UsageError(
                f"Training diverged: the loss is {loss.item()} after {self.state.global_step} steps. Lower lr, or give "
                "warmup."
            )
        for name, values in found.items():
            self.terms.setdefault(name, []).append(values.detach().float().mean())
        return (loss, found) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Called after every step."""
        if "grad_norm" in logs and self.terms:
            means = torch.stack([torch.stack(values).mean() for values in self.terms.values()])
            if self.accelerator.num_processes > 1:  # each has seen its own examples
                means = self.accelerator.reduce(means, "mean")
            terms = dict(zip(self.terms, means.tolist(), strict=True))
            self.steps.append(Step(terms, float(logs["grad_norm"]), float(logs["learning_rate"])))
            self.terms.clear()
            if self.tell is not None:
                self.tell(self.state.global_step, self.state.max_steps)
        super().log(logs, start_time)


def run(
    model: Model,
    texts: Sequence[tuple[str, ...]],
    loss: Loss,
    settings: TrainSettings,
    *,
    seed: int,
    extra: nn.Module | None,
    progress: Callable[[int, int], None] | None,
) -> Trained:
    """See `evenhand.mitigate._train.train`."""
    network, anatomy = model.hf, model.anatomy
    dtypes = {parameter.dtype for parameter in network.parameters()}
    if not dtypes <= ({torch.float32, torch.bfloat16} if settings.rank else {torch.float32}):
        raise UsageError(
            f"{model.name} is in {', '.join(sorted(str(d).removeprefix('torch.') for d in dtypes))}: too coarse to be "
            "trained. Load it with --dtype float32" + (" or bfloat16." if settings.rank else ", or train adapters.")
        )
    examples = encoded(model, texts, settings.length)
    maps = _adapters.maps_of(anatomy, settings) if settings.rank else {}
    named = {} if settings.rank else _adapters.parameters_of(anatomy, settings)
    generator = torch.Generator().manual_seed(seed)
    with as_it_was(network, list(named.values())):
        network.requires_grad_(False)
        if settings.rank:
            _adapters.attach(network, maps, settings, generator)
        before = {name: parameter.detach().clone() for name, parameter in named.items()}
        for parameter in named.values():
            parameter.requires_grad_(True)
        whole = _Whole(network, extra, loss)
        steps, notes = _train(whole, examples, settings, seed, torch.device(model.device), progress)
        tensors = _adapters.folded(network) if settings.rank else {}
        for name, parameter in named.items():
            tensors[f"delta:{name}"] = (parameter.detach().float() - before[name].float()).cpu()
        for name, parameter in extra.named_parameters() if extra is not None else ():
            tensors[f"extra:{name}"] = parameter.detach().float().cpu().clone()
    count = sum(tensor.numel() for tensor in tensors.values())
    return Trained(tensors, steps, (*notes, *_told(steps, len(examples), count)))


def encoded(model: Model, texts: Sequence[tuple[str, ...]], length: int) -> list[_Example]:
    """Token ids as they are scored: from the model's beginning of text on, cut to `length` and to the context.

    A classifier's have the special tokens that its tokenizer gives them.

    Raises:
        DataError: there are no texts.
        UsageError: examples hold different numbers of texts, or a text has no tokens.
    """
    if not texts:
        raise DataError("There is nothing to train on: no text was left of the items. Fit on other items.")
    if len({len(example) for example in texts}) != 1:
        raise UsageError("Every example must hold the same number of texts.")
    encoder = Encoder(model.tokenizer, model.hf.config)
    length = min(length, encoder.length)
    if model.task == "classifier":
        flat = [text for example in texts for text in example]
        cut = [tuple(row) for row in model.tokenizer(flat, truncation=True, max_length=length)["input_ids"]]
        each = len(texts[0])
        return [(number, tuple(cut[number * each : (number + 1) * each])) for number in range(len(texts))]
    done = encoder.encode([Compare(example) for example in texts])
    return [
        (number, tuple(done.texts[windows[0]].tokens[:length] for windows in parts))
        for number, parts in enumerate(done.parts)
    ]


def batched(examples: Sequence[_Example], device: str) -> Batch:
    """Encoded examples as the batch of one forward pass."""
    return Batch(**{name: tensor.to(device) for name, tensor in _collated(examples).items()})


def _collated(examples: Sequence[_Example]) -> dict[str, Tensor]:
    """Rows padded on the right: the first text of every example, then the second of every example, ..."""
    rows = [torch.tensor(ids) for same in zip(*(texts for _, texts in examples), strict=True) for ids in same]
    lengths = torch.tensor([len(row) for row in rows])
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
    return {"tokens": tokens, "mask": mask, "index": torch.tensor([number for number, _ in examples])}


def _train(
    whole: _Whole,
    examples: list[_Example],
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    native = _bfloat16(device)
    notes = () if native or not settings.autocast else ("Computed in float32: bfloat16 is not native on this device.",)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            learning_rate=settings.lr,
            num_train_epochs=settings.epochs,
            max_steps=settings.steps or -1,
            per_device_train_batch_size=settings.batch,
            gradient_accumulation_steps=settings.accumulation,
            warmup_steps=settings.warmup,
            weight_decay=settings.decay,
            max_grad_norm=settings.clip,
            seed=seed,
            data_seed=seed,
            bf16=settings.autocast and native,
            use_cpu=device.type == "cpu",
            remove_unused_columns=False,
            label_names=[],
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="steps",
            logging_steps=1,
            logging_nan_inf_filter=False,
            dataloader_pin_memory=False,
        )
        _ = arguments.device  # finds the devices
        arguments._n_gpu = min(1, arguments.n_gpu)  # several would each get a copy of the model
        trainer = _Quiet(model=whole, args=arguments, data_collator=_collated, train_dataset=examples)
        trainer.remove_callback(PrinterCallback)
        trainer.steps, trainer.terms, trainer.tell = [], {}, progress
        with _quick_attention(device, settings.length):
            trainer.train()
    return tuple(trainer.steps), notes


def _quick_attention(device: torch.device, length: int) -> AbstractContextManager[None]:
    """On the CPU torch's fused attention goes back slowly through short texts; plain matrix products are faster."""
    plain = device.type == "cpu" and length <= SHORT
    return cast("AbstractContextManager[None]", sdpa_kernel(SDPBackend.MATH)) if plain else nullcontext()


def _bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 faster than in float32."""
    backends: Any = torch.backends
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _told(steps: Sequence[Step], examples: int, numbers: int) -> tuple[str, ...]:
    """What a reader wants to know: how much was trained, and how each term went from the first tenth to the last."""
    part = max(1, len(steps) // 10)
    out = [f"Trained {numbers:,} numbers in {len(steps):,} steps on {examples:,} examples."]
    for name in steps[0].terms if steps else ():
        first, last = (sum(one.terms[name] for one in some) / part for some in (steps[:part], steps[-part:]))
        out.append(f"{name}: {first:.4g} in the first {part} steps, {last:.4g} in the last.")
    return tuple(out)
