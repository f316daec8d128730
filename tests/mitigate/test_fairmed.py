"""FairMed's probers and what it fits: F1 as scikit-learn has it, layers that know the group, shams of the same size."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from tests.fixtures import planted
from tests.mitigate import associated, gendered

from evenhand import fit
from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.record import Curve
from evenhand.core.sites import Part, Site
from evenhand.data.concepts import concepts
from evenhand.mitigate import _fairmed_prober as prober
from evenhand.mitigate._fairmed_cues import Cues, read
from evenhand.mitigate.fairmed import Fairmed
from evenhand.model import Model

QUICK = {"attributes": ("gender",), "width": 256, "epochs": 100}


@pytest.mark.parametrize("groups", [2, 5])
def test_macro_f1_is_that_of_scikit_learn(groups: int) -> None:
    rng = np.random.default_rng(groups)
    truth, told = rng.integers(0, groups, 90), rng.integers(0, groups, 90)
    told[told == 1] = 0
    found = prober.macro_f1(torch.from_numpy(truth), torch.from_numpy(told), groups)
    assert found == pytest.approx(f1_score(truth, told, average="macro"))


def test_probers_side_by_side_learn_what_a_layer_holds_and_only_that() -> None:
    """One layer holds the group, the other noise; with labels by a coin neither tells anything of a new concept."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 2, 160))
    z = torch.from_numpy(rng.standard_normal((2, 160, 16))).float()
    z[1, :, 3] += 4.0 * (2.0 * labels - 1.0)
    targets = torch.nn.functional.one_hot(labels).float()
    names = [f"c{number % 8}" for number in range(160)]
    for width in (0, 16):
        noise, known = prober.held_out_f1(z, targets, names, prober.Settings(width=width, epochs=100), rng)
        assert noise < 0.65
        assert known > 0.9


def test_probers_of_several_layers_are_those_of_each_alone() -> None:
    z = torch.randn(2, 60, 8, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(3)[torch.arange(60) % 3]
    both = prober.train(z, targets, prober.Settings(width=8, epochs=5), np.random.default_rng(1))
    x = z[:, :7]
    one = prober.Probers(both.first[1:], both.bias[1:], both.second[1:], both.bias2[1:])  # type: ignore[index]
    torch.testing.assert_close(both.logits(x)[1:], one.logits(x[1:]))
    again = prober.train(z, targets, prober.Settings(width=8, epochs=5), np.random.default_rng(1))
    assert torch.equal(again.second, both.second)


def test_standard_units_have_mean_0_and_deviation_1_and_survive_a_constant() -> None:
    states = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(2)) * 3 + 1
    states[0, :, 1] = 7.0
    mean, deviation = prober.standard(states)
    z = (states - mean[:, None]) / deviation[:, None]
    torch.testing.assert_close(z.mean(1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    assert bool(torch.isfinite(z).all())
    torch.testing.assert_close(z.std(1, correction=0)[1], torch.ones(4))


def test_emission_adds_the_forms_of_a_group() -> None:
    model = gendered.model()
    items = associated.cues()
    (cues,) = read(model, items, gendered.rng(), wanted=("gender",), limit=99, others=0, method="test")
    groups = concepts("gender").groups
    assert cues.groups == tuple(group.id for group in groups)
    assert len(cues.texts) == len(items)
    ids = model.tokenizer(cues.texts[3])["input_ids"]
    for group, log in zip(groups, cues.logs[3].tolist(), strict=True):
        mass = 0.0
        for form in group.forms:
            whole = torch.tensor([model.tokenizer(f"{cues.texts[3]} {form}")["input_ids"]])
            with torch.inference_mode():
                logs = model.hf(input_ids=whole).logits[0].double().log_softmax(-1)
            after = range(len(ids), whole.shape[1])
            mass += float(torch.stack([logs[n - 1, whole[0, n]] for n in after]).sum().exp())
        assert log == pytest.approx(np.log(mass), abs=1e-3)


def test_calibration_takes_off_each_templates_median() -> None:
    logs = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 5.0], [2.0, 0.0], [4.0, 0.0], [9.0, 0.0]]).double()
    cues = Cues("gender", ("a", "b"), tuple("abcdef"), tuple("abcdef"), ("s",) * 3 + ("t",) * 3, logs)
    torch.testing.assert_close(cues.odds.sum(1), torch.zeros(6).double())
    found = cues.calibrated().logs
    assert found.argmax(1).tolist() == [0, 0, 1, 1, 0, 0]
    torch.testing.assert_close(found[:, 1] - found[:, 0], torch.tensor([-2.0, 0, 2, 2, 0, -5]).double())
    names = ("gender/x", "gender/x", "age/x", "age/x", "age/y", "age/z")  # a median of the own cues, if there are any
    mixed = Cues("gender", ("a", "b"), tuple("abcdef"), names, cues.templates, logs).calibrated().logs
    torch.testing.assert_close(mixed[:, 1] - mixed[:, 0], torch.tensor([-1.0, 1, 3, 2, 0, -5]).double())


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ("raw", [[0.0, 1.0], [0.0, 1.0]]),
        ("calibrated", [[1.0, 0.0], [0.0, 1.0]]),
        ("soft", [[0.2689, 0.7311], [0.0474, 0.9526]]),
        ("calibrated_soft", [[0.7311, 0.2689], [0.2689, 0.7311]]),
    ],
)
def test_a_prober_learns_a_group_or_a_distribution_as_it_is_or_calibrated(
    labels: Literal["raw", "calibrated", "soft", "calibrated_soft"], wanted: list[list[float]]
) -> None:
    logs = torch.tensor([[0.0, 1.0], [0.0, 3.0]]).double()
    cues = Cues("gender", ("a", "b"), ("x", "y"), ("gender/x", "gender/y"), ("s", "s"), logs)
    torch.testing.assert_close(Fairmed(labels=labels)._targets(cues), torch.tensor(wanted), atol=1e-4, rtol=0)


def test_the_layer_of_a_planted_association_is_found_and_the_prober_is_made_even() -> None:
    seeded = planted.stereotype(0, carried=True)
    model = Model.wrap(seeded.hf, seeded.tokenizer)
    items = associated.occupations()
    patch = fit(model, Fairmed(**QUICK, top=1), items)
    (site,) = [name.removesuffix(".mean") for name in patch.tensors if name.endswith(".mean")]
    assert site == str(seeded.sites[0])
    assert float(patch.tensors["f1"].max()) > 0.7
    (edit,) = Fairmed(**QUICK, top=1, size=4.0, steps=40, norm="linf").edits(patch.tensors, model)
    x = model.states([item.texts["cue"] for item in items], [Site.parse(site)], pool="last")[Site.parse(site)]

    def sure(states: torch.Tensor) -> float:
        t = patch.tensors
        z = (states - t[f"{site}.mean"]) / t[f"{site}.deviation"]
        logits = (z @ t[f"{site}.first"].T + t[f"{site}.bias"]).relu() @ t[f"{site}.second"].T + t[f"{site}.bias2"]
        return float((logits.softmax(1).amax(1) - 0.5).mean())

    assert sure(x) > 0.3
    assert sure(edit.fn(x)) < 0.25 * sure(x)


def test_attributes_keep_their_own_units_and_shams_change_as_much() -> None:
    model = gendered.model()
    items = [*associated.cues(), *associated.cues("age")]
    method = Fairmed(attributes=("gender", "age"), width=4, epochs=2, top=2)
    patch = fit(model, method, items)
    assert patch.tensors["ends"].tolist() == [2, 4]
    second = next(one for name, one in patch.tensors.items() if name.endswith(".second"))
    assert second.shape == (4, 8)
    assert not second[:2, 4:].any()
    assert not second[2:, :4].any()
    assert [len(patch.method.edits(patch.tensors, model))] == [2]
    direction, labels = method.shams(items, patch.tensors, gendered.rng())
    random = fit(model, direction.method, items)
    assert any(name.endswith(".random") for name in random.tensors)
    own = {name for name in patch.tensors if name.endswith(".mean")}
    (curve,) = patch.provenance.findings
    assert isinstance(curve, Curve)
    assert [series.name for series in curve.series] == ["gender", "age"]
    assert [list(series.y) for series in curve.series] == [
        pytest.approx(row, abs=1e-4) for row in patch.tensors["f1"].tolist()
    ]
    assert {f"L{layer:.0f}.mlp.mean" for layer in curve.chosen} == own
    for sham in (random, fit(model, labels.method, items)):
        assert {name for name in sham.tensors if name.endswith(".mean")} == own
        assert sham.tensors["f1"].shape == (2, 2)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(DataError, match="emission"):
        fit(gendered.model(), Fairmed(), gendered.snippets())
    with pytest.raises(DataError, match="fewer than two"):
        fit(gendered.model(), Fairmed(), associated.cues()[:4])
    with pytest.raises(UnsupportedSite, match=r"L9\.mlp"):
        fit(gendered.model(), Fairmed(layers=(9,)), associated.cues())
    with pytest.raises(UnsupportedSite, match=Part.MLP):
        fit(gendered.model("mamba"), Fairmed(), associated.cues())
