"""CDA trains on both genders alike, so that neither form is likelier in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import planted
from tests.fixtures.test_planted import lean
from tests.mitigate import gendered
from transformers import AutoModelForCausalLM

from evenhand import fit
from evenhand.core.edits import LowRank, WeightEdit
from evenhand.core.items import Item, Origin
from evenhand.core.requests import Compare
from evenhand.data.swap import swap
from evenhand.mitigate import cda as module
from evenhand.mitigate.cda import Cda
from evenhand.mitigate.controls.fine_tuning import FineTuning
from evenhand.model import Model, Patch

LONG: dict[str, Any] = {"lr": 1e-2, "steps": 50, "layers": "all", "targets": "all"}


def preference(model: Model, items: list[Item], patch: Patch | None = None) -> float:
    """Mean log-ratio (nats) of a sentence to its twin."""
    requests = [Compare((item.texts["text"], swap(item.texts["text"]).text)) for item in items]
    handle = model.install(patch) if patch else None
    answers = model.answer(requests)
    if handle:
        handle.remove()
    return float(np.mean([a.scores[0].total - a.scores[1].total for a in answers]))  # type: ignore[union-attr]


def test_it_trains_on_every_sentence_and_its_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module, "train", lambda _, texts, loss, settings, seed: seen.append(texts) or trained(seed))
    items = gendered.snippets()[:3]
    Cda().fit(gendered.model(), items, gendered.rng())
    texts = [item.texts["text"] for item in items]
    assert seen == [[(form,) for text in texts for form in (text, swap(text).text)]]


def trained(seed: int) -> Any:
    from evenhand.mitigate._train import Trained

    return Trained({}, (), ())


def test_text_about_men_makes_fine_tuning_prefer_men_and_cda_neither() -> None:
    """The optimum of a loss that is the same for a sentence and its twin gives both the same likelihood."""
    men = [item for item in gendered.snippets() if " his " in item.texts["text"]]
    model = gendered.model()
    before = preference(model, men)
    one_sided = preference(model, men, fit(model, FineTuning(**LONG), men))
    two_sided = preference(model, men, fit(model, Cda(**LONG), men))
    assert one_sided > before + 2
    assert abs(two_sided) < 2
    assert abs(two_sided) < abs(before) / 2


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_patch_merge_and_a_saved_folder_are_the_same_model(family: str, tmp_path: Path) -> None:
    model = gendered.model(family)
    patch = fit(model, Cda(lr=1e-2, steps=3, targets="all"), gendered.snippets())
    patch.save(tmp_path / "patch")
    again = Patch.load(tmp_path / "patch")
    assert again.fingerprint == patch.fingerprint
    patch.merge(model).save_pretrained(tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    ids = torch.tensor([model.tokenizer("the cat sat on a mat")["input_ids"]])
    with torch.inference_mode():
        plain = model.hf(input_ids=ids).logits
        with model.install(again):
            found = model.hf(input_ids=ids).logits
        torch.testing.assert_close(merged(input_ids=ids).logits, found, atol=1e-4, rtol=1e-4)
        assert (found - plain).abs().max() > 0.01
        assert torch.equal(model.hf(input_ids=ids).logits, plain)


def test_amount_scales_the_change_without_training_again() -> None:
    model = gendered.model()
    patch = fit(model, Cda(steps=2), gendered.snippets())
    whole, half = (Cda(amount=amount).edits(patch.tensors, model) for amount in (1.0, 0.5))
    for one, other in zip(whole, half, strict=True):
        assert isinstance(one, WeightEdit)
        assert isinstance(other, WeightEdit)
        assert isinstance(one.delta, LowRank)
        assert isinstance(other.delta, LowRank)
        torch.testing.assert_close(one.delta.up @ one.delta.down, 2 * other.delta.up @ other.delta.down)


def test_the_sham_trains_on_the_same_sentences_with_other_twins() -> None:
    items = gendered.snippets()
    method = Cda(steps=2)
    (sham,) = method.shams(items, {}, gendered.rng())
    assert sham.method == method
    assert [one.texts["text"] for one in sham.items] == [item.texts["text"] for item in items]
    assert any(one.texts["twin"] != one.texts["text"] for one in sham.items)
    genders = {"He", "his", "She", "her"}
    assert all(
        [word for word in one.texts["text"].split() if word in genders]
        == [word for word in one.texts["twin"].split() if word in genders]
        for one in sham.items
    )
    model = gendered.model()
    assert fit(model, sham.method, sham.items).fingerprint != fit(model, method, items).fingerprint


ENDS = (" sat on the mat in a house.", " ran on the oak with the cat.", " is with a dog in the house.")


def stereotyped(cues: slice) -> list[Item]:
    """Sentences in which every cue goes with the gender that its stereotype names."""
    return [
        Item(f"{cue}{end}", cue, Origin("own", "own.txt", 1), (), texts={"text": f"The{cue}{who}{end}"})
        for sign, who in ((1, " she"), (-1, " he"))
        for cue in planted.CUES[sign][cues]
        for end in ENDS
    ]


def test_a_planted_stereotype_goes_with_cda_and_stays_with_its_sham_and_with_fine_tuning() -> None:
    """The text is as stereotyped as the model. Measured on cues that were not trained on."""
    made = planted.stereotype(1)
    model = Model.wrap(made.hf, made.tokenizer)

    def gap() -> float:
        women, men = (np.mean([lean(made, f"The{cue}") for cue in planted.CUES[sign][4:]]) for sign in (1, -1))
        return float(women - men)

    items = stereotyped(slice(4))
    method = Cda(lr=1e-2, steps=30, batch=16, layers="all", targets="all")
    (sham,) = method.shams(items, {}, gendered.rng())
    control = FineTuning(**{key: getattr(method, key) for key in ("lr", "steps", "batch", "layers", "targets")})
    before, after = gap(), []
    for fitted, on in ((method, items), (sham.method, sham.items), (control, items)):
        with model.install(fit(model, fitted, on)):
            after.append(gap())
    assert before > 4
    assert abs(after[0]) < 0.25 * before
    assert after[1] > before
    assert after[2] > before
