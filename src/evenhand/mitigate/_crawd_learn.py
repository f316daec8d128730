"""CrAWD in training and in use: the same block behind the same head, once with and once without a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evenhand.core.edits import BranchEdit
from evenhand.core.errors import DataError, UsageError
from evenhand.core.record import Curve, Map, Series
from evenhand.mitigate import _crawd_reference as references
from evenhand.mitigate._crawd_block import Block, Decay, Sizes
from evenhand.mitigate._crawd_reference import Reference
from evenhand.mitigate._mitigation import Fitted
from evenhand.mitigate._train import Batch, Loss, Step, next_token_loss, train, weight_edits
from evenhand.model.edits.branch import branch, check, reference_states

if TYPE_CHECKING:
    from evenhand.mitigate.crawd import Crawd
    from evenhand.model import Model

_PROJECTIONS = ("query", "key", "value", "q_lin", "k_lin", "v_lin", "query_proj", "key_proj", "value_proj")
"""Names of the projections of BERT and its kin, DistilBERT, DeBERTa."""
PROMPT = "The nurse told the engineer that"
"""A text of our own whose attention to the reference is shown."""


def learn(
    model: Model,
    settings: Crawd,
    words: Sequence[str],
    texts: Sequence[str],
    seed: int,
    objective: Loss = next_token_loss,
) -> Fitted:
    """Train adapters and block together on the texts.

    Tensors: those of the adapters; `extra:NAME` of the block; `tau` [H]; ids of `reference.before`, `.keys`, `.after`.

    Args:
        model: the model.
        settings: of the method.
        words: the reference.
        texts: what it is trained on.
        seed: of everything random.
        objective: the loss of the network with the block beside its head.

    Raises:
        UsageError: the hidden size cannot be divided into so many heads.
        UnsupportedSite: a classifier whose first token does not see the others.
    """
    check(model.hf)
    reference = references.encoded(model, words)
    block = Block(sizes_of(model, settings), decay_of(settings), settings.attention_dropout)
    block.begin(torch.Generator().manual_seed(seed))
    block.to(_place(model))

    def loss(network: Any, batch: Batch) -> Mapping[str, Tensor]:
        states = keyed(reference_states(network, reference.ids, grad=True), reference)
        real = batch.mask[:, :1] if model.task == "classifier" else batch.mask  # classes read the first token only

        def add(hidden: Tensor, _: Tensor | None) -> Tensor:
            made: Tensor = block(hidden.view(*real.shape, -1), states, real)
            return made.view(*hidden.shape[:-1], -1)

        with branch(network, BranchEdit(add)):
            return objective(network, batch)

    trained = train(model, [(text,) for text in texts], loss, _targeted(model, settings), seed=seed, extra=block)
    ids = {name: torch.tensor(getattr(reference, name), dtype=torch.long) for name in ("before", "keys", "after")}
    tensors = {**trained.tensors, "tau": block.tau.cpu().clone(), **{f"reference.{k}": v for k, v in ids.items()}}
    notes = (*_said(model, settings, words, reference, block), *trained.notes)
    return Fitted(tensors, notes, (attention_map(model, settings, tensors), _losses(trained.steps, model.task)))


def _targeted(model: Model, settings: Crawd) -> Crawd:
    """The same settings, with the names of an encoder's projections, whose attention is not found as one part."""
    if model.task != "classifier" or settings.targets != "attention":
        return settings
    names = {name.rpartition(".")[2] for name, _ in model.hf.named_modules()}
    found = [name for name in _PROJECTIONS if name in names]
    return settings.model_copy(update={"targets": ",".join(found)}) if found else settings


def class_loss(labels: Sequence[int]) -> Loss:
    """Cross-entropy of the class (nats) of each example.

    Args:
        labels: number of the class of each example, in the order of the examples.
    """

    def loss(network: Any, batch: Batch) -> Mapping[str, Tensor]:
        wanted = torch.tensor([labels[number] for number in batch.index.tolist()], device=batch.tokens.device)
        logits = network(input_ids=batch.tokens, attention_mask=batch.mask).logits.float()
        return {"loss": torch.nn.functional.cross_entropy(logits, wanted, reduction="none")}

    return loss


def class_numbers(model: Model, names: Sequence[str]) -> list[int]:
    """Numbers of the classes of these names.

    Raises:
        DataError: the classifier has no class of this name.
    """
    config: Any = model.hf.config
    known = {str(name): int(number) for number, name in config.id2label.items()}
    for name in names:
        if name not in known:
            raise DataError(f"crawd: {model.name} has the classes {', '.join(known)}, the texts have {name!r}.")
    return [known[name] for name in names]


def sizes_of(model: Model, settings: Crawd) -> Sizes:
    """The block's sizes for this model.

    Raises:
        UsageError: the hidden size cannot be divided into so many heads.
    """
    head: Any = model.hf.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is not None:
        outputs, hidden = head.weight.shape
    else:
        config: Any = model.hf.config
        outputs, hidden = int(config.num_labels), model.anatomy.hidden
    rank = settings.head_rank if settings.head_rank < outputs else 0
    if hidden % settings.heads:
        fit = [n for n in range(1, hidden + 1) if hidden % n == 0 and n <= 2 * settings.heads]
        raise UsageError(
            f"crawd: {hidden} hidden numbers cannot be divided into {settings.heads} heads. Give heads=N with N one of "
            f"{', '.join(map(str, fit))}."
        )
    return Sizes(hidden, outputs, settings.heads, settings.inner or hidden, rank)


def decay_of(settings: Crawd) -> Decay:
    """How weights decay under these settings."""
    return Decay(settings.top, settings.factor, settings.scope, settings.mask_from, settings.renormalise)


def reference_of(tensors: Mapping[str, Tensor]) -> Reference:
    """The reference of a patch."""
    return Reference(*(tuple(tensors[f"reference.{name}"].tolist()) for name in ("before", "keys", "after")))


def block_of(model: Model, settings: Crawd, tensors: Mapping[str, Tensor]) -> Block:
    """The trained block, for use."""
    place = _place(model)
    block = Block(sizes_of(model, settings), decay_of(settings), device="meta")
    named = {name.removeprefix("extra:"): tensor for name, tensor in tensors.items() if name.startswith("extra:")}
    named["tau"] = tensors["tau"]
    block.load_state_dict({name: tensor.to(place) for name, tensor in named.items()}, assign=True)
    return block.requires_grad_(False).eval()


def keyed(states: Tensor, reference: Reference) -> Tensor:
    """Those states that are keys: [before + R + after, D] to [R, D]."""
    start = len(reference.before)
    return states[start : start + len(reference.keys)]


def branch_edit(model: Model, settings: Crawd, tensors: Mapping[str, Tensor]) -> BranchEdit:
    """The block beside the head; the core encodes the reference when it is installed."""
    reference = reference_of(tensors)
    return BranchEdit(_added(block_of(model, settings, tensors), reference), reference.ids)


def _added(block: Block, reference: Reference) -> Callable[[Tensor, Tensor | None], Tensor]:
    def add(hidden: Tensor, states: Tensor | None) -> Tensor:
        """[..., D] to [..., V]."""
        assert states is not None  # the edit has a reference
        made: Tensor = block(hidden, keyed(states, reference))
        return made

    return add


@torch.no_grad()
def attention_map(model: Model, settings: Crawd, tensors: Mapping[str, Tensor], prompt: str = PROMPT) -> Map:
    """How much each token of a prompt attends to each of the reference with the patch in place, mean over the heads.

    Of a classifier the first token alone: the branch reads no other.
    """
    reference, text = reference_of(tensors), references.read(model, prompt)
    if model.task == "classifier":
        text = Reference((), text.ids[:1], text.ids[1:])
    with model.install(weight_edits(tensors)):
        hidden = keyed(reference_states(model.hf, text.ids), text)
        states = keyed(reference_states(model.hf, reference.ids), reference)
    weights = block_of(model, settings, tensors).attended(hidden, states).mean(1)
    return Map(
        title="Attention to the sensitive words after decay",
        rows="token",
        columns="sensitive token",
        values=tuple(tuple(round(one, 4) for one in row) for row in weights.tolist()),
        row_names=references.shown(model.tokenizer, text.keys),
        column_names=references.shown(model.tokenizer, reference.keys),
        unit="weight, mean over the heads",
        largest=1.0,
        note=f"The text is '{prompt}'. The weights of a token sum to 1 before decay.",
    )


def _losses(steps: Sequence[Step], task: str) -> Curve:
    x = tuple(float(n) for n in range(1, len(steps) + 1))
    names = tuple(steps[0].terms) if steps else ()
    lines = tuple(Series(name=name, x=x, y=tuple(round(step.terms[name], 5) for step in steps)) for name in names)
    return Curve(
        title="Loss in training", x="step", y=f"nats per {'text' if task == 'classifier' else 'token'}", series=lines
    )


def _said(model: Model, settings: Crawd, words: Sequence[str], reference: Reference, block: Block) -> tuple[str, ...]:
    """The reference, what decays, and how large the block is."""
    whole = sum(parameter.numel() for parameter in model.hf.parameters())
    sizes = {name: parameter.numel() for name, parameter in block.named_parameters()}
    attention = sum(count for name, count in sizes.items() if name.split(".")[0] in {"query", "key", "value", "output"})
    keys, decay = len(reference.keys), decay_of(settings)
    each = f"{decay.count(keys)} of {keys} weights" if decay.scope == "row" else f"{decay.top:g} % of a text's weights"
    return (
        f"Reference: {' '.join(words)} ({keys} tokens). {each} are multiplied by {decay.factor:g}.",
        f"Added beside the model: {sum(sizes.values()):,} parameters, {sum(sizes.values()) / whole:.2%} of its own; "
        f"attention alone {attention:,}, {attention / whole:.2%}.",
    )


def _place(model: Model) -> torch.device:
    """Where the head lies, or the last parameters of a classifier."""
    head: Any = model.hf.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head.weight.device if head is not None else list(model.hf.parameters())[-1].device
