"""Forward passes over yes/no questions: log-odds of the answers, negative attention, and what heads do to the odds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand.core.errors import UnsupportedSite
from evenhand.core.sites import Part, Site

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.mitigate._nasa_questions import Asked, Option
    from evenhand.model import Model


@dataclass(frozen=True, slots=True)
class Seen:
    """What prompts gave.

    Attributes:
        odds: log P(yes) - log P(no), each summed over the forms (nats), [N].
        attention: negative attention of every head, summed over the queries after the instruction, [N, layers, H].
    """

    odds: Tensor
    attention: Tensor


def layers_of(model: Model) -> list[int]:
    """Layers whose heads can be told apart.

    Raises:
        UnsupportedSite: there are none.
    """
    found = sorted({site.layer for site in model.anatomy.sites(Part.HEADS)})
    if not found:
        raise UnsupportedSite(
            f"{type(model.hf).__name__} has no attention heads that could be told apart, so there is no head to tune."
        )
    return found


@contextmanager
def faster(model: Model, wanted: bool) -> Iterator[None]:
    """Compute in bfloat16 inside, if that is wanted, native, and the weights are float32.

    Weights are converted afresh each time: copies that are kept would be those from before the last step.
    """
    import torch

    from evenhand.mitigate._trainer import _bfloat16

    device = torch.device(model.device)
    able = wanted and model.hf.dtype == torch.float32 and _bfloat16(device)
    with torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if able else nullcontext():
        yield


def forward(model: Model, asked: Sequence[Asked], layers: Sequence[int] = ()) -> Seen:
    """One pass, in the graph if gradients are on. The attention of the chosen layers only is read."""
    import torch

    from evenhand.model.answer_words import scores

    rows = [row for one in asked for row in one.rows]
    firsts = _firsts(asked)
    ids, real = _padded(rows), _padded([[1] * len(row) for row in rows])
    wanted = _queries(asked, len(rows))
    keep = sorted({place for one in asked for option in (*one.yes, *one.no) for place in _predictors(option)})
    found: dict[int, Tensor] = {}

    def reader(layer: int, weights: Tensor) -> None:
        found[layer] = scores(weights[firsts].float(), [one.prompt for one in asked])[0]

    device = model.device
    with model.attention(layers, reader, rows=wanted) if layers else nullcontext():
        logits = model.hf(
            input_ids=ids.to(device),
            attention_mask=real.to(device),
            use_cache=False,
            logits_to_keep=torch.tensor(keep, device=device),
        ).logits
    odds = _odds(logits, asked, firsts, {place: n for n, place in enumerate(keep)})
    heads = [found[layer].to(odds.device) for layer in layers]
    return Seen(odds, torch.stack(heads, dim=1) if heads else odds.new_zeros(len(asked), 0, 0))


def look(model: Model, asked: Sequence[Asked], layers: Sequence[int] = ()) -> Seen:
    """Any number of prompts without gradients, float64 on the CPU."""
    import torch

    odds = torch.zeros(len(asked), dtype=torch.float64)
    attention = torch.zeros(len(asked), len(layers), model.anatomy.heads, dtype=torch.float64)
    with torch.inference_mode():
        for group in _batches(model, asked):
            seen = forward(model, [asked[n] for n in group], layers)
            odds[group] = seen.odds.double().cpu()
            if layers:
                attention[group] = seen.attention.double().cpu()
    return Seen(odds, attention)


def pushes(model: Model, asked: Sequence[Asked]) -> Tensor:
    """How far each head pushes each prompt's answer towards no (nats), to first order, float64 [N, layers, H].

    The head's output is taken away at every token but the one that opens the text: with output h of the head the push
    is the sum over tokens of -h . d odds / d h.
    """
    import torch

    sites = [Site(layer, Part.HEADS) for layer in layers_of(model)]
    heads = model.anatomy.heads
    out = torch.zeros(len(asked), len(sites), heads, dtype=torch.float64)
    for group in _batches(model, asked, 0.5):
        chosen = [asked[n] for n in group]
        owner = torch.tensor([n for n, one in enumerate(chosen) for _ in one.rows])
        with torch.enable_grad(), model.trace(sites, grad=True) as found:
            total = forward(model, chosen).odds.sum()
            gradients = torch.autograd.grad(total, [found[site][0] for site in sites])
        for column, (site, gradient) in enumerate(zip(sites, gradients, strict=True)):
            product = (found[site][0].detach().double() * gradient.double())[:, 1:].sum(1).cpu()
            each = product.reshape(len(owner), heads, -1).sum(-1)
            out[group, column] = -torch.zeros(len(chosen), heads, dtype=torch.float64).index_add_(0, owner, each)
    return out


def _odds(logits: Tensor, asked: Sequence[Asked], firsts: Sequence[int], column: dict[int, int]) -> Tensor:
    """Log-odds [N] from logits [rows, kept places, V]."""
    import torch

    places: dict[tuple[int, int], int] = {}
    wanted: list[list[list[tuple[int, int]]]] = []
    for one, first in zip(asked, firsts, strict=True):
        sides = []
        for option in (*one.yes, *one.no):
            steps = [
                (places.setdefault((first + option.row, column[place]), len(places)), token)
                for place, token in zip(_predictors(option), option.tokens, strict=True)
            ]
            sides.append(steps)
        wanted.append(sides)
    rows, columns = (torch.tensor(part, device=logits.device) for part in zip(*places, strict=True))
    logprobs = logits[rows, columns].to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    found = []
    for one, options in zip(asked, wanted, strict=True):
        totals = [logprobs[[n for n, _ in steps], [token for _, token in steps]].sum() for steps in options]
        yes, no = torch.stack(totals[: len(one.yes)]), torch.stack(totals[len(one.yes) :])
        found.append(yes.logsumexp(0) - no.logsumexp(0))
    return torch.stack(found)


def _predictors(option: Option) -> range:
    """Places of the tokens whose logits score a form."""
    return range(option.start, option.start + len(option.tokens))


def _firsts(asked: Sequence[Asked]) -> list[int]:
    """Number of the first row of each prompt."""
    out, row = [], 0
    for one in asked:
        out.append(row)
        row += len(one.rows)
    return out


def _queries(asked: Sequence[Asked], rows: int) -> Tensor:
    """The queries after the instruction, int [rows, R], filled up with the last; 0 in rows that are not read."""
    import torch

    spans = [range(one.prompt.start, len(one.prompt.ids)) for one in asked]
    longest = max(map(len, spans))
    wanted = torch.zeros((rows, longest), dtype=torch.long)
    for row, span in zip(_firsts(asked), spans, strict=True):
        wanted[row] = torch.tensor([*span, *[span[-1]] * (longest - len(span))])
    return wanted


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of different lengths filled up with 0 on the right, int [B, L]."""
    import torch

    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def _batches(model: Model, asked: Sequence[Asked], share: float = 1.0) -> Iterator[list[int]]:
    from evenhand.model.jobs import batches

    yield from batches([one.tokens for one in asked], max(1, int(model.budget.pack * share)))
