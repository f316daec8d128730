"""Whole trials on a tiny model: what is fitted, measured, written, resumed and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand as eh
from evenhand.core.errors import Leakage, PlanMismatch, UnknownName, UsageError
from evenhand.core.trial import Trial, Verdict
from evenhand.measure._benchmark import Benchmark
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate.controls.random_direction import RandomDirection
from evenhand.mitigate.leace import Leace
from evenhand.model import Model, Patch
from evenhand.prove import _arms, _ledger


def run(model: Model, pairs: Benchmark, out: Path | None, method: Mitigation | None = None, **changed: Any) -> Trial:
    settings: dict[str, Any] = {"fit_on": pairs, "test_on": [pairs], "guards": [], "rivals": [], "draws": 1000}
    return eh.trial(model, method or Leace(), out=out, **{**settings, **changed})


def test_a_trial_fits_the_method_and_its_shams_and_compares_them_on_other_items(
    model: Model, pairs: Benchmark, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in model.hf.state_dict().items()}
    found = run(model, pairs, tmp_path / "trials" / "one")
    assert [(arm.name, arm.role) for arm in found.arms] == [
        ("leace", "method"),
        ("sham: shuffled labels", "sham"),
        ("sham: random direction", "sham"),
    ]
    assert found.tested_on["pairs"]["fold"] == "test"
    assert "fold 'fit'" in found.fitted_on
    fitted = Patch.load(tmp_path / "trials" / "one" / "patch").provenance.fitted_on
    assert fitted is not None
    assert not {f"pairs:{c}" for c in _clusters(tmp_path / "trials" / "one" / found.before)} & set(fitted.clusters)
    primary = [one for one in found.outcomes if one.role == "primary"]
    assert {one.arm for one in primary} == {arm.name for arm in found.arms}
    assert all(one.effect.p_holm is not None for one in primary)
    assert [one.beyond_sham is not None for one in primary] == [True, False, False]
    assert {tuple(one.change.by.items()) for one in found.outcomes if one.role == "collateral"} == {
        (("category", "in"),),
        (("category", "on"),),
    }
    assert found.continuations[0].after.keys() == {"leace", "sham: shuffled labels"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.hf.state_dict().items())
    written = Trial.model_validate_json((tmp_path / "trials" / "one" / "trial.json").read_bytes())
    assert written == found


def _clusters(folder: Path) -> set[str]:
    return {json.loads(line)["cluster"] for line in (folder / "items.jsonl").read_text("utf-8").splitlines()}


def test_a_finished_trial_is_read_back_and_an_unfinished_one_goes_on(
    model: Model, pairs: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(model, pairs, tmp_path / "a" / "t")
    (tmp_path / "b").mkdir()
    real, calls = _arms.run, 0

    def stopped(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(_arms, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(model, pairs, tmp_path / "b" / "t")
    monkeypatch.undo()
    assert not model.patches
    with pytest.raises(UsageError, match="--resume"):
        run(model, pairs, tmp_path / "b" / "t")
    again = run(model, pairs, tmp_path / "b" / "t", resume=True)
    assert again.outcomes == first.outcomes
    assert again.judgement == first.judgement


def test_another_trial_in_the_same_folder_is_refused_with_what_differs(
    model: Model, pairs: Benchmark, tmp_path: Path
) -> None:
    run(model, pairs, tmp_path / "t")
    with pytest.raises(PlanMismatch, match="settings"):
        run(model, pairs, tmp_path / "t", method=Leace(amount=0.5), resume=True)


def test_several_seeds_are_judged_together_and_one_by_one(model: Model, pairs: Benchmark) -> None:
    found = run(model, pairs, None, method=RandomDirection(rank=4), seeds=2)
    assert [arm.name for arm in found.arms] == [
        "random_direction (seed 0)",
        "random_direction (seed 1)",
        "sham: another draw (seed 0)",
        "sham: another draw (seed 1)",
    ]
    assert len({arm.fingerprint for arm in found.arms}) == 4
    assert [one.seed for one in found.by_seed] == [0, 1]
    assert found.judgement.primary[0].arm == "mean of the seeds"
    values = [o.effect.value for o in found.outcomes if o.role == "primary" and o.arm.startswith("random_direction")]
    assert found.judgement.primary[0].effect.value == pytest.approx(sum(v for v in values if v is not None) / 2)


def test_without_shams_nothing_is_improved(model: Model, pairs: Benchmark) -> None:
    assert run(model, pairs, None, shams=0).judgement.verdict is not Verdict.IMPROVED


def test_the_ledger_counts_looks_and_notices_changed_lines(model: Model, pairs: Benchmark, tmp_path: Path) -> None:
    first = run(model, pairs, tmp_path / "one")
    second = run(model, pairs, tmp_path / "two", method=Leace(amount=0.5))
    assert not any("Earlier trials" in note for note in first.notes)
    assert any("pairs (1 times)" in note for note in second.notes)
    assert _ledger.broken(tmp_path) is None
    ledger = tmp_path / _ledger.NAME
    lines = ledger.read_text("utf-8").splitlines()
    ledger.write_text(
        "\n".join([lines[0].replace(first.judgement.verdict.value, "improved!"), *lines[1:]]) + "\n", "utf-8"
    )
    assert _ledger.broken(tmp_path) == 2


def test_a_patch_is_not_tested_on_what_it_was_fitted_on(model: Model, pairs: Benchmark) -> None:
    items = eh.items(pairs).items
    patch = eh.fit(model, Leace(), items, benchmark="pairs")
    with pytest.raises(Leakage, match="pairs cannot test a patch that was fitted on pairs"):
        eh.prove(model, [patch], test_on=[pairs], guards=[])


def test_a_grid_is_chosen_on_the_choose_fold_and_tested_once(model: Model, pairs: Benchmark, tmp_path: Path) -> None:
    found = run(model, pairs, tmp_path / "t", grid=True)
    assert [point.value for point in found.grid] == list(Leace.grid)
    assert sum(point.chosen for point in found.grid) == 1
    chosen = next(point.value for point in found.grid if point.chosen)
    assert found.settings["amount"] == chosen
    tested = _clusters(tmp_path / "t" / found.before)
    assert not tested & _clusters(tmp_path / "t" / "measured" / "choose-before")
    assert any("chosen on the fold 'choose'" in note for note in found.notes)


def test_rivals_stand_in_the_same_table(model: Model, pairs: Benchmark) -> None:
    found = run(model, pairs, None, rivals=["random_direction"], shams=0)
    assert [arm.name for arm in found.arms] == ["leace", "rival: random_direction"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"seeds": 0}, UsageError),
        ({"guards": ["nothing"]}, UsageError),
        ({"guards": ["pairs.nothing<=1"]}, UnknownName),
        ({"rivals": ["nobody"]}, UnknownName),
        ({"grid": True, "method": RandomDirection(sites=("L9.residual",))}, Exception),
    ],
)
def test_what_cannot_be_done_is_refused(
    model: Model, pairs: Benchmark, changed: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(model, pairs, None, **changed)


def test_export_writes_a_folder_that_scores_as_the_patch(model: Model, tmp_path: Path) -> None:
    from evenhand.core.edits import Dense, WeightEdit

    class Shift(RandomDirection):
        """A mitigation whose edit is a weight."""

        def edits(self, tensors: Any, model: Model) -> list[Any]:
            weight = model.hf.get_parameter("model.layers.0.mlp.down_proj.weight")
            return [WeightEdit("model.layers.0.mlp.down_proj.weight", Dense(torch.full_like(weight, 0.01)))]

    patch = eh.fit(model, Shift())
    done = eh.export(model, patch, tmp_path / "merged")
    assert done.largest_difference <= 1e-3
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    with pytest.raises(UsageError, match="not an empty folder"):
        eh.export(model, patch, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged"]
