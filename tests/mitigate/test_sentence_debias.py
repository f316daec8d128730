"""SentenceDebias against scikit-learn's PCA and against plain forward passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.errors import UnsupportedSite, UsageError
from evenhand.core.sites import FINAL, Part, Site
from evenhand.mitigate._contrast import contrasts
from evenhand.mitigate._projection import projections
from evenhand.mitigate.sentence_debias import SentenceDebias


def test_the_direction_is_the_first_principal_component_of_centred_pairs() -> None:
    model = gendered.model()
    pairs = contrasts(gendered.snippets(), gendered.rng(), limit=99, method="test")
    texts = [pair.first for pair in pairs] + [pair.second for pair in pairs]
    states = gendered.final_states(model, texts)
    units = (states / states.norm(dim=1, keepdim=True)).numpy().reshape(2, len(pairs), -1)
    centred = units - units.mean(0)
    expected = PCA(n_components=2).fit(centred.reshape(2 * len(pairs), -1)).components_

    found = fit(model, SentenceDebias(dim=2), gendered.snippets()).tensors["L0.final.left"].numpy()

    np.testing.assert_allclose(np.abs(expected @ found), np.eye(2), atol=2e-5)


def test_a_projected_state_has_nothing_along_the_direction_and_all_else_as_it_was() -> None:
    basis = torch.linalg.qr(torch.randn(8, 2, generator=torch.Generator().manual_seed(0))).Q
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))
    (edit,) = projections({"L0.final.left": basis}, 1.0)
    rest = torch.eye(8) - basis @ basis.T
    assert edit.fn(x) @ basis == pytest.approx(torch.zeros(3, 5, 2), abs=1e-6)
    assert edit.fn(x) @ rest == pytest.approx(x @ rest, abs=1e-6)
    (half,) = projections({"L0.final.left": basis}, 0.5)
    assert half.fn(x) @ basis == pytest.approx(0.5 * x @ basis, abs=1e-6)


def test_the_logits_are_those_of_projected_states() -> None:
    model = gendered.model()
    patch = fit(model, SentenceDebias(amount=0.75), gendered.snippets())
    v = patch.tensors["L0.final.left"]
    ids = torch.tensor([model.tokenizer("the cat sat on a mat")["input_ids"]])
    with torch.inference_mode():
        state = model.hf.model(input_ids=ids).last_hidden_state
        expected = model.hf.lm_head(state - 0.75 * (state @ v) @ v.T)
        with model.install(patch):
            found = model.hf(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_later_layer_is_fitted_with_the_earlier_one_projected() -> None:
    model = gendered.model()
    both = fit(model, SentenceDebias(layers=(0, 2)), gendered.snippets())
    only = fit(model, SentenceDebias(layers=(0,)), gendered.snippets())
    assert set(both.tensors) == {"L0.residual.left", "L2.residual.left"}
    assert torch.equal(both.tensors["L0.residual.left"], only.tensors["L0.residual.left"])
    with model.install(projections(only.tensors, 1.0)):
        pairs = contrasts(gendered.snippets(), gendered.rng(), limit=300, method="test")
        site = Site(2, Part.RESIDUAL)
        states = model.states([p.first for p in pairs] + [p.second for p in pairs], [site])[site]
    expected, _ = SentenceDebias()._components(states[: len(pairs)], states[len(pairs) :])
    torch.testing.assert_close(both.tensors["L2.residual.left"].double(), expected["left"], atol=1e-4, rtol=1e-4)


def test_shams_are_as_large() -> None:
    model = gendered.model()
    method = SentenceDebias(dim=2, amount=0.5)
    patch = fit(model, method, gendered.snippets())
    shams = method.shams(gendered.snippets(), patch.tensors, gendered.rng())
    assert [sham.name for sham in shams] == ["unrelated partners", "random direction"]
    for sham in shams:
        made = fit(model, sham.method, sham.items)
        assert {name: t.shape for name, t in made.tensors.items()} == {n: t.shape for n, t in patch.tensors.items()}
        assert not torch.allclose(made.tensors["L0.final.left"].abs(), patch.tensors["L0.final.left"].abs(), atol=1e-3)
        assert sham.method.model_dump()["amount"] == 0.5


def test_layers_that_are_not_there_and_too_many_directions_are_refused() -> None:
    model = gendered.model()
    with pytest.raises(UnsupportedSite, match="There is no layer 9"):
        fit(model, SentenceDebias(layers=(9,)), gendered.snippets())
    with pytest.raises(UsageError, match="32 directions"):
        fit(model, SentenceDebias(dim=32), gendered.snippets())


def test_the_site_is_the_last_hidden_state() -> None:
    patch = fit(gendered.model(), SentenceDebias(), gendered.sentence_pairs())
    assert [edit.site for edit in projections(patch.tensors, 1.0)] == [FINAL]
    assert patch.provenance.notes[0] == "Fitted on 8 pairs of texts."
