"""Which heads may be calibrated: each alone, on held-out questions with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.record import Map, Table
from evenhand.core.requests import TIE, Choose
from evenhand.mitigate._act import Sinks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.core.edits import AttentionEdit
    from evenhand.core.record import Finding
    from evenhand.model import Model
    from evenhand.model.plan import Text

    Floats = NDArray[np.float64]

Head = tuple[int, int]
"""Layer and head."""
DRAWS = 500
"""Of the questions, for the uncertainty of the choice."""


@dataclass(frozen=True, slots=True)
class Question:
    """The options of a question as texts, and which of them is right."""

    texts: tuple[Text, ...]
    truth: int


def questions(model: Model, items: Sequence[Item], method: str) -> list[Question]:
    """The questions with a known answer among some items; each option must be one text.

    Raises:
        DataError: there are fewer than four.
    """
    from evenhand.model.encode import Encoder

    found: dict[str, tuple[Choose, int]] = {}  # a question once, in however many orders it is asked
    for item in items:
        request = item.requests[0] if item.requests else None
        truth = _truth(item, request) if isinstance(request, Choose) else None
        if isinstance(request, Choose) and truth is not None:
            found.setdefault(item.block or item.id, (request, truth))
    asked = list(found.values())
    if len(asked) < 4:
        raise DataError(
            f"{method} is fitted on questions with options and a right answer; of {len(items)} items {len(asked)} are "
            "such. Fit it on arc, mmlu or position_bias."
        )
    encoded = Encoder(model.tokenizer, model.hf.config).encode([request for request, _ in asked])
    return [
        Question(tuple(encoded.texts[part[0]] for part in parts), truth)
        for (_, truth), parts in zip(asked, encoded.parts, strict=True)
    ]


def _truth(item: Item, request: Choose) -> int | None:
    """The number of the right option: that of the right answer's text, or what the item's facts say."""
    text = f" {item.texts.get('right answer', '')}"
    if text in request.options:
        return request.options.index(text)
    truth, orders = item.facts.get("truth"), item.facts.get("orders")
    if type(truth) is int and isinstance(orders, tuple):  # letters: the option's place
        truth = orders[0].index(truth)
    return truth if type(truth) is int and 0 <= truth < len(request.options) else None


def outcomes(model: Model, edits: Sequence[AttentionEdit], asked: Sequence[Question]) -> Floats:
    """Of each question with some edits in place, float [N, 2].

    The share of the choice that is right, and log P of the right option among the options (nats).
    """
    import numpy as np

    from evenhand.model.attention import edited
    from evenhand.model.padded import PaddedRoad

    road = PaddedRoad(model.hf, cache=False)
    texts = [text for question in asked for text in question.texts]
    totals: dict[int, float] = {}
    with ExitStack() as undo:
        for edit in edits:
            undo.enter_context(edited(model.hf, model.anatomy, edit))
        for pack in road.plan(texts, model.budget).packs:
            totals.update(zip(pack.texts, map(sum, road.score(pack, texts)), strict=True))
    out = np.zeros((len(asked), 2))
    start = 0
    for number, question in enumerate(asked):
        scores = np.array([totals[start + place] for place in range(len(question.texts))])
        start += len(question.texts)
        best = scores > scores.max() - TIE
        out[number] = best[question.truth] / best.sum(), scores[question.truth] - np.logaddexp.reduce(scores)
    return out


def with_sinks(model: Model, sinks: Sinks, layers: Sequence[int], asked: Sequence[Question]) -> NDArray[np.bool_]:
    """Whether each head has a sink in each question's prompt: bool [N, layers, H]. Elsewhere calibration does nothing.

    A head is calibrated alone, so what lies below its layer is the untouched model's, whose attention this reads.
    """
    import numpy as np
    import torch

    from evenhand.model.jobs import batches
    from evenhand.model.packed import input_device

    out = np.zeros((len(asked), len(layers), model.anatomy.heads), dtype=np.bool_)
    prompts = [question.texts[0].tokens[: question.texts[0].start] for question in asked]
    device = input_device(model.hf)
    for group in batches([len(prompt) for prompt in prompts], model.budget.pack):
        longest = max(len(prompts[n]) for n in group)
        ids = torch.zeros((len(group), longest), dtype=torch.long)
        real = torch.zeros_like(ids)
        for row, number in enumerate(group):
            ids[row, : len(prompts[number])] = torch.tensor(prompts[number])
            real[row, : len(prompts[number])] = 1
        prompt = torch.ones((longest, longest), dtype=torch.bool).tril() & real.bool()[:, None, :, None]

        opens = torch.isin(ids, torch.tensor(sinks.opening, dtype=torch.long))[:, None]

        def read(
            layer: int,
            weights: torch.Tensor,
            group: list[int] = group,
            prompt: torch.Tensor = prompt,
            opening: torch.Tensor = opens,
        ) -> None:
            counted = prompt.to(weights.device) & (weights > 0).any(1, keepdim=True)  # a window hides keys from queries
            found = sinks.find(weights, counted) & ~opening.to(weights.device)
            out[group, layers.index(layer)] = found.any(-1).cpu().numpy()

        with torch.inference_mode(), model.attention(layers, read):
            model.hf(input_ids=ids.to(device), attention_mask=real.to(device), use_cache=False, logits_to_keep=1)
    return out


def sinks_of(
    model: Model, sinks: Sinks, heads: Sequence[Head], asked: Sequence[Question]
) -> dict[Head, NDArray[np.bool_]]:
    """Whether a head has a sink in each question's prompt, [N]; of the heads that have any."""
    layers = sorted({layer for layer, _ in heads})
    found = with_sinks(model, sinks, layers, asked)
    every = {(layer, head): found[:, layers.index(layer), head] for layer, head in heads}
    return {head: acts for head, acts in every.items() if acts.any()}


class Search:
    """Gains of heads calibrated one at a time, question by question.

    Attributes:
        heads: those that have a sink in any question.
        gains: of each head that was tried: share right and log P of the right option, less those of the untouched
            model, float [n, 2] of the first n questions.
        used: the first so many questions decided which heads are left. Among those the best of many look good by
            chance, so only the others say whether a head may be calibrated.
        last: the heads that are left and have a sink in the other questions.
        passes: questions that were answered with a head calibrated.
    """

    def __init__(self, model: Model, sinks: Sinks, beta: float, heads: Sequence[Head], asked: Sequence[Question]):
        self.model = model
        self.sinks = sinks
        self.beta = beta
        self.asked = list(asked)
        self._acts = sinks_of(model, sinks, heads, asked)
        self.heads = list(self._acts)
        self.plain = outcomes(model, (), asked)
        self.gains: dict[Head, Floats] = {}
        self.used = 0
        self.last: list[Head] = []
        self.passes = 0

    def exhaustive(self) -> list[Head]:
        """Every head on every question."""
        for head in self.heads:
            self._extend(head, len(self.asked))
        self.last = list(self.heads)
        return self.last

    def halving(self, rounds: int) -> list[Head]:
        """Rounds with twice the questions and the better half of the heads; those of the last round."""
        left = list(self.heads)
        for number in range(rounds):
            upto = max(1, -(-len(self.asked) // 2 ** (rounds - 1 - number)))
            for head in left:
                self._extend(head, upto)
            if number < rounds - 1:
                self.used = upto
                order = sorted(left, key=lambda head: (*(-self.gains[head].mean(0)).round(9).tolist(), head))
                left = sorted(order[: -(-len(left) // 2)])
        self.last = [head for head in left if self._acts[head][self.used :].any()]
        return self.last

    def judged(self, head: Head) -> Floats:
        """Gains of a head of the last round on the questions that decided nothing before, float [n, 2]."""
        return self.gains[head][self.used :]

    def _extend(self, head: Head, upto: int) -> None:
        import numpy as np

        from evenhand.mitigate._act import edit_of

        known = self.gains.get(head, np.zeros((0, 2)))
        more = np.zeros((upto - len(known), 2))
        wanted = [n for n in range(len(known), upto) if self._acts[head][n]]
        if wanted:
            edit = edit_of(head[0], (head[1],), self.sinks, self.beta)
            found = outcomes(self.model, (edit,), [self.asked[n] for n in wanted])
            more[[n - len(known) for n in wanted]] = found - self.plain[wanted]
            self.passes += len(wanted)
        self.gains[head] = np.concatenate([known, more])


def accepted(gains: Floats, least: float) -> NDArray[np.bool_]:
    """Which heads do not hurt: mean gains [..., 2] in share right (`least` or more) and in log P (0 or more)."""
    kept: NDArray[np.bool_] = (gains[..., 0] >= least - 1e-12) & (gains[..., 1] >= 0)
    return kept


def uncertainty(gains: Floats, least: float, rng: np.random.Generator) -> tuple[Floats, float]:
    """How sure the choice is, from gains [heads, N, 2].

    Returns:
        For each head the share of draws of the questions in which it is accepted, [heads]; and how many heads would be
        accepted if the sign of each question's gains were chance.
    """
    import numpy as np

    heads, size, _ = gains.shape
    if not heads:
        return np.zeros(0), 0.0
    weights = rng.multinomial(size, np.full(size, 1 / size), size=DRAWS) / size
    again = accepted(np.einsum("dn,hnk->dhk", weights, gains), least).mean(axis=0)
    signs = rng.choice((-1.0, 1.0), size=(DRAWS, size)) / size
    chance = accepted(np.einsum("dn,hnk->dhk", signs, gains), least).sum(axis=1).mean()
    return again, float(chance)


def shown(search: Search, layers: int, heads: int, kept: Sequence[Head], again: Floats) -> tuple[Finding, ...]:
    """What a report shows: the gain of each head that was tried, and the accepted ones in figures."""
    values: list[list[float | None]] = [[None] * heads for _ in range(layers)]
    for (layer, head), gains in search.gains.items():
        seen = search.judged((layer, head)) if (layer, head) in search.last else gains
        values[layer][head] = round(float(seen[:, 1].mean()), 4)
    sure = dict(zip(search.last, again, strict=True))
    gained = Map(
        title="What damping the sinks of a head adds to the log-probability of right answers",
        values=tuple(tuple(row) for row in values),
        unit="nats",
        chosen=tuple(kept),
        note="Mean over the questions that a head was tried on. Heads that dropped out saw fewer; of those of the last "
        "round only the questions count that no head was dropped by. Framed: accepted.",
    )
    rows = tuple(
        (
            f"L{layer}.heads.{head}",
            f"{100 * search.judged((layer, head))[:, 0].mean():+.1f}",
            f"{search.judged((layer, head))[:, 1].mean():+.4f}",
            f"{100 * sure[layer, head]:.0f} %",
        )
        for layer, head in kept
    )
    columns = ("head", "right, points", "log P of right answers, nats", "accepted in draws of the questions")
    return (gained, Table(title="Heads whose sinks are damped", columns=columns, rows=rows)) if rows else (gained,)
