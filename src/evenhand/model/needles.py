"""Needle tests: random words are hidden in a text and asked for; which heads look at the word that is to be copied?

The words are drawn at random, so that nothing but the text tells which comes next, and the answer is given to the model
word by word: a head is watched whether or not the model would have found the answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evenhand.core.edits import ActivationEdit, AttentionEdit, Edit, Slice, WeightEdit
from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.sites import Part, Site

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.model.anatomy import Anatomy
    from evenhand.model.model import Model

HIDDEN = " The secret words are:"
ASKED = "\n\nQuestion: What are the secret words?\nAnswer: The secret words are:"


@dataclass(frozen=True, slots=True)
class Needle:
    """One test as tokens.

    Attributes:
        ids: the text, the question and the answer.
        places: where each token of the hidden words stands.
        queries: the token before each token of the answer; as many.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    queries: tuple[int, ...]

    @property
    def words(self) -> tuple[int, ...]:
        """Token ids of the hidden words."""
        return tuple(self.ids[place] for place in self.places)


def needles(
    tokenizer: Any, texts: Sequence[str], count: int, *, words: int, length: int, rng: np.random.Generator
) -> list[Needle]:
    """Tests made of some texts.

    Args:
        tokenizer: of the model.
        texts: what the words are hidden in and drawn from.
        count: how many tests.
        words: how many words are hidden.
        length: tokens of the text around them, at most.
        rng: the only source of chance.

    Raises:
        DataError: the texts have too few different words.
    """
    known = sorted({word for text in texts for word in text.lower().split() if word.isascii() and word.isalpha()})
    if len(known) < 2 * words:
        raise DataError(
            f"A needle test hides {words} random words and needs twice as many to draw from; these texts have "
            f"{len(known)}. Give more text."
        )

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    opening = tokenizer("", verbose=False)["input_ids"][:1]
    hidden, asked, stop = ids(HIDDEN), ids(ASKED), ids(".")
    made = []
    for _ in range(count):
        around = ids(texts[int(rng.integers(len(texts)))])[:length]
        answer = ids("".join(f" {known[n]}" for n in rng.choice(len(known), words, replace=False)))
        depth = int(rng.integers(len(around) + 1))
        before = [*opening, *around[:depth], *hidden]
        through = [*before, *answer, *stop, *around[depth:], *asked]
        places = range(len(before), len(before) + len(answer))
        queries = range(len(through) - 1, len(through) - 1 + len(answer))
        made.append(Needle((*through, *answer), tuple(places), tuple(queries)))
    return made


def looked_at(model: Model, asked: Sequence[Needle], layers: Sequence[int]) -> list[NDArray[np.int64]]:
    """The place that each head looks at most from each query: int [layers * H, queries] for each test."""
    from evenhand.model.jobs import batches

    out: list[Any] = [None] * len(asked)
    for group in batches([len(one.ids) for one in asked], model.budget.pack):
        ids, real, rows = _padded([asked[n] for n in group])
        found: dict[int, Tensor] = {}

        def read(layer: int, weights: Tensor, found: dict[int, Tensor] = found) -> None:
            found[layer] = weights.argmax(-1).cpu()

        with torch.inference_mode(), model.attention(layers, read, rows=rows):
            model.hf(
                input_ids=ids.to(model.device), attention_mask=real.to(model.device), use_cache=False, logits_to_keep=1
            )
        every = torch.stack([found[layer] for layer in layers], dim=1).flatten(1, 2)  # [B, layers * H, R]
        for row, number in enumerate(group):
            out[number] = every[row, :, : len(asked[number].queries)].numpy()
    return out


def written(model: Model, asked: Sequence[Needle]) -> list[NDArray[np.bool_]]:
    """Whether the model itself finds each token of the answer likeliest, bool [queries] for each test."""
    out = []
    for one in asked:
        ids = torch.tensor([one.ids], device=model.device)
        with torch.inference_mode():
            logits = model.hf(input_ids=ids, use_cache=False, logits_to_keep=len(one.queries) + 1).logits[0, :-1]
        out.append((logits.argmax(-1).cpu() == torch.tensor(one.words)).numpy())
    return out


def copied(looked: NDArray[np.int64], one: Needle, order: Sequence[int], counted: NDArray[np.bool_]) -> Any:
    """Share of the hidden tokens that each head looks at when their turn comes, float [layers * H].

    A token counts once, however often it is looked at. With another `order` than 0, 1, ... the answer's tokens are
    matched with other places: what a head that looks at the words in no order would do.
    """
    import numpy as np

    tokens, places = np.array(one.words), np.array(one.places)
    turn = tokens[:, None] == tokens[np.array(order)][None]  # [queries, places]: is this place's token to come now?
    hit = (looked[:, :, None] == places) & (turn & counted[:, None])
    return hit.any(axis=1).mean(axis=1)


def _padded(chosen: Sequence[Needle]) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, what of them is real, and queries, filled up by repeating the last: int [B, L], [B, L], [B, R]."""
    longest, most = max(len(one.ids) for one in chosen), max(len(one.queries) for one in chosen)
    ids = torch.zeros((len(chosen), longest), dtype=torch.long)
    real = torch.zeros_like(ids)
    for row, one in enumerate(chosen):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        real[row, : len(one.ids)] = 1
    rows = torch.tensor([[*one.queries, *[one.queries[-1]] * (most - len(one.queries))] for one in chosen])
    return ids, real, rows


def chosen_heads(edits: Sequence[Edit], anatomy: Anatomy) -> set[Site]:
    """Heads that edits pick out: whose attention, output, or query, key or value rows are changed, and not all heads'.

    What changes whole layers alike (trained adapters, directions in the residual stream) picks out none.
    """
    found: set[Site] = set()
    for edit in edits:
        match edit:
            case AttentionEdit():
                found |= {Site(edit.layer, Part.HEADS, head) for head in edit.heads}
            case ActivationEdit() if edit.site.part is Part.HEADS:
                found |= _scaled(edit, anatomy)
            case WeightEdit() if isinstance(edit.delta, Slice):
                found |= _rows(edit, edit.delta, anatomy)
            case _:
                pass
    every = len(anatomy.sites(Part.HEADS))
    return set() if len(found) == every else found


def _scaled(edit: ActivationEdit, anatomy: Anatomy) -> set[Site]:
    x = torch.ones((1, 1, anatomy.heads * anatomy.head_width))
    moved = (edit.fn(x) - x).reshape(anatomy.heads, -1).abs().amax(-1) > 0
    return {Site(edit.site.layer, Part.HEADS, int(head)) for head in moved.nonzero()[:, 0]}


def _rows(edit: WeightEdit, delta: Slice, anatomy: Anatomy) -> set[Site]:
    touched, found = set(delta.index), set()
    for site, which in itertools.product(anatomy.sites(Part.HEADS), ("q", "k", "v")):
        try:
            place = anatomy.head_slices(site.layer, site.unit or 0, which)  # type: ignore[arg-type]
        except UnsupportedSite:
            continue
        if place.param == edit.param and touched & set(place.index):
            found.add(site)
    return found
