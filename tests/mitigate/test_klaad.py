"""KLAAD's terms against plain forward passes of single texts, and what training with them does."""

from __future__ import annotations

import math
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny, tiny_data
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.edits import Dense
from evenhand.core.errors import DataError, UsageError
from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose, Compare
from evenhand.measure._items import items as loaded
from evenhand.measure.stereoset import Stereoset
from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate import _trainer
from evenhand.mitigate._klaad import Objective
from evenhand.mitigate._train import Batch
from evenhand.mitigate._triplets import triplet
from evenhand.mitigate.controls.cross_entropy import CrossEntropy
from evenhand.mitigate.klaad import Klaad
from evenhand.model import Model, Patch

TEXTS = (
    ("the cat sat on the mat", "the small dog sat on the mat", "no house"),
    ("a dog is bad", "a dog is good", "yes the small dog sat on a mat and ran"),
    ("no dogs is walking", "cats and dogs is walking on a mat", "a house"),
    ("the big house is on the mat or in", "the house is on the mat", "walk"),
)
QUICK: dict[str, Any] = {"lr": 1e-2, "steps": 3, "rank": 4, "alpha": 8, "batch": 4, "layers": "all"}


def item(number: int, texts: tuple[str, ...], context: str = "") -> Item:
    roles = ("stereotype", "anti-stereotype", "unrelated")
    requests = (Choose(context, tuple(f" {text}" for text in texts)),) if context else (Compare(texts),)
    origin = Origin("own", "own.json", number + 1)
    return Item(f"t{number}", f"c{number}", origin, requests, texts=dict(zip(roles, texts, strict=True)))


def some_items(context: str = "") -> list[Item]:
    return [item(number, texts, context) for number, texts in enumerate(TEXTS)]


def batch_of(model: Model, texts: Any = TEXTS) -> Batch:
    return Batch(**_trainer._collated(_trainer.encoded(model, texts, 64)))


def found_in(model: Model, settings: Klaad, texts: Any = TEXTS) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return Objective(model, settings)(model.hf, batch_of(model, texts))


def alone(family: str, text: str) -> tuple[list[int], Any]:
    """One text by itself, without padding, through a twin whose attention is eager and returned."""
    network = tiny.network(family)
    network.set_attn_implementation("eager")
    ids = _trainer.encoded(Model.wrap(network, tiny.tokenizer()), [(text,)], 64)[0][1][0]
    with torch.no_grad():
        out = network(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    return list(ids), out


def gap_by_hand(family: str, first: str, second: str, align: str, heads: str, softmax: bool) -> float:
    """KL(second || first) in plain loops."""
    (one, a), (two, b) = alone(family, first), alone(family, second)
    left, right = a.attentions[-1][0].double().numpy(), b.attentions[-1][0].double().numpy()
    if heads == "mean":
        left, right = left.mean(0, keepdims=True), right.mean(0, keepdims=True)
    pairs = list(zip(range(len(one)), range(len(two)), strict=False))
    if align == "match":
        codes = SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
        pairs = [
            (x, y) for _, i, j, k, m in codes if j - i == m - k for x, y in zip(range(i, j), range(k, m), strict=True)
        ]
    each = []
    for head in range(len(left)):
        for row in range(1, len(pairs)):
            p, q = (
                [w[head][pairs[row][side]][pairs[c][side]] for c in range(row + 1)]
                for side, w in enumerate((left, right))
            )
            p, q = ([math.exp(v) for v in w] for w in (p, q)) if softmax else (p, q)
            each.append(sum(v / sum(q) * math.log((v / sum(q)) / (u / sum(p))) for u, v in zip(p, q, strict=True)))
    return float(np.mean(each))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("align", "heads", "softmax"),
    [("match", "each", False), ("pad", "each", False), ("match", "mean", False), ("match", "each", True)],
)
def test_attention_is_compared_as_by_hand(family: str, align: Any, heads: Any, softmax: bool) -> None:
    """In one padded batch of texts of all lengths, against single texts and loops."""
    settings = Klaad(align=align, heads=heads, paper_softmax=softmax)
    found = found_in(gendered.model(family), settings)["attention"]
    expected = [gap_by_hand(family, first, second, align, heads, softmax) for first, second, _ in TEXTS]
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-3, atol=1e-6)
    assert min(expected) > 0


def test_a_divergence_known_by_hand() -> None:
    """Rows (1/2, 1/2) and (1/4, 3/4): KL = 1/4 ln 1/2 + 3/4 ln 3/2; a third column is no partner's and goes."""
    stereotype = [[1.0, 0.0, 0.0], [0.4, 0.4, 0.2]]
    anti = [[1.0, 0.0, 0.0], [0.25, 0.75, 0.0]]
    weights = torch.tensor([stereotype, anti])[:, None]
    kept = [((0, 1), (0, 1))]
    found = terms.attention_gap(weights, kept, heads="each", paper_softmax=False, teacher="none")
    assert found.tolist() == pytest.approx([0.25 * math.log(0.5) + 0.75 * math.log(1.5)], rel=1e-5)
    lonely = terms.attention_gap(weights[:, :, :1], [((0,), (0,))], heads="each", paper_softmax=False, teacher="none")
    assert lonely.tolist() == [0.0]


@pytest.mark.parametrize(("teacher", "still"), [("none", ()), ("stereotype", (0,)), ("anti-stereotype", (1,))])
def test_the_teacher_gets_no_gradient(teacher: Any, still: tuple[int, ...]) -> None:
    weights = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).tril().requires_grad_()
    kept = [((0, 1, 2, 3), (0, 1, 2, 3))]
    terms.attention_gap(weights, kept, heads="each", paper_softmax=False, teacher=teacher).sum().backward()
    assert weights.grad is not None
    assert [n for n in (0, 1) if not weights.grad[n].any()] == list(still)


@pytest.mark.parametrize("pool", ["mean", "last"])
def test_the_triplet_term_is_as_by_hand(pool: Any) -> None:
    found = found_in(gendered.model(), Klaad(pool=pool, margin=0.7))["triplet"]
    expected = []
    for texts in TEXTS:
        states = [alone("llama", text)[1].hidden_states[-1][0].double().numpy() for text in texts]
        pooled = [state.mean(0) if pool == "mean" else state[-1] for state in states]
        s, a, u = (vector / np.sqrt((vector**2).sum()) for vector in pooled)
        expected.append(max(0.0, float(((s - a) ** 2).sum() - ((s - u) ** 2).sum() + 0.7)))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert max(expected) > 0


def test_cross_entropy_and_the_weighted_sum() -> None:
    """Unrelated texts are no part of cross-entropy; every token of a twin counts alike, and so does every twin."""
    model = gendered.model()
    settings = Klaad(preset="gpt_neo", triplet=2.0)
    found = found_in(model, settings)
    answers: Any = model.answer([Compare(texts[:2]) for texts in TEXTS])
    expected = [-np.mean([score.mean for score in answer.scores]) for answer in answers]
    np.testing.assert_allclose(found["cross_entropy"].numpy(), expected, rtol=1e-4)
    whole = 0.5 * found["cross_entropy"] + 0.25 * found["attention"] + 2.0 * found["triplet"]
    torch.testing.assert_close(found["loss"], whole)


@pytest.mark.parametrize("term", ["cross_entropy", "attention", "triplet"])
def test_a_term_of_weight_0_is_not_computed(term: str) -> None:
    texts = [pair[:2] for pair in TEXTS] if term == "triplet" else TEXTS
    found = found_in(gendered.model(), Klaad(**{term: 0.0}), texts)
    assert found.keys() == {"loss", "cross_entropy", "attention", "triplet"} - {term}
    every = found_in(gendered.model(), Klaad())
    torch.testing.assert_close(
        found["loss"], every["loss"] - Klaad().weighting[term] * every[term], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("preset", "weights", "margin"),
    [("llama", (0.7, 0.15, 0.15), 0.3), ("gpt_neo", (0.5, 0.25, 0.25), 0.5), ("gemma", (0.9, 0.05, 0.05), 0.5)],
)
def test_presets_are_the_paper_s(preset: Any, weights: tuple[float, ...], margin: float) -> None:
    settings = Klaad(preset=preset)
    assert (tuple(settings.weighting.values()), settings.wide) == (weights, margin)
    assert Klaad(preset=preset, margin=0.0).wide == 0.0


def test_without_its_mechanism_it_is_the_cross_entropy_control() -> None:
    """The same numbers, bit by bit, from another implementation."""
    control = fit(gendered.model(), CrossEntropy(**QUICK), some_items())
    ours = fit(gendered.model(), Klaad(attention=0.0, triplet=0.0, cross_entropy=1.0, **QUICK), some_items())
    assert {n: t for n, t in ours.tensors.items() if n.startswith("up")}.keys() == {
        name for name in control.tensors if name.startswith("up")
    }
    for name, tensor in control.tensors.items():
        torch.testing.assert_close(ours.tensors[name], tensor, atol=1e-5, rtol=1e-4)


def test_four_batches_of_one_are_one_batch_of_four() -> None:
    """The terms of every step and what was learned; texts, and so their padding, differ in length."""
    whole = fit(gendered.model(), Klaad(**QUICK), some_items())
    parts = fit(gendered.model(), Klaad(**{**QUICK, "batch": 1, "accumulation": 4}), some_items())
    for name, tensor in whole.tensors.items():
        near = {"atol": 1e-3, "rtol": 1e-3} if name.startswith("history") else {"atol": 2e-3, "rtol": 2e-2}
        torch.testing.assert_close(tensor, parts.tensors[name], **near)
    assert whole.tensors["history:attention"].shape == (3,)


def attention_apart(model: Model, items: list[Item], patch: Patch | None = None) -> float:
    """Mean divergence of the twins' attention in the last layer."""
    texts = [triplet(one).texts for one in items]
    handle = model.install(patch) if patch else None
    found = float(found_in(model, Klaad(), texts)["attention"].mean())
    if handle:
        handle.remove()
    return found


def test_at_a_high_weight_the_attention_of_held_out_twins_draws_together() -> None:
    made = [
        item(number, (f"{subject} {end}", f"{subject} and dogs {end}", "walk"))
        for number, (subject, end) in enumerate((s, e) for s in gendered.SUBJECTS for e in gendered.ENDS)
    ]
    learned, held_out = made[:24], made[24:]
    long = {**QUICK, "steps": 25, "batch": 12}
    model = gendered.model()
    before = attention_apart(model, held_out)
    strong = attention_apart(model, held_out, fit(model, Klaad(attention=50.0, **long), learned))
    without = attention_apart(model, held_out, fit(model, Klaad(attention=0.0, **long), learned))
    assert strong < 0.3 * before
    assert strong < 0.5 * without


def test_the_sham_trains_on_pairs_across_targets() -> None:
    items, method = [*some_items(), *some_items("the cats was big.")], Klaad(**QUICK)
    (sham,) = method.shams(items, {}, gendered.rng())
    assert sham.method == method
    assert len(sham.items) == len(items)
    model = gendered.model()
    assert fit(model, sham.method, sham.items).fingerprint != fit(model, method, items).fingerprint
    assert method.shams(items[:1], {}, gendered.rng()) == ()


def test_sentences_stand_after_their_context_and_files_of_one_s_own_are_read(tmp_path: Any) -> None:
    own = loaded(Stereoset(file=str(tiny_data.stereoset(tmp_path / "own.json", 4)))).items
    inside, after = own[0], own[-1]
    assert triplet(inside).contexts == ("", "", "")
    assert triplet(inside).texts[1] == inside.texts["anti-stereotype"]
    context = after.texts["context"] + ("" if after.texts["context"].endswith(".") else ".")
    assert triplet(after).contexts == (context,) * 3
    assert triplet(after).texts[2] == f"{context} {after.texts['unrelated']}"
    notes = fit(gendered.model(), Klaad(**QUICK), own).provenance.notes
    assert any("3 steps on 8 examples" in note for note in notes)
    assert any("0.7 x cross_entropy" in note and "0.15 x triplet" in note for note in notes)


def test_full_training_and_adapters_give_edits_that_amount_scales() -> None:
    model = gendered.model()
    method = Klaad(**{**QUICK, "rank": 0, "targets": "all", "lr": 1e-3})
    patch = fit(model, method, some_items())
    edits = method.edits(patch.tensors, model)
    assert {edit.param for edit in edits} == {name for name, _ in model.hf.named_parameters()}  # type: ignore[union-attr]
    half = Klaad(amount=0.5).edits(patch.tensors, model)
    assert isinstance(edits[0].delta, Dense)  # type: ignore[union-attr]
    torch.testing.assert_close(half[0].delta.delta * 2, edits[0].delta.delta)  # type: ignore[union-attr]


def test_what_cannot_be_trained_on_is_refused() -> None:
    with pytest.raises(UsageError, match="every term has weight 0"):
        fit(gendered.model(), Klaad(cross_entropy=0.0, attention=0.0, triplet=0.0), some_items())
    with pytest.raises(DataError, match="'unrelated'"):
        fit(gendered.model(), Klaad(), [gendered.snippets()[0]])
