"""LEACE: the theorem on the edited states, and the package's own eraser."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from tests.mitigate import gendered

from evenhand import fit
from evenhand.mitigate._contrast import contrasts
from evenhand.mitigate._projection import projections
from evenhand.mitigate.leace import Leace, package


def fitted() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States of the texts, edited states, labels."""
    model = gendered.model()
    pairs = contrasts(gendered.snippets(), gendered.rng(), limit=99, method="test")
    x = gendered.final_states(model, [pair.first for pair in pairs] + [pair.second for pair in pairs])
    (edit,) = projections(fit(model, Leace(), gendered.snippets()).tensors, 1.0)
    return x, edit.fn(x[None])[0], torch.cat([torch.ones(len(pairs)), torch.zeros(len(pairs))]).double()


def test_no_linear_classifier_beats_a_constant_on_the_edited_states() -> None:
    x, edited, z = fitted()

    def loss(states: torch.Tensor) -> float:
        """Best mean log-loss (nats) of a linear classifier."""
        scaled = ((states - states.mean(0)) / x.std()).numpy()
        p = LogisticRegression(C=1e4, tol=1e-8, max_iter=2000).fit(scaled, z.numpy()).predict_proba(scaled)[:, 1]
        return float(-np.mean(z.numpy() * np.log(p) + (1 - z.numpy()) * np.log(1 - p)))

    assert loss(x) < 0.05
    assert abs(loss(edited) - np.log(2)) < 1e-4


def test_the_cross_covariance_with_the_label_is_zero_and_the_mean_stays() -> None:
    x, edited, z = fitted()
    before, after = ((s - s.mean(0)).T @ (z - z.mean()) for s in (x, edited))
    assert float(after.norm()) < 1e-4 * float(before.norm())
    torch.testing.assert_close(edited.mean(0), x.mean(0), atol=1e-5, rtol=1e-5)


def test_the_edit_is_the_eraser_of_the_package() -> None:
    x, edited, z = fitted()
    torch.testing.assert_close(edited, package().LeaceEraser.fit(x, z[:, None])(x), atol=1e-4, rtol=1e-4)


def test_it_changes_less_than_the_orthogonal_projection_that_erases_as_well() -> None:
    x, edited, z = fitted()
    orthogonal = package().LeaceEraser.fit(x, z[:, None], method="orth")(x)
    whiten = torch.linalg.pinv(torch.cov(x.T), rtol=1e-10)

    def cost(change: torch.Tensor) -> float:
        return float(((change @ whiten) * change).sum())

    assert float((edited - x).norm()) < 1.5 * float((orthogonal - x).norm())
    assert cost(edited - x) < cost(orthogonal - x)


def test_strength_mixes_and_a_patch_holds_the_three_tensors() -> None:
    patch = fit(gendered.model(), Leace(layers=(1,)), gendered.snippets())
    assert {name: tuple(t.shape) for name, t in patch.tensors.items()} == {
        "L1.residual.left": (32, 1),
        "L1.residual.right": (1, 32),
        "L1.residual.centre": (32,),
    }
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    (whole,), (part,) = projections(patch.tensors, 1.0), projections(patch.tensors, 0.25)
    torch.testing.assert_close(part.fn(x), 0.75 * x + 0.25 * whole.fn(x), atol=1e-5, rtol=1e-5)
    assert whole.fn(x.bfloat16()).dtype == torch.bfloat16


def test_shuffled_labels_leave_another_direction_of_the_same_rank() -> None:
    model, method = gendered.model(), Leace()
    patch = fit(model, method, gendered.snippets())
    shuffled, other = method.shams(gendered.snippets(), patch.tensors, gendered.rng())
    made = fit(model, shuffled.method, shuffled.items).tensors
    cosine = torch.cosine_similarity(made["L0.final.right"][0], patch.tensors["L0.final.right"][0], dim=0)
    assert made["L0.final.left"].shape == (32, 1)
    assert abs(float(cosine)) < 0.8
    assert other.method.model_dump()["rank"] == 1
