"""A warning where a patch edits heads that copy from the context: answers from documents may suffer unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.items import Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.core.sites import Site
    from evenhand.model import Model, Patch

    Floats = NDArray[np.float64]

THRESHOLD = 0.1
"""Copy score from which a head counts as a retrieval head (Wu et al., ICLR 2025)."""
TESTS, WORDS, LENGTH, ORDERS = 16, 5, 96, 19


def warnings(model: Model, patches: Mapping[str, Patch], items: Sequence[Item], seed: int) -> tuple[str, ...]:
    """A sentence for each patch that picks out a retrieval head, by the name of its arm.

    Nothing is run unless a patch changes single heads. A head is one if it looks at 0.1 or more of the hidden words
    when their turn comes, and at more than in any of 19 random orders. Items give the text around the words.
    """
    from evenhand.model.needles import chosen_heads

    touched: dict[str, set[Site]] = {}
    try:
        for name, patch in patches.items():
            touched[name] = chosen_heads(list(patch.method.edits(patch.tensors, model)), model.anatomy)
        if not any(touched.values()):
            return ()
        scores = copy_scores(model, sorted(set().union(*touched.values())), items, seed)
    except (DataError, UnsupportedSite) as error:
        return (f"Whether the edited heads copy from the context was not found out: {error}",)
    said = []
    for name, heads in touched.items():
        copying = sorted((site for site in heads if site in scores), key=lambda site: -scores[site])
        if copying:
            listed = ", ".join(f"{site} ({scores[site]:.2f})" for site in copying[:8])
            more = f" and {len(copying) - 8} more" if len(copying) > 8 else ""
            said.append(
                f"Warning: {name} edits {len(copying)} of the heads that copy from the context (share of hidden words "
                f"that they look at, {THRESHOLD} or more): {listed}{more}. Test it on questions about given texts."
            )
    return tuple(said)


def copy_scores(model: Model, sites: Sequence[Site], items: Sequence[Item], seed: int) -> dict[Site, float]:
    """Copy scores of those sites that are retrieval heads.

    Raises:
        DataError: the items have too little text.
        UnsupportedSite: the model shows no attention weights.
    """
    import numpy as np

    from evenhand.model.needles import copied, looked_at, needles

    texts = [text for item in items for name, text in item.texts.items() if name == "text"]
    texts = texts or [text for item in items for text in item.texts.values()]
    rng = np.random.default_rng([seed, 2])
    asked = needles(model.tokenizer, texts, TESTS, words=WORDS, length=LENGTH, rng=rng)
    layers = sorted({site.layer for site in sites})
    looked = looked_at(model, asked, layers)
    every = [np.ones(len(one.queries), dtype=np.bool_) for one in asked]

    def mean(orders: Sequence[Sequence[int]]) -> Floats:
        found = [copied(f, one, order, c) for f, one, order, c in zip(looked, asked, orders, every, strict=True)]
        return np.asarray(np.mean(found, axis=0), dtype=np.float64)

    own = mean([range(len(one.words)) for one in asked])
    others = np.max([mean([rng.permutation(len(one.words)).tolist() for one in asked]) for _ in range(ORDERS)], axis=0)
    heads = model.anatomy.heads
    numbers = {site: layers.index(site.layer) * heads + (site.unit or 0) for site in sites}
    return {site: float(own[n]) for site, n in numbers.items() if own[n] >= THRESHOLD and own[n] > others[n]}
