"""Training that ends in weight edits: what every method that learns by gradient shares. torch is imported when called.

    train(model, texts, loss, settings, seed=...)   low-rank adapters or full training, on transformers' Trainer
    weight_edits(tensors, amount)                   what was learned, as edits

A loss is a function of the network and a batch. It gives one number per example, and the trainer takes their mean: so
a batch of 8 and 4 batches of 2 give the same gradient, whatever the lengths of the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from evenhand.core.record import Frozen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from evenhand.core.edits import WeightEdit
    from evenhand.model import Model


class TrainSettings(Frozen):
    """How to train; base of every method that does, so that these are its settings on the command line too."""

    lr: Annotated[float, Field(gt=0, description="Highest learning rate of AdamW.")] = 2e-4
    epochs: Annotated[float, Field(gt=0, description="Passes over the texts.")] = 1.0
    steps: Annotated[int, Field(ge=0, description="Steps of the optimiser, instead of epochs; 0 = by epochs.")] = 0
    batch: Annotated[int, Field(ge=1, description="Examples in one forward pass.")] = 8
    accumulation: Annotated[int, Field(ge=1, description="Forward passes for one step of the optimiser.")] = 1
    rank: Annotated[
        int, Field(ge=0, description="Rank of the adapters (LoRA); 0 trains the chosen parameters themselves.")
    ] = 16
    alpha: Annotated[float, Field(gt=0, description="Adapters are scaled by alpha / rank.")] = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of the adapters' inputs that is dropped.")] = 0.0
    targets: Annotated[
        str,
        Field(
            pattern=r"^[\w ]+(,[\w ]+)*$",
            description="What is trained: attention, mlp, all, or names of linear maps joined by commas, e.g. "
            "q_proj,v_proj. With rank 0, all is every parameter of the layers, and of the model if layers is all too.",
        ),
    ] = "attention"
    layers: Annotated[
        Literal["all", "upper"] | tuple[int, ...],
        Field(description="Layers that are trained: all, upper (the upper half), or numbers from 0 on, e.g. 3,20-29."),
    ] = "upper"
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0.")
    ] = 0.0
    decay: Annotated[float, Field(ge=0, description="Weight decay of AdamW.")] = 0.0
    clip: Annotated[float, Field(ge=0, description="Longest gradient; longer ones are cut. 0 = never.")] = 1.0
    length: Annotated[int, Field(ge=2, description="Longer texts are cut to so many tokens.")] = 64
    autocast: Annotated[
        bool,
        Field(description="Compute in bfloat16 with float32 weights, where the processor does so natively: faster."),
    ] = False

    def training(self) -> dict[str, Any]:
        """These settings by name, for a rival that trains too."""
        return {name: getattr(self, name) for name in TrainSettings.model_fields}

    @field_validator("layers", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        """From the command line: words, numbers and ranges, as one text or cut at the commas."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            return value
        if len(parts) == 1 and not parts[0].strip()[:1].isdigit():
            return parts[0]
        found: list[object] = []
        for part in parts:
            first, dash, last = part.strip().partition("-")
            whole = bool(dash) and first.isdigit() and last.isdigit()
            found += range(int(first), int(last) + 1) if whole else [part]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one forward pass. B examples of k texts each; L tokens of the longest, shorter ones end in padding.

    Attributes:
        tokens: ids, int [k * B, L]: first the first text of every example, then the second of every example, ...
        mask: 1 where there is a token, int [k * B, L].
        index: which examples they are, int [B]: their places in the list that was handed to `train`.
    """

    tokens: Tensor
    mask: Tensor
    index: Tensor


Loss = Callable[[Any, Batch], "Mapping[str, Tensor]"]
"""From the network (a `PreTrainedModel`) and a batch to one number per example, [B] each.

"loss" is minimised; what else is there is only reported, e.g. the terms that it is made of.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimiser: means over its examples, the gradient's length before it was cut."""

    terms: Mapping[str, float]
    gradient: float
    lr: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gave.

    Attributes:
        tensors: "up:NAME" and "down:NAME", or "delta:NAME" from full training, for each parameter that changed;
            "extra:NAME" for those of the extra module.
        steps: one per step of the optimiser.
        notes: remarks for the reader.
    """

    tensors: Mapping[str, Tensor]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


def train(
    model: Model,
    texts: Sequence[tuple[str, ...]],
    loss: Loss,
    settings: TrainSettings,
    *,
    seed: int,
    extra: nn.Module | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train and give the model back as it was, bit by bit, also after an error or Ctrl-C.

    Args:
        model: a decoder in float32 or bfloat16.
        texts: the examples; each holds the same number of texts.
        loss: from the network and a batch to one number per example.
        settings: how.
        seed: of the order, the adapters' first values and dropout. The process-wide generators are left as they were.
        extra: a further module that the loss uses and that is trained too.
        progress: called after each step with steps done and steps in all.

    Raises:
        UnsupportedSite: the model lacks the parts to train.
        UnknownName: there is no linear map of the name given as target.
        UsageError: the weights are of a kind that cannot be trained, or the loss became infinite.
        DataError: there are no texts.
    """
    from evenhand.mitigate._trainer import run

    return run(model, texts, loss, settings, seed=seed, extra=extra, progress=progress)


def next_token_loss(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    """Cross-entropy of the next token (nats): mean over a text's tokens, then over the texts of an example."""
    import torch.nn.functional as F

    logits = network(input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False).logits[:, :-1].float()
    wanted, real = batch.tokens[:, 1:], batch.mask[:, 1:].to(logits.dtype)
    each = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
    rows = (each * real).sum(1) / real.sum(1)
    return {"loss": rows.view(-1, len(batch.index)).mean(0)}


def weight_edits(tensors: Mapping[str, Tensor], amount: float = 1.0) -> list[WeightEdit]:
    """Edits from what `train` gave, times `amount`; tensors under other names are left alone."""
    from evenhand.core.edits import Dense, LowRank, WeightEdit

    edits = []
    for key in sorted(tensors):
        kind, _, name = key.partition(":")
        if kind == "up":
            edits.append(WeightEdit(name, LowRank(tensors[key] * amount, tensors[f"down:{name}"])))
        elif kind == "delta":
            edits.append(WeightEdit(name, Dense(tensors[key] * amount)))
    return edits
