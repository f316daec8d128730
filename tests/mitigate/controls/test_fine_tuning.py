"""Vanilla fine-tuning lowers the loss on its own texts, and takes as many steps as cda."""

from __future__ import annotations

import numpy as np
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.requests import Compare
from evenhand.mitigate.cda import Cda
from evenhand.mitigate.controls.fine_tuning import FineTuning
from evenhand.model import Model


def loss(model: Model) -> float:
    answers = model.answer([Compare((item.texts["text"],)) for item in gendered.snippets()])
    return float(np.mean([-answer.scores[0].mean for answer in answers]))  # type: ignore[union-attr]


def test_the_texts_become_likelier_and_the_note_says_by_how_much() -> None:
    model = gendered.model()
    before = loss(model)
    patch = fit(model, FineTuning(lr=1e-2, steps=10, batch=32, layers="all"), gendered.snippets())
    with model.install(patch):
        after = loss(model)
    assert after < before - 0.5
    assert any(f"loss: {before:.4g} in the first" in note for note in patch.provenance.notes)


def test_it_takes_as_many_steps_as_cda() -> None:
    model = gendered.model()
    notes = [fit(model, method, gendered.snippets()).provenance.notes for method in (FineTuning(), Cda())]
    steps = [next(note.split(" in ")[1] for note in some if note.startswith("Trained")) for some in notes]
    assert steps[0].split(" on ")[0] == steps[1].split(" on ")[0] == "8 steps"
