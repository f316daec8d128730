from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from tests.fixtures import planted, tiny
from tests.locate import made_up

from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.sites import Part, Site
from evenhand.locate._probe import held_out, macro_f1, predictor
from evenhand.locate._run import locate
from evenhand.locate.stereotype_probe import StereotypeProbe, labelled, shuffled
from evenhand.model import Model

PROBE = StereotypeProbe(penalty=10.0, shuffles=99)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_ridge_probe_is_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(3.0, 2.0, size=(60, 80)), rng.integers(0, classes, size=60)
    folds = held_out([f"c{n // 4}" for n in range(60)], 5, rng)
    found = predictor("ridge", x, folds, classes, penalty=7.0, hidden=1)(labels, 0)
    for fold in range(5):
        train = folds != fold
        scaler = StandardScaler().fit(x[train])
        other = RidgeClassifier(alpha=7.0).fit(scaler.transform(x[train]), labels[train])
        assert found[~train].tolist() == other.predict(scaler.transform(x[~train])).tolist()


def test_macro_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    labels, found = rng.integers(0, 3, size=50), rng.integers(0, 3, size=50)
    assert macro_f1(labels, found) == pytest.approx(f1_score(labels, found, average="macro"))
    assert macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_whole_concepts_are_held_out() -> None:
    groups = [f"c{n // 6}" for n in range(60)]
    folds = held_out(groups, 4, np.random.default_rng(0))
    for name in set(groups):
        assert len({fold for fold, group in zip(folds, groups, strict=True) if group == name}) == 1
    assert np.bincount(folds).tolist() == [18, 18, 12, 12]
    assert set(held_out(["a", "b"], 5, np.random.default_rng(0))) == {0, 1}


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
def test_the_other_probes_learn_what_is_there(kind: str) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, size=80)
    x = rng.normal(size=(80, 6)) + 3 * labels[:, None]
    folds = held_out([f"c{n // 8}" for n in range(80)], 4, rng)
    found = predictor(kind, x, folds, 2, penalty=1.0, hidden=8)(labels, 0)  # type: ignore[arg-type]
    assert macro_f1(labels, found) > 0.9


def test_calibrated_labels_take_the_median_of_the_template_off() -> None:
    emitted = np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]])
    templates = ["a", "a", "a", "b", "b", "b"]
    assert labelled(emitted, templates, calibrated=False).tolist() == [0, 0, 0, 1, 1, 1]
    assert labelled(emitted, templates, calibrated=True).tolist() == [0, 0, 1, 0, 0, 1]  # a tie goes to the first


def test_shuffling_moves_whole_concepts_and_keeps_every_templates_labels() -> None:
    rng = np.random.default_rng(3)
    cells = [(f"c{c}", t, str(n)) for c in range(6) for t in "ab" for n in range(2)]
    concepts, templates, numbers = map(list, zip(*cells, strict=True))
    labels = rng.integers(0, 3, size=len(cells))
    moved = shuffled(labels, templates, concepts, numbers, rng)
    own = {c: tuple(labels[[x == c for x in concepts]]) for c in concepts}
    new = [tuple(moved[[x == c for x in concepts]]) for c in own]
    assert sorted(new) == sorted(own.values())
    uneven = shuffled(labels[:-1], templates[:-1], concepts[:-1], numbers[:-1], rng)
    for name in "ab":
        at = np.array(templates[:-1]) == name
        assert sorted(uneven[at]) == sorted(labels[:-1][at])


def test_the_emitted_probability_is_that_of_the_forms_together() -> None:
    made = planted.stereotype(0, carried=True)
    model = Model.wrap(made.hf, made.tokenizer)
    (item,) = made_up.cues()[:1]
    (row,) = PROBE._emitted(model, [item])
    prompt = made.tokenizer(item.texts["cue"]).input_ids
    for group, forms in enumerate((made_up.FORMS[:4], made_up.FORMS[4:])):
        totals = [
            tiny.total(made.hf, [*prompt, *made.tokenizer(f, add_special_tokens=False).input_ids], len(prompt))
            for f in forms
        ]
        assert row[group] == pytest.approx(math.log(sum(map(math.exp, totals))), abs=1e-4)


def test_the_planted_layer_is_ranked_first() -> None:
    hits = 0
    for seed in range(5):
        made = planted.stereotype(seed, carried=True)
        found = locate(Model.wrap(made.hf, made.tokenizer), PROBE, made_up.cues(), seed=seed)
        top = found.top(1)
        hits += bool(top) and top[0].site == str(made.sites[0])
        assert len(found.scores) == planted.LAYERS
    assert hits >= 4


def test_foreign_labels_are_seldom_found() -> None:
    """A probe on activations of noise, with labels that lie in concepts: 5 % over all layers together."""
    from evenhand.locate.stereotype_probe import probed

    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cells = [(f"c{c}", t, "1") for c in range(12) for t in "abc"]
        concepts, templates, numbers = map(list, zip(*cells, strict=True))
        likeness = rng.normal(size=(12, 10)).repeat(3, axis=0)
        labels = (rng.normal(size=12).repeat(3) + 0.5 * rng.normal(size=36) > 0).astype(np.int64)
        inputs = [likeness + 0.5 * rng.normal(size=(36, 10)) for _ in range(4)]
        found = probed(PROBE.model_copy(update={"shuffles": 39}), inputs, labels, templates, concepts, numbers, rng)
        false += any((score.p_corrected or 1) <= 0.05 for score in found)
    assert false <= 4  # 1 expected


def test_a_model_that_always_says_the_same_has_no_values() -> None:
    made = planted.clean(0)
    with torch.no_grad():
        made.hf.lm_head.weight[list(planted._ids(" woman", " girl")), planted.CONST] = 50.0
    found = locate(Model.wrap(made.hf, made.tokenizer), StereotypeProbe(labels="raw"), made_up.cues())
    assert [score.value for score in found.scores] == [None] * planted.LAYERS
    assert "always says the same group" in found.notes[-1]


def test_the_part_that_is_read_can_be_chosen() -> None:
    made = planted.stereotype(0, carried=True)
    locator = StereotypeProbe(part="residual", shuffles=19)
    found = locate(Model.wrap(made.hf, made.tokenizer), locator, made_up.cues())
    assert found.scores[0].site == str(Site(0, Part.RESIDUAL))


def test_cues_of_one_concept_are_refused() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    with pytest.raises(DataError, match="holds out concepts"):
        locate(model, StereotypeProbe(), made_up.cues()[:3])
    with pytest.raises(DataError, match="'age'"):
        locate(model, StereotypeProbe(attribute="age"), made_up.cues())


def test_a_model_without_the_part_is_refused() -> None:
    model = Model.wrap(tiny.network("mamba"), tiny.tokenizer())
    with pytest.raises(UnsupportedSite, match="part=residual"):
        locate(model, StereotypeProbe(), made_up.cues())
