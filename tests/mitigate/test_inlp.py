"""INLP on planted directions and against a loop of our own."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.svm import LinearSVC
from tests.mitigate import gendered

from evenhand import fit
from evenhand.mitigate._contrast import contrasts
from evenhand.mitigate.inlp import Inlp, _held_out


def planted(directions: np.ndarray, *, size: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """States of two groups that differ along the directions [k, D] only, by very different amounts."""
    rng = gendered.rng(3)
    noise = rng.standard_normal((2, size, directions.shape[1]))
    noise -= noise @ directions.T @ directions
    shift = np.array([3.0, 1.0])[: len(directions)] @ directions
    sides = np.array([1.0, -1.0])[:, None, None] * shift
    jitter = 0.1 * rng.standard_normal((2, size, len(directions))) @ directions
    first, second = torch.from_numpy(noise + sides + jitter)
    return first, second


def test_a_planted_direction_is_found_and_removed() -> None:
    axis = np.linalg.qr(gendered.rng(1).standard_normal((16, 1))).Q.T
    first, second = planted(axis)
    learned, remark = Inlp(dim=1)._null_space(first, second, [False] * len(first))
    basis = learned["left"].numpy()
    assert abs((axis @ basis).item()) > 0.99
    assert "100 % of the same texts before" in remark


def test_projection_is_idempotent_symmetric_and_of_full_rank_for_each_round() -> None:
    first, second = planted(np.eye(16)[:2])
    basis = Inlp(dim=5)._null_space(first, second, [False] * len(first))[0]["left"]
    p = torch.eye(16, dtype=torch.float64) - basis @ basis.T
    torch.testing.assert_close(p @ p, p, atol=1e-12, rtol=0)
    torch.testing.assert_close(p, p.T, atol=1e-12, rtol=0)
    assert int(torch.linalg.matrix_rank(p)) == 11


def test_rounds_are_those_of_the_published_loop() -> None:
    """The projection onto the intersection of null spaces as Ben-Israel gives it, from the sum of row spaces."""
    first, second = planted(np.eye(12)[:2], size=60)
    x = torch.cat([first, second]).numpy()
    labels = np.repeat([1, 0], 60)
    rows, p = [], np.eye(12)
    for _ in range(4):
        w = LinearSVC(dual=False, fit_intercept=False).fit(x @ p, labels).coef_
        rows.append(w.T @ w / (w @ w.T))
        values, vectors = np.linalg.eigh(sum(rows))
        kept = vectors[:, values > 1e-9]
        p = np.eye(12) - kept @ kept.T
    basis = Inlp(dim=4)._null_space(first, second, [False] * 60)[0]["left"].numpy()
    np.testing.assert_allclose(np.eye(12) - basis @ basis.T, p, atol=1e-6)


def test_afterwards_a_classifier_does_no_better_than_a_coin_on_the_planted_groups() -> None:
    first, second = planted(np.eye(16)[:2])
    basis = Inlp(dim=3)._null_space(first, second, [False] * len(first))[0]["left"]
    states = torch.cat([first, second])
    left = (states - states @ basis @ basis.T).numpy()
    labels = np.repeat([1, 0], len(first))
    assert LinearSVC(dual=False, fit_intercept=False).fit(states.numpy(), labels).score(states.numpy(), labels) == 1.0
    assert LinearSVC(dual=False, fit_intercept=False).fit(left, labels).score(left, labels) < 0.6


def test_whole_clusters_are_kept_back() -> None:
    pairs = contrasts(gendered.snippets(), gendered.rng(), limit=99, method="test")
    kept = _held_out(pairs, gendered.rng())
    back = {pair.cluster for pair, held in zip(pairs, kept, strict=True) if held}
    used = {pair.cluster for pair, held in zip(pairs, kept, strict=True) if not held}
    assert len(back) == 2
    assert not back & used


def test_a_fit_keeps_a_basis_and_says_what_it_did() -> None:
    model = gendered.model()
    method = Inlp(dim=4)
    patch = fit(model, method, gendered.snippets())
    basis = patch.tensors["L0.final.left"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(4), atol=1e-5, rtol=0)
    assert "held-out texts" in patch.provenance.notes[1]
    shuffled, _ = method.shams(gendered.snippets(), patch.tensors, gendered.rng())
    assert fit(model, shuffled.method, shuffled.items).tensors["L0.final.left"].shape == (32, 4)
