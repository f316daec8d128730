"""NASA in both orders: the head that pushes is chosen, steps are shortened, given heads are taken as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures.untouched import untouched
from tests.mitigate import asked as made

from evenhand import fit
from evenhand.core.edits import Slice, WeightEdit
from evenhand.core.errors import UnsupportedSite
from evenhand.mitigate._nasa import Bench
from evenhand.mitigate._nasa_forward import look
from evenhand.mitigate._nasa_questions import Parts, read
from evenhand.mitigate._nasa_watch import Answers, Watched, watch
from evenhand.mitigate.nasa_balanced import NasaBalanced
from evenhand.model import Model

QUICK: dict[str, Any] = {"aim": "answers", "count": 1, "lr": 0.05, "steps": 20, "batch": 8}


def odds_of(model: Model, items: list[Any]) -> torch.Tensor:
    """Log-odds of the answers in both orders, [2, N]."""
    found = read(model, items, chat=False, method="nasa_balanced")[0]
    return torch.stack([look(model, [question.orders[n] for question in found]).odds for n in (0, 1)])


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_head_is_chosen_by_its_push_and_no_loses_it_in_both_orders(seed: int) -> None:
    planted = made.with_a_negative_head(seed)
    (site,) = planted.sites
    model, items = made.wrapped(planted), made.questions(48)
    with untouched(model.hf):
        patch = fit(model, NasaBalanced(**QUICK), items[:40])
    assert patch.tensors["tried"].tolist() == [[site.layer, site.unit]]
    assert patch.tensors["kept"].tolist() == [[site.layer, site.unit]]
    assert any("heads that push to no" in note for note in patch.provenance.notes)
    before = odds_of(model, items[40:])
    with model.install(patch):
        after = odds_of(model, items[40:])
    assert (after.mean(1) > before.mean(1) + 0.5).all()


@pytest.mark.parametrize("seed", range(2))
def test_a_head_that_pushes_to_yes_is_chosen_where_yes_is_said_too_often(seed: int) -> None:
    planted = made.with_a_negative_head(seed)
    items = made.questions(40, yes="No", no="Yes")  # the planted head now looks at the word for yes
    patch = fit(made.wrapped(planted), NasaBalanced(**QUICK), items)
    (site,) = planted.sites
    assert patch.tensors["tried"].tolist() == [[site.layer, site.unit]]
    assert any("heads that push to yes" in note for note in patch.provenance.notes)


def test_the_loss_by_hand() -> None:
    odds = torch.tensor([[0.0, 2.0], [0.0, -1.0]])
    truth = torch.tensor([1.0, 0.0])
    found = float(NasaBalanced(aim="answers", agree=0.1)._loss(odds, truth))
    # -log P: log 2, log(1 + e^2); log 2, log(1 + e^-1); mean square 4.5
    assert found == pytest.approx((0.693147 + 2.126928 + 0.693147 + 0.313262) / 4 + 0.1 * 4.5, abs=1e-5)


def test_agreement_draws_the_orders_together() -> None:
    model, items = made.model(), made.questions(24)
    apart = {0.0: 0.0, 2.0: 0.0}
    for agree in apart:
        method = NasaBalanced(**{**QUICK, "steps": 10}, agree=agree, gain=-1e6, slack=1.0, heads=("L1.heads.2",))
        with model.install(fit(model, method, items)):
            odds = odds_of(model, items)
        apart[agree] = float((odds[0] - odds[1]).square().mean())
    assert apart[2.0] < 0.5 * apart[0.0]


def test_steps_are_shortened_until_the_monitor_is_better_and_put_back_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, items = made.model(), made.questions(20)
    whole = fit(model, NasaBalanced(count=1, steps=3, lr=0.05, gain=-1e6, slack=1.0), items)
    answers = iter(["too far", "too far", ""])
    monkeypatch.setattr(NasaBalanced, "_harm", lambda *given: next(answers))
    part = fit(model, NasaBalanced(count=1, steps=3, lr=0.05, shrink=0.5, tries=3), items)
    for name in set(whole.tensors) - {"tried", "kept", "attention"}:
        assert torch.allclose(part.tensors[name], 0.25 * whole.tensors[name], atol=1e-6)
    answers = iter(["too far", "still too far"])
    with untouched(model.hf):
        none = fit(model, NasaBalanced(count=1, steps=3, lr=0.05), items)
    assert set(none.tensors) == {"tried", "kept", "attention"}
    assert any("still too far" in note and "rolled back" in note for note in none.provenance.notes)


def test_a_step_must_lower_the_loss_and_may_not_move_the_yes_rates_away() -> None:
    truth = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def watched(yes: tuple[float, float], *odds: list[float]) -> Watched:
        found = tuple(Answers(rate, 0.0, 0.0, 0.0) for rate in yes)
        return Watched(torch.zeros(1, 1), found, torch.tensor(odds, dtype=torch.float64), truth)

    method = NasaBalanced(aim="answers")
    before = watched((0.5, 0.0), [1.0, 1.0], [-1.0, -1.0])
    better = [[1.0, -1.0], [1.0, -1.0]]
    goals = [1.0, 0.0]
    assert method._harm(before, watched((0.5, 0.0), *better), goals) == ""
    assert "loss" in method._harm(before, before, goals)
    assert "0.25 -> 0.50 from the base rate" in method._harm(before, watched((1.0, 0.0), *better), goals)
    assert method._harm(before, watched((0.0, 0.5), *better), goals) == "", "one order became worse, the mean did not"


def test_given_heads_are_tuned_in_their_order() -> None:
    model, items = made.model(), made.questions(12)
    method = NasaBalanced.model_validate({"heads": "L2.heads.1, L0.heads.3", "steps": 1, "gain": -1e6, "slack": 1.0})
    assert fit(model, method, items).tensors["tried"].tolist() == [[2, 1], [0, 3]]
    with pytest.raises(UnsupportedSite, match="there are 4 such units"):
        fit(model, NasaBalanced(heads=("L0.heads.4",)), items)


def test_other_words_in_the_chat_format() -> None:
    model = made.model(chat=True)
    patch = fit(model, NasaBalanced(count=1, steps=1, gain=-1e6, slack=1.0), made.questions(12, yes="True", no="False"))
    assert len(patch.tensors["kept"]) == 1


def test_half_the_amount_is_half_of_what_is_added() -> None:
    model, items = made.model(), made.questions(12)
    whole = fit(model, NasaBalanced(count=1, steps=1, gain=-1e6, slack=1.0), items)
    half = NasaBalanced(amount=0.5).edits(whole.tensors, model)
    for one, other in zip(whole.method.edits(whole.tensors, model), half, strict=True):
        assert isinstance(one, WeightEdit)
        assert isinstance(other, WeightEdit)
        assert isinstance(one.delta, Slice)
        assert isinstance(other.delta, Slice)
        assert torch.equal(other.delta.values, 0.5 * one.delta.values)
        assert one.delta.values.abs().sum() > 0


def test_goals_are_the_mean_of_both_orders_with_yes_as_often_as_it_is_right() -> None:
    model, items = made.model(), made.questions(40)
    parts = Parts((), *(tuple(read(model, part, chat=False, method="x")[0]) for part in (items[:25], items[25:])))
    before = watch(model, parts.monitor, (0, 1), [])
    bench = Bench(model, parts, [], before, before, np.random.default_rng(0))
    NasaBalanced(aim="mean", spread=0.5).begin(bench)
    train, monitor = (odds_of(model, part).mean(0) for part in (items[:25], items[25:]))
    goals = torch.tensor([bench.goals[id(one)] for one in parts.train])
    assert int((goals > 0).sum()) == 13, "as many as there are answers that are yes"
    low, high = train.sort().values[11:13].tolist()
    assert torch.allclose(goals, (0.5 * (train - low - 0.52 * (high - low))).float(), atol=1e-5)  # 0.48 * 24 = 11.52
    found = torch.tensor([bench.goals[id(one)] for one in parts.monitor])
    assert torch.allclose(found - goals[0], (0.5 * (monitor - train[0])).float(), atol=1e-5), (
        "moved as those of training"
    )


def test_the_loss_of_goals_by_hand() -> None:
    found = NasaBalanced(aim="mean", agree=9.0)._loss(torch.tensor([[0.0, 2.0], [1.0, -1.0]]), torch.tensor([0.5, 1.0]))
    assert float(found) == pytest.approx((0.25 + 1.0 + 0.25 + 4.0) / 4)


def test_the_mean_of_both_orders_draws_them_together() -> None:
    model, items = made.model(), made.questions(24)
    method = NasaBalanced(spread=1.0, lr=0.02, steps=30, gain=-1e6, slack=1.0, heads=("L1.heads.2",))
    before = odds_of(model, items)
    with model.install(fit(model, method, items)):
        after = odds_of(model, items)
    goal = before.mean(0) - before.mean()
    assert (after - goal).square().mean() < 0.8 * (before - goal).square().mean()
