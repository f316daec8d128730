"""What a head or an MLP does to the log-odds of items: by its gradient for all of them, by replacing it for some.

A part is replaced by a baseline (its mean over tokens, or zero) at every token of a text but the one that opens it:
there models keep large activations that only hold attention steady, and replacing them breaks the model rather than
the part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import UnsupportedSite
from evenhand.core.requests import Choose, Compare
from evenhand.core.sites import Part, Site
from evenhand.locate._forward import in_batches, padded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from evenhand.model import Model

    Floats = NDArray[np.float64]

Baseline = Literal["mean", "zero"]


@dataclass(frozen=True, slots=True)
class Odds:
    """One item: the log-odds of the first texts against the others.

    Attributes:
        rows: token ids of each text.
        starts: the first scored token of each.
        first: how many of the texts are on the first side.
    """

    rows: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    first: int


def odds(model: Model, request: Choose | Compare, first: int, *, chat: bool) -> Odds | None:
    """A request as token rows, None if a text is longer than the model's context."""
    from evenhand.model.encode import Encoder

    encoded = Encoder(model.tokenizer, model.hf.config, chat=chat).encode([request])
    if any(len(option) != 1 for option in encoded.parts[0]) or encoded.counts.cut:
        return None
    texts = [encoded.texts[option[0]] for option in encoded.parts[0]]
    return Odds(tuple(text.tokens for text in texts), tuple(text.start for text in texts), first)


def log_odds(logits: Tensor, items: Sequence[Odds], *, per_token: bool) -> Tensor:
    """Log-odds (nats) of each item, [items]: the probabilities of the texts of a side are added.

    Args:
        logits: [B, L, V], the texts of all items one after the other.
        items: the items.
        per_token: mean log-probability per token of a text instead of the sum.
    """
    import torch

    found = []
    row = 0
    for item in items:
        totals = []
        for ids, start in zip(item.rows, item.starts, strict=True):
            targets = torch.tensor(ids[start:], device=logits.device)
            part = logits[row, start - 1 : len(ids) - 1]
            part = part.to(torch.promote_types(part.dtype, torch.float32))
            each = part.gather(1, targets[:, None])[:, 0] - part.logsumexp(-1)
            totals.append(each.mean() if per_token else each.sum())
            row += 1
        sides = torch.stack(totals)
        found.append(sides[: item.first].logsumexp(0) - sides[item.first :].logsumexp(0))
    return torch.stack(found)


def parts(model: Model) -> list[Site]:
    """The heads (side by side) and the MLP of every layer that has them.

    Raises:
        UnsupportedSite: none has either.
    """
    found = {Site(site.layer, site.part) for site in units(model)}
    if not found:
        raise UnsupportedSite(f"{type(model.hf).__name__} has neither heads nor MLPs that could be found.")
    return sorted(found)


def units(model: Model) -> list[Site]:
    """Every head and every MLP, layer by layer."""
    return sorted([*model.anatomy.sites(Part.HEADS), *model.anatomy.sites(Part.MLP)], key=_order)


def _order(site: Site) -> tuple[int, str, int]:
    return site.layer, site.part, site.unit or 0


def by_gradient(
    model: Model, items: Sequence[Odds], *, per_token: bool, baseline: Baseline = "mean"
) -> tuple[Floats, Mapping[Site, Tensor]]:
    """Estimated effects [N, units] of all items, and the baseline of each part, [D].

    The effect of a part h with baseline m is odds(h) - odds(m), to first order: the sum over tokens of
    (h - m) . d odds / d h.
    """
    import numpy as np
    import torch

    where = parts(model)
    total: dict[Site, Tensor] = {}
    count = 0
    met: dict[Site, list[Tensor]] = {site: [] for site in where}  # sums over tokens of h * gradient, of each item
    slope: dict[Site, list[Tensor]] = {site: [] for site in where}  # sums over tokens of the gradient
    order: list[int] = []
    for group, ids, real in _batches(model, items):
        chosen = [items[n] for n in group]
        order += group
        owner = torch.tensor([n for n, item in enumerate(chosen) for _ in item.rows])
        inner = real.clone()
        inner[:, 0] = 0
        count += int(inner.sum())
        with torch.enable_grad(), model.trace(where, grad=True) as found:
            logits = model.hf(input_ids=ids, attention_mask=real, use_cache=False).logits
            value = log_odds(logits, chosen, per_token=per_token).sum()
            gradients = torch.autograd.grad(value, [found[site][0] for site in where])
        for site, gradient in zip(where, gradients, strict=True):
            h = found[site][0].detach().double() * inner[..., None]
            g = gradient.double() * inner[..., None]
            total[site] = total.get(site, 0.0) + h.sum((0, 1)).cpu()
            met[site].append(_per_item((h * g).sum(1).cpu(), owner, len(chosen)))
            slope[site].append(_per_item(g.sum(1).cpu(), owner, len(chosen)))
    scale = 1.0 / max(1, count) if baseline == "mean" else 0.0
    means = {site: total[site] * scale for site in where}
    columns = []
    for site in units(model):
        whole = Site(site.layer, site.part)
        each = torch.cat(met[whole]) - torch.cat(slope[whole]) * means[whole]
        columns.append(each[:, _span(model, site)].sum(1))
    out = np.empty((len(items), len(columns)))
    out[order] = torch.stack(columns, dim=1).numpy()
    return out, means


def by_replacing(
    model: Model,
    items: Sequence[Odds],
    sites: Sequence[Site],
    means: Mapping[Site, Tensor],
    *,
    per_token: bool,
    amount: float = 1.0,
) -> Floats:
    """Exact effects [N, sites]: log-odds as they are less log-odds with the part moved to its baseline.

    Args:
        model: the model.
        items: the items.
        sites: heads and MLPs.
        means: baselines of the parts, from `by_gradient`.
        per_token: as in `log_odds`.
        amount: how far towards the baseline; 1 = all the way.
    """
    import numpy as np

    out = np.empty((len(items), len(sites)))
    plain = _values(model, items, per_token=per_token)
    for column, site in enumerate(sites):
        mean = means[Site(site.layer, site.part)]
        with model.install([_towards(site, mean, _span(model, site), amount)]):
            out[:, column] = plain - _values(model, items, per_token=per_token)
    return out


def _towards(site: Site, mean: Tensor, span: slice, amount: float) -> ActivationEdit:
    """Moves the part of a site to its baseline at all tokens of a row but the first."""

    def fn(x: Tensor) -> Tensor:
        out = x.clone()
        out[:, 1:, span] += amount * (mean.to(x)[span] - x[:, 1:, span])
        return out

    return ActivationEdit(Site(site.layer, site.part), fn)


def _values(model: Model, items: Sequence[Odds], *, per_token: bool) -> Floats:
    import numpy as np
    import torch

    out = np.empty(len(items))
    for group, ids, real in _batches(model, items):
        with torch.inference_mode():
            logits = model.hf(input_ids=ids, attention_mask=real, use_cache=False).logits
            out[group] = log_odds(logits, [items[n] for n in group], per_token=per_token).double().cpu().numpy()
    return out


def _batches(model: Model, items: Sequence[Odds]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Numbers of items with the token rows of all their texts; half the usual size, for gradients need room."""
    for group in in_batches(model, [len(item.rows) * max(map(len, item.rows)) for item in items], 0.5):
        ids, real = padded([row for n in group for row in items[n].rows])
        yield group, ids.to(model.device), real.to(model.device)


def _per_item(rows: Tensor, owner: Tensor, count: int) -> Tensor:
    """Sums of rows [B, D] over the texts of each item, [count, D]."""
    import torch

    return torch.zeros((count, rows.shape[1]), dtype=rows.dtype).index_add_(0, owner, rows)


def _span(model: Model, site: Site) -> slice:
    """The columns of a unit in the activation of its part."""
    if site.part is not Part.HEADS or site.unit is None:
        return slice(None)
    width = model.anatomy.head_width
    return slice(site.unit * width, (site.unit + 1) * width)
