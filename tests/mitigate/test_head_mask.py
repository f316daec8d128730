"""Head masking against output projections without the heads' columns."""

from __future__ import annotations

import pytest
import torch
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.errors import UnsupportedSite, UsageError
from evenhand.core.requests import Compare
from evenhand.mitigate.controls.random_heads import RandomHeads
from evenhand.mitigate.head_mask import HeadMask

REQUESTS = [Compare(("the cat sat on a mat", "no dog ran"))]


@pytest.mark.parametrize("amount", [1.0, 0.3])
def test_masking_is_scaling_the_columns_of_the_output_projection(amount: float) -> None:
    model, other = gendered.model(), gendered.model()
    with torch.no_grad():
        for layer, head in ((0, 3), (2, 0), (2, 1)):
            columns = slice(head * 8, head * 8 + 8)
            other.hf.model.layers[layer].self_attn.o_proj.weight[:, columns] *= 1.0 - amount
    patch = fit(model, HeadMask(heads=("L0.heads.3", "L2.heads.0", "L2.heads.1"), amount=amount))
    with model.install(patch):
        (found,) = model.answer(REQUESTS)
    (expected,) = other.answer(REQUESTS)
    for one, two in zip(found.scores, expected.scores, strict=True):
        assert one.logprobs == pytest.approx(two.logprobs, abs=2e-5)


def test_heads_may_be_one_string_with_commas() -> None:
    assert HeadMask.model_validate({"heads": "L5.heads.3, L6.heads.1"}).heads == ("L5.heads.3", "L6.heads.1")


@pytest.mark.parametrize(
    ("heads", "message"), [((), "was given no heads"), (("L1.mlp",), "is no head"), (("L1.heads",), "is no head")]
)
def test_what_names_no_head_is_refused(heads: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(gendered.model(), HeadMask(heads=heads))


def test_heads_that_are_not_there_are_refused() -> None:
    with pytest.raises(UnsupportedSite, match="there are 4 such units"):
        fit(gendered.model(), HeadMask(heads=("L1.heads.4",)))


def test_the_sham_masks_as_many_other_heads() -> None:
    model = gendered.model()
    method = HeadMask(heads=("L0.heads.3", "L2.heads.0", "L2.heads.0"), amount=0.5)
    patch = fit(model, method)
    (sham,) = method.shams([], patch.tensors, gendered.rng())
    assert sham.method == RandomHeads(count=2, exclude=("L0.heads.3", "L2.heads.0"), amount=0.5)
    drawn = fit(model, sham.method).tensors["heads"]
    assert drawn.shape == patch.tensors["heads"].shape == (2, 2)
