"""Cross-entropy on both meaningful sentences of an item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.errors import DataError
from evenhand.core.requests import Compare
from evenhand.mitigate.controls.cross_entropy import CrossEntropy

QUICK = CrossEntropy(lr=1e-2, steps=2, batch=8, layers="all")


@pytest.mark.parametrize("prompt", ["", "the dog ran."])
def test_the_loss_is_the_mean_of_both_sentences_after_the_prompt(prompt: str) -> None:
    model = gendered.model()
    before = f"{prompt} " if prompt else ""
    items = gendered.sentence_pairs(prompt)
    texts = [[before + item.texts[key] for key in ("stereotype", "anti-stereotype")] for item in items]
    answers = model.answer([Compare(tuple(pair)) for pair in texts])
    expected = float(np.mean([[-score.mean for score in answer.scores] for answer in answers]))  # type: ignore[union-attr]
    notes = fit(model, QUICK, items).provenance.notes
    assert any(f"loss: {expected:.4g} in the first 1 steps" in note for note in notes)


def test_unrelated_sentences_are_not_read() -> None:
    model = gendered.model()
    items = gendered.sentence_pairs()
    other = [replace(item, texts={**item.texts, "unrelated": "no house"}) for item in items]
    assert fit(model, QUICK, items).fingerprint == fit(model, QUICK, other).fingerprint


def test_items_without_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="reads 'stereotype' and 'anti-stereotype'"):
        fit(gendered.model(), QUICK, gendered.snippets())
