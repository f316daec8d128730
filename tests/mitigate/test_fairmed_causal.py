"""The causal variant: regression and shift by theorems, gradients by finite differences, a planted association."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from tests.fixtures import planted
from tests.mitigate import associated, gendered

from evenhand import fit
from evenhand.core.edits import ActivationEdit
from evenhand.core.record import Curve
from evenhand.core.sites import Part, Site
from evenhand.mitigate import _fairmed_linear as linear
from evenhand.mitigate._fairmed_cues import read
from evenhand.mitigate._fairmed_gradient import mean_gradients, opened, openings
from evenhand.mitigate.fairmed_causal import FairmedCausal
from evenhand.model import Model

GENDER = {"attributes": ("gender",), "gradients": 8, "skip": 0}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("rows", [12, 40])
def test_ridge_is_that_of_scikit_learn_on_standardised_inputs(rows: int) -> None:
    x, y = numbers(rows, 20, seed=1) * 3 + 1, numbers(rows, 3, seed=2)
    slopes, bias = linear.ridge(x, y, 0.3)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    other = Ridge(alpha=0.3 * rows).fit(z.numpy(), y.numpy())
    np.testing.assert_allclose((x @ slopes + bias).numpy(), other.predict(z.numpy()), atol=1e-9)


def test_weights_of_rows_are_as_good_as_repeating_them() -> None:
    x, y = numbers(10, 4, seed=3), numbers(10, 2, seed=4)
    counts = torch.arange(10) % 3 + 1
    whole = linear.ridge(x.repeat_interleave(counts, 0), y.repeat_interleave(counts, 0), 0.1)
    for one, other in zip(linear.ridge(x, y, 0.1, counts.double()), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_held_out_is_told_without_its_concept() -> None:
    """Each concept has a number of its own that its cues share: nothing of it can be told from the others."""
    names = [f"c{number // 10}" for number in range(80)]
    marks = torch.eye(8).double()[torch.arange(80) // 10]
    x, y = torch.cat([marks, numbers(80, 4, seed=5)], 1), numbers(8, 1, seed=6).repeat_interleave(10, 0)
    assert linear.explained(y, linear.held_out(x, y, names, [0.01])[0]) < 0.3
    slopes, bias = linear.ridge(x, y, 0.01)
    assert linear.explained(y, x @ slopes + bias) > 0.9
    rule = x[:, 8:9] * 2
    assert linear.best_penalty(x, rule, names, (0.001, 100.0))[0] == 0.001
    assert linear.explained(rule, linear.held_out(x, rule, names, [0.001])[0]) > 0.9


def test_the_shift_takes_the_predicted_log_odds_out_and_is_the_smallest_that_does() -> None:
    gradient = numbers(4, 15, seed=7)
    gradient = gradient - gradient.mean(0)
    odds = numbers(6, 4, seed=8)
    odds = odds - odds.mean(1, keepdim=True)
    back = linear.inverse(gradient)
    torch.testing.assert_close((odds @ back) @ gradient.T, odds)
    torch.testing.assert_close(back, torch.linalg.pinv(gradient).T)


def test_a_shift_for_one_attribute_leaves_the_others_as_they_are() -> None:
    first, second = (one - one.mean(0) for one in (numbers(2, 15, seed=1), numbers(4, 15, seed=2)))
    back = linear.inverse(torch.cat([first, second]))
    torch.testing.assert_close(back[:2] @ second.T, torch.zeros(2, 4).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(back[2:] @ first.T, torch.zeros(4, 2).double(), atol=1e-9, rtol=0)


def test_the_closed_form_is_where_small_steps_along_the_gradient_end() -> None:
    """A linear model whose log-odds are told exactly: steps of a thousandth end where the one step does."""
    gradient = numbers(3, 10, seed=9)
    gradient, level = gradient - gradient.mean(0), torch.tensor([1.0, 0.5, -1.5]).double()
    found = linear.Linear(gradient.T, level, linear.inverse(gradient))
    x = numbers(5, 10, seed=10)
    once = linear.edit(found, 1.0)(x)
    torch.testing.assert_close(once @ gradient.T + level, torch.zeros(5, 3).double(), atol=1e-9, rtol=0)
    small, there = linear.edit(found, 1e-3), x
    for _ in range(20_000):
        there = small(there)
    torch.testing.assert_close(there, once, atol=1e-6, rtol=0)


def test_the_gate_leaves_tokens_as_they_are_bit_by_bit() -> None:
    gate = torch.zeros(6)
    gate[0] = 1.0
    found = linear.Linear(numbers(6, 2), torch.ones(2), numbers(2, 6, seed=1), gate, torch.tensor(0.0))
    x = numbers(3, 4, 6, seed=2).float()
    edited = linear.edit(found, 1.0)(x)
    assert bool(((edited != x).any(-1) == (x[..., 0] > 0)).all())
    assert linear.edit(found, 1.0)(x.bfloat16()).dtype == torch.bfloat16


def test_openings_are_what_several_groups_begin_with() -> None:
    assert openings("gender") == (" a",)
    assert set(openings("race")) >= {" a", " someone", " someone who", " someone who is"}
    assert " an elderly" not in openings("age")


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon"])
@pytest.mark.parametrize("places", ["cue", "slot"])
def test_the_gradient_is_what_a_small_shift_does(family: str, places: str) -> None:
    model = gendered.model(family)
    items = associated.cues()[:2]
    texts = [item.texts["cue"] for item in items]
    site = model.anatomy.sites(Part.MLP)[1]
    found = mean_gradients(model, "gender", texts, [site], places)[site]  # type: ignore[arg-type]
    assert found.shape == (2, 32)
    torch.testing.assert_close(found.sum(0), torch.zeros(32).double(), atol=1e-9, rtol=0)
    vector = numbers(32, seed=11).float()
    size = 1e-2

    def odds(amount: float) -> torch.Tensor:
        rows = []
        for cue in opened(model, "gender", texts):
            sums = []
            for number, row in enumerate(cue.rows):
                ends = cue.shared(number) if places == "slot" else cue.start
                mask = torch.zeros(len(row), 1)
                mask[cue.start - 1 : ends] = amount
                shift = ActivationEdit(site, lambda x, mask=mask: x + mask * vector)  # type: ignore[misc]
                with model.install([shift]), torch.inference_mode():
                    logs = model.hf(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1)
                sums.append(sum(logs[n - 1, row[n]] for n in range(cue.start, len(row))))
            owner = torch.tensor(cue.owner)
            logs = torch.stack([torch.stack(sums)[owner == n].logsumexp(0) for n in range(2)])
            rows.append(logs - logs.mean())
        return torch.stack(rows).mean(0)

    expected = (odds(size) - odds(-size)) / (2 * size)
    torch.testing.assert_close(found @ vector.double(), expected, atol=2e-3, rtol=2e-2)
    assert all(one.requires_grad for one in model.hf.parameters())
    assert all(one.grad is None for one in model.hf.parameters())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_direction_is_taken_out_and_no_other_is_touched(seed: int) -> None:
    seeded = planted.stereotype(seed, carried=True)
    model = Model.wrap(seeded.hf, seeded.tokenizer)
    items = associated.occupations()
    patch = fit(model, FairmedCausal(**GENDER, top=1, gate=False), items)
    (site,) = [name.removesuffix(".back") for name in patch.tensors if name.endswith(".back")]
    assert site == str(seeded.sites[0])
    assert seeded.direction is not None
    back = patch.tensors[f"{site}.back"]
    along = (back @ seeded.direction).norm() / back.norm()
    assert float(along) > 0.9  # the rest is background that names groups too
    before = read(model, items, gendered.rng(), wanted=("gender",), limit=99, others=0, method="test")[0].odds
    with model.install(patch):
        after = read(model, items, gendered.rng(), wanted=("gender",), limit=99, others=0, method="test")[0].odds
    assert float(after.square().mean()) < 0.35 * float(before.square().mean())
    place = Site.parse(site)
    x = model.states([item.texts["cue"] for item in items], [place], pool="last")[place]
    change = patch.method.edits(patch.tensors, model)[0].fn(x) - x  # type: ignore[union-attr]
    rest = change - (change @ seeded.direction)[:, None] * seeded.direction
    assert float(rest.norm()) < 0.5 * float(change.norm())


def test_shams_shift_as_far_elsewhere() -> None:
    model, items = gendered.model(), [*associated.cues(), *associated.cues("age")]
    method = FairmedCausal(attributes=("gender", "age"), gradients=4, others=8, skip=0)
    patch = fit(model, method, items)
    assert patch.tensors["explained"].shape == (2, 3)
    (curve,) = patch.provenance.findings
    assert isinstance(curve, Curve)
    assert len(curve.chosen) == 3
    assert curve.series[1].y == pytest.approx(patch.tensors["explained"][1].tolist(), abs=1e-4)
    direction, labels = method.shams(items, patch.tensors, gendered.rng())
    turned = fit(model, direction.method, items)
    for name in patch.tensors:
        if name.endswith(".back"):
            own, other = patch.tensors[name], turned.tensors[name]
            torch.testing.assert_close(own[:2] @ own[:2].T, other[:2] @ other[:2].T, atol=1e-4, rtol=1e-3)
            assert abs(float(torch.cosine_similarity(own[0], other[0], dim=0))) < 0.8
    assert labels.method.model_dump()["without"] == "labels"
