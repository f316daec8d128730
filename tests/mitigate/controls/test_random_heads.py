"""Random heads: distinct, evenly drawn, never the excluded ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.errors import UnsupportedSite, UsageError
from evenhand.mitigate.controls.random_heads import RandomHeads
from evenhand.mitigate.head_mask import HeadMask


def test_heads_are_distinct_even_and_never_excluded() -> None:
    model = gendered.model()
    method = RandomHeads(count=3, exclude=("L0.heads.0", "L2.heads.3"))
    drawn: Counter[tuple[int, int]] = Counter()
    for seed in range(300):
        heads = [tuple(row) for row in method.fit(model, (), np.random.default_rng(seed)).tensors["heads"].tolist()]
        assert len(set(heads)) == 3
        drawn.update(heads)
    assert len(drawn) == 10
    assert not {(0, 0), (2, 3)} & set(drawn)
    # 300 draws of 3 out of 10: 90 each, with a standard deviation of 7.9
    assert all(abs(count - 90) < 40 for count in drawn.values())


def test_it_does_to_them_what_masking_does() -> None:
    model = gendered.model()
    patch = fit(model, RandomHeads(count=2, amount=0.5))
    names = tuple(f"L{layer}.heads.{head}" for layer, head in patch.tensors["heads"].tolist())
    assert fit(model, HeadMask(heads=names)).tensors["heads"].tolist() == patch.tensors["heads"].tolist()
    assert patch.provenance.notes == (f"Drawn: {', '.join(names)}.",)


def test_more_heads_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="13 heads; llama has 12"):
        fit(gendered.model(), RandomHeads(count=13))


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(UnsupportedSite, match="no attention heads"):
        fit(gendered.model("mamba"), RandomHeads())
