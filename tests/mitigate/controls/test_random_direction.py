"""Random directions: even over all directions, idempotent, of the asked size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import UsageError
from evenhand.core.requests import Compare
from evenhand.mitigate.controls.random_direction import RandomDirection


def test_what_is_projected_out_is_a_subspace_of_the_asked_rank() -> None:
    basis = fit(gendered.model(), RandomDirection(rank=3)).tensors["L0.final.left"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(3), atol=1e-6, rtol=0)


def test_directions_are_drawn_evenly() -> None:
    """The mean of v v^T over draws is the identity over D: each entry of the diagonal has a known spread."""
    model = gendered.model()
    size, draws = model.anatomy.hidden, 400
    vectors = [
        RandomDirection().fit(model, (), np.random.default_rng(seed)).tensors["L0.final.left"][:, 0]
        for seed in range(draws)
    ]
    second = torch.stack([torch.outer(v, v) for v in vectors]).mean(0)
    spread = (2 * (size - 1) / (size**2 * (size + 2)) / draws) ** 0.5
    assert float((second.diagonal() - 1 / size).abs().max()) < 5 * spread
    assert float((second - second.diagonal().diag()).abs().max()) < 6 * (1 / (size * (size + 2)) / draws) ** 0.5


def test_an_added_vector_has_the_asked_length() -> None:
    model = gendered.model()
    patch = fit(model, RandomDirection(mode="add", norm=3.0, amount=0.5, sites=("L1.mlp", "L0.residual")))
    for edit in patch.method.edits(patch.tensors, model):
        assert isinstance(edit, ActivationEdit)
        change = edit.fn(torch.zeros(2, 3, 32))
        assert change.norm(dim=-1) == pytest.approx(torch.full((2, 3), 1.5))
        assert torch.equal(change[0, 0], change[1, 2])


def test_a_seed_decides_and_another_one_differs() -> None:
    model = gendered.model()
    first, again, other = (fit(model, RandomDirection(), seed=seed).fingerprint for seed in (1, 1, 2))
    assert first == again != other


def test_answers_change() -> None:
    model = gendered.model()
    (before,) = model.answer([Compare(("the cat sat",))])
    with model.install(fit(model, RandomDirection(sites=("L1.residual",)))):
        (during,) = model.answer([Compare(("the cat sat",))])
    assert before != during


@pytest.mark.parametrize("site", ["L1.heads", "L1.heads.2", "L0.neurons"])
def test_parts_that_are_no_hidden_state_are_refused(site: str) -> None:
    with pytest.raises(UsageError, match="whole hidden states"):
        fit(gendered.model(), RandomDirection(sites=(site,)))
