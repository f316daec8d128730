"""Which road a model takes: found out by trying, never by name.

A few texts with common prefixes are scored one by one (the model's plain forward) and then on each road: packed with
each reading of the configuration, with and without a trunk; padded with a shared prefix cache; padded. The first road
that agrees is taken, the reasons recorded. The texts are longer than every attention span that the coming texts reach
past, and one row is as long as rows get, for the sake of models that count places in the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from evenhand.core.errors import DamagedModel, ModelError
from evenhand.model.masks import candidates, spans
from evenhand.model.packed import PackedRoad, input_device
from evenhand.model.padded import PaddedRoad
from evenhand.model.plan import Budget, Pack, Plan, Text
from evenhand.model.positions import prompts_end

EXACT = 1e-4
"""Largest difference (nats) allowed in float32."""
ROUGH = 0.05
"""Median difference (nats) allowed in half precision, where single tokens may differ by several tenths."""
COARSEST = 0.2
"""Largest median difference (nats) allowed in half precision, however much plain padding moves the numbers."""
SHALLOW = 16
"""Tokens of a probe text at least; a few are added at the end."""


class Road(Protocol):
    """A way to score texts."""

    name: str

    def plan(self, texts: Sequence[Text], budget: Budget) -> Plan:
        """Cut texts into packs."""
        ...

    def score(self, pack: Pack, texts: Sequence[Text]) -> list[list[float]]:
        """Log-probabilities (nats) of the scored tokens of each text, in the order of `pack.texts`."""
        ...

    def release(self) -> None:
        """Forget what was kept between packs; called when a run ends, since weights may change before the next."""
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a self-check went.

    Attributes:
        depth: tokens of its longest texts.
        before: tokens that lay before these texts in the longest row.
        span: the longest attention span that `depth` exceeds, 0 if none.
    """

    depth: int
    before: int
    span: int

    @classmethod
    def of(cls, config: Any, longest: int) -> Reach:
        """What a check must reach for texts of up to `longest` tokens, in rows as long as the planner makes them."""
        row = Budget().row
        known = spans(config)
        passed = max((span for span in known if span < longest), default=0)
        before = max([row, *(span for span in known if span < row + longest)])
        return cls(max(SHALLOW, min(passed + passed // 2, longest)) + 8, before, passed)


@dataclass(frozen=True, slots=True)
class Choice:
    """The road taken, why not an earlier one, and how far this was checked."""

    road: Road
    reason: str
    reach: Reach

    def covers(self, config: Any, longest: int) -> bool:
        """Whether texts of this many tokens are inside what was checked."""
        needed = Reach.of(config, longest)
        return needed.depth <= self.reach.depth and needed.before <= self.reach.before


@dataclass(frozen=True, slots=True)
class Probes:
    """Texts that are compared, and texts that only lie before them in the longest row."""

    texts: list[Text]
    fillers: list[Text]
    span: int


def one_by_one(model: PreTrainedModel, texts: Sequence[Text]) -> list[list[float]]:
    """Log-probabilities (nats) by the model's plain forward, a text at a time: what every road must agree with."""
    device = input_device(model)
    out = []
    for text in texts:
        with torch.inference_mode(), prompts_end(model, [text.start - 1], [text.segments]):
            logits = model(input_ids=torch.tensor([text.tokens[:-1]], device=device), use_cache=False).logits[0]
            logprobs = torch.log_softmax(logits[text.start - 1 :].float(), dim=-1)
        targets = torch.tensor(text.tokens[text.start :], device=device)
        out.append(logprobs.gather(1, targets[:, None])[:, 0].tolist())
    return out


def choose_road(model: PreTrainedModel, longest: int, *, pointwise: bool = True, edited: bool = False) -> Choice:
    """Try the roads on texts that reach past every attention span that texts of `longest` tokens reach past.

    If an installed edit is not pointwise, only the road on which every text has a row of its own is tried.

    Args:
        model: the network.
        longest: tokens of the longest text to come.
        pointwise: whether every installed edit is.
        edited: whether something is installed, for the message.

    Raises:
        DamagedModel: the model's plain forward gives no finite numbers.
        ModelError: no road agrees with the plain forward.
    """
    reach = Reach.of(model.config, longest)
    probes = probes_for(model.config.get_text_config(decoder=True).vocab_size, reach)
    expected = one_by_one(model, probes.texts)
    if not all(np.isfinite(values).all() for values in expected):
        raise DamagedModel(
            "The model gives NaN or infinity on plain text. Its weights are damaged or overflow in this dtype: load it "
            "again, or pass --dtype float32."
        )
    exact = model.dtype == torch.float32
    limit = EXACT if exact else _rounding(model, probes, expected)
    reasons: list[str] = [] if pointwise else ["an installed edit looks beyond single tokens"]
    sharing: list[Road] = [PackedRoad(model, reading) for reading in candidates(model.config)]
    sharing.append(PaddedRoad(model, cache=True))
    for road in [*(sharing if pointwise else []), PaddedRoad(model, cache=False)]:
        difference = disagreement(road, probes, expected, exact=exact)
        road.release()
        if isinstance(difference, float) and difference <= limit:
            return Choice(road, "; ".join(reasons), reach)
        shown = difference if isinstance(difference, str) else f"off by {difference:.2g} nats"
        reasons.append(f"{road.name}: {shown}")
    raise ModelError(
        "No way to score texts in batches agrees with this model's own forward pass: "
        + "; ".join(reasons)
        + (
            ". What is installed makes rounding errors large: make it weaker, or load the model with --dtype float32."
            if edited
            else ". Please report the model's architecture."
        )
    )


def _rounding(model: PreTrainedModel, probes: Probes, expected: Sequence[Sequence[float]]) -> float:
    """The limit in half precision: twice what plain padding already moves, at least `ROUGH`, at most `COARSEST`."""
    moved = disagreement(PaddedRoad(model, cache=False), probes, expected, exact=False)
    return ROUGH if isinstance(moved, str) else min(max(ROUGH, 2 * moved), COARSEST)


def probes_for(vocabulary: int, reach: Reach) -> Probes:
    """Texts of about `reach.depth` tokens that part from one another early, in the middle and late.

    Two of them have a beginning of their own, so that prefixes of two lengths meet in one batch. The fillers share the
    others' first token and sort before them.
    """
    rng = np.random.default_rng(0)
    depth = reach.depth

    def draw(n: int) -> list[int]:
        return [int(token) for token in rng.integers(1, vocabulary, size=n)]

    base, other = draw(depth), draw(depth - 6)
    texts = [Text(tuple(base), depth // 2 + 1), Text(tuple(other), depth - 10)]
    for shared, start in ((1, 1), (6, 5), (depth // 2 + 2, depth // 2), (depth - 5, depth - 6), (depth - 3, depth - 4)):
        texts.append(Text((*base[:shared], *draw(depth + 3 - shared)), start))
    texts.append(Text((*other[: depth - 9], *draw(5)), depth - 10))
    fillers = [Text((base[0], 0, *draw(depth - 1)), depth) for _ in range(-(-reach.before // depth))]
    return Probes(texts, fillers, reach.span)


def disagreement(road: Road, probes: Probes, expected: Sequence[Sequence[float]], *, exact: bool) -> float | str:
    """Difference in nats over three ways to cut the texts, or the error that the road met.

    The largest difference if exact; otherwise the median, or that of the tokens past the attention span if larger.
    """
    texts = probes.texts
    near: list[float] = []
    past: list[float] = []
    late = [text for text in texts if text.start > 3 * len(text.tokens) // 8]
    wanted = dict(zip(texts, expected, strict=True))
    trials = [
        ([*probes.fillers, *texts], Budget(1 << 14, 1 << 15, 1 << 14)),
        (texts, Budget(8, 64, 64)),
        (late, Budget(max(2, len(texts[0].tokens) // 4), 1 << 13, 1 << 12)),
    ]
    for part, budget in trials:
        try:
            for pack in road.plan(part, budget).packs:
                for number, values in zip(pack.texts, road.score(pack, part), strict=True):
                    text = part[number]
                    for place, value in enumerate(values if text in wanted else (), start=text.start):
                        difference = abs(value - wanted[text][place - text.start])
                        (past if probes.span and place > probes.span else near).append(difference)
        except (
            TypeError,
            ValueError,
            RuntimeError,
            KeyError,
            IndexError,
            AttributeError,
            NotImplementedError,
        ) as error:
            return f"{type(error).__name__} ({str(error).splitlines()[0][:80] if str(error) else 'no message'})"
    if not np.isfinite(near + past).all():
        return "NaN"
    if exact:
        return float(np.max(near + past))
    return max(float(np.median(group)) for group in (near, past) if group)
