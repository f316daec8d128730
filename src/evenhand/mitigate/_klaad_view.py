"""What training did, for the report: the terms over the steps, the last layer's attention in twins before and after.

The twins are some of those that were trained on; what holds for others is measured on the folds for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from evenhand.core.errors import UnsupportedSite
from evenhand.core.record import Curve, Finding, Map, Series
from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate._train import Batch, Step
from evenhand.mitigate._trainer import batched, encoded
from evenhand.mitigate._triplets import Places, corresponding

if TYPE_CHECKING:
    from evenhand.mitigate.klaad import Klaad
    from evenhand.model import Model

PAIRS = 40
"""Twins that are looked at, at most."""
WIDEST = 14
"""Corresponding tokens of the pair whose map is shown, at most."""
POINTS = 100
"""Points of a curve, at most."""
NAMES = {
    "loss": "loss, weighted sum",
    "cross_entropy": "cross-entropy of the twins",
    "attention": "difference in attention",
    "triplet": "triplet term",
    "likelihood": "log-probability of the twins",
    "balance": "difference in log-probability",
    "anchor": "divergence from the untouched model",
    "coherence": "lacking lead over the unrelated text",
}


@dataclass(frozen=True, slots=True)
class Twins:
    """The last layer's attention in N pairs of twins.

    Attributes:
        gaps: divergence by pair and head (nats), [N, H].
        differences: weights in the anti-stereotype less those in the stereotype over corresponding tokens, rows of sum
            1, mean over heads: [R, R] for each pair.
        tokens: the corresponding tokens as text, "a|b" where they differ.
        texts: the stereotype and the anti-stereotype.
    """

    gaps: Tensor
    differences: tuple[Tensor, ...]
    tokens: tuple[tuple[str, ...], ...]
    texts: tuple[tuple[str, str], ...]


def attention_of(model: Model, texts: Sequence[tuple[str, ...]], settings: Klaad, most: int = PAIRS) -> Twins | None:
    """Read the first twins; None if this model does not show its attention."""
    pairs = [(one[0], one[1]) for one in texts[:most]]
    examples = encoded(model, pairs, settings.length)
    ids = [row for _, row in examples]
    kept = [corresponding(first, second, settings.align) for first, second in ids]
    gaps: list[Tensor] = []
    differences: list[Tensor] = []
    try:
        for start in range(0, len(examples), settings.batch):
            some = slice(start, start + settings.batch)
            found = _read(model, batched(examples[some], model.device), kept[some])
            gaps.append(found[0])
            differences += found[1]
    except UnsupportedSite:
        return None
    tokens = tuple(_tokens(model, row, places) for row, places in zip(ids, kept, strict=True))
    return Twins(torch.cat(gaps), tuple(differences), tokens, tuple(pairs))


def _read(model: Model, batch: Batch, kept: Sequence[Places]) -> tuple[Tensor, list[Tensor]]:
    """Gaps [B, H] and differences of a batch of twins, on the CPU."""
    most = max(1, *(len(first) for first, _ in kept))
    rows = terms.padded([pair[side] for side in (0, 1) for pair in kept], most, batch.tokens.device)
    found: list[tuple[Tensor, Tensor]] = []

    def read(_: int, weights: Tensor) -> None:
        stereotype, anti = terms.compared(weights, kept, heads="each", paper_softmax=False)
        found.append((terms.by_head(stereotype, anti, kept).cpu(), (anti - stereotype).mean(1).cpu()))

    with torch.no_grad(), model.attention([len(model.anatomy.layers) - 1], read, rows=rows):
        model.hf(input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False)
    ((gaps, differences),) = found
    sizes = [len(first) for first, _ in kept]
    return gaps, [one[:size, :size] for one, size in zip(differences, sizes, strict=True)]


def findings(before: Twins | None, after: Twins | None, steps: Sequence[Step]) -> tuple[Finding, ...]:
    """Curves of the terms and of the heads, and two maps of one pair."""
    out: list[Finding] = [_terms(steps)] if steps else []
    if before is None or after is None:
        return tuple(out)
    means = [one.gaps.mean(0).tolist() for one in (before, after)]
    heads = tuple(float(head) for head in range(len(means[0])))
    count = len(before.gaps)
    out.append(
        Curve(
            title="How differently the last layer's heads attend in a stereotype and in its opposite",
            x="head",
            y="divergence (nats)",
            series=tuple(
                Series(name=name, x=heads, y=tuple(round(value, 6) for value in values))
                for name, values in zip(("before", "after"), means, strict=True)
            ),
            note=f"Mean of {count:,} pairs that were trained on. Equal attention is not equal likelihood.",
        )
    )
    return (*out, *_maps(before, after))


def _terms(steps: Sequence[Step]) -> Curve:
    """Each term, as means of so many steps that no line has too many points."""
    size = -(-len(steps) // POINTS)
    parts = [steps[start : start + size] for start in range(0, len(steps), size)]
    ends = tuple(float(min(len(steps), (number + 1) * size)) for number in range(len(parts)))
    series = [
        Series(
            name=NAMES[name],
            x=ends,
            y=tuple(round(sum(step.terms[name] for step in part) / len(part), 6) for part in parts),
        )
        for name in (name for name in NAMES if name in steps[0].terms)
    ]
    note = "Before they are weighted; in nats, but the triplet term is a squared distance." + (
        f" Each point is the mean of up to {size:,} steps." if size > 1 else ""
    )
    return Curve(
        title="The terms of the loss over training", x="step", y="value", series=tuple(series), apart=True, note=note
    )


def _maps(before: Twins, after: Twins) -> tuple[Map, ...]:
    """The pair whose attention differed most among those that fit on a map."""
    sizes = [len(tokens) for tokens in before.tokens]
    fitting = [number for number, size in enumerate(sizes) if 2 <= size <= WIDEST]
    if not fitting:
        return ()
    chosen = max(fitting, key=lambda number: float(before.gaps[number].mean()))
    stereotype, anti = before.texts[chosen]
    shown = [one.differences[chosen] for one in (before, after)]
    largest = round(max(float(one.abs().max()) for one in shown), 6)
    note = f"Positive: attended to more in '{anti}' than in '{stereotype}'. Mean over heads; corresponding tokens only."
    return tuple(
        Map(
            title=f"Attention in a pair of twins, the one less the other: {when}",
            rows="from token",
            columns="to token",
            values=_lower(one),
            row_names=_unique(before.tokens[chosen]),
            column_names=_unique(before.tokens[chosen]),
            unit="share",
            largest=largest or None,
            note=note,
        )
        for when, one in zip(("before", "after"), shown, strict=True)
    )


def _lower(values: Tensor) -> tuple[tuple[float | None, ...], ...]:
    """Rows with nothing where a token cannot attend: to what comes later."""
    rows = values.tolist()
    return tuple(
        tuple(round(value, 6) if column <= row else None for column, value in enumerate(cells))
        for row, cells in enumerate(rows)
    )


def _tokens(model: Model, twins: Sequence[Sequence[int]], places: Places) -> tuple[str, ...]:
    """Corresponding tokens as text."""
    first, second = twins
    told = []
    for a, b in zip(*places, strict=True):
        one, other = (str(model.tokenizer.decode([ids[place]])).strip() for ids, place in ((first, a), (second, b)))
        told.append(one if first[a] == second[b] else f"{one}|{other}")
    return tuple(told)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Numbered, as a token may come twice."""
    return tuple(f"{number} {name}" for number, name in enumerate(names))


def told(before: Twins | None, after: Twins | None) -> str:
    """One line for the notes, "" if nothing was read."""
    if before is None or after is None:
        return ""
    first, last = (float(one.gaps.mean()) for one in (before, after))
    found = f"{first:.4g} nats before, {last:.4g} after"
    return f"Difference in attention of {len(before.gaps):,} twins of the training, mean over heads: {found}."


def terms_of(steps: Sequence[Step]) -> Mapping[str, Tensor]:
    """`history:TERM` [steps] of each term."""
    names = steps[0].terms if steps else ()
    return {f"history:{name}": torch.tensor([step.terms[name] for step in steps]) for name in names}
