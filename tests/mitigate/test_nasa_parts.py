"""What both NASAs are made of: log-odds, pushes, rows of heads, splits, the monitor. All against other ways to them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fixtures.untouched import untouched
from tests.mitigate import asked as made

from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.requests import Choose, Scores
from evenhand.core.sites import Part, Site
from evenhand.mitigate._kept import as_it_was
from evenhand.mitigate._nasa_forward import forward, layers_of, look, pushes
from evenhand.mitigate._nasa_questions import Question, read, split, thinned
from evenhand.mitigate._nasa_rows import Rows, places
from evenhand.mitigate._nasa_watch import Watched, answers, cross_entropy
from evenhand.model import Model


def asked_of(model: Model, count: int = 4, **given: str) -> list[Question]:
    return read(model, made.questions(count, **given), chat=model.has_chat_template, method="nasa")[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(("yes", "no"), [("Yes", "No"), ("True", "False"), ("Ja", "Nein")])
@pytest.mark.parametrize("chat", [False, True])
def test_log_odds_are_those_of_the_engines_answers(yes: str, no: str, chat: bool) -> None:
    """Words of one token and of several, in both orders, plain and in the chat format."""
    model = made.model(chat=chat)
    items = made.questions(4, yes=yes, no=no)
    questions = asked_of(model, yes=yes, no=no)
    for order in (0, 1):
        words = (yes, no) if order == 0 else (no, yes)
        found = look(model, [question.orders[order] for question in questions]).odds
        for item, odds in zip(items, found.tolist(), strict=True):
            request = item.requests[0]
            assert isinstance(request, Choose)
            text = request.prompt.replace(f"{yes} or {no}", f"{words[0]} or {words[1]}")
            (answer,) = model.answer([Choose(text, request.options)], chat=chat)
            assert isinstance(answer, Scores)
            totals = [math.exp(score.total) for score in answer.scores]
            assert odds == pytest.approx(math.log(sum(totals[:2])) - math.log(sum(totals[2:])), abs=1e-4)


def test_words_of_one_token_need_one_row_and_equal_questions_are_asked_once() -> None:
    model = made.model()
    items = made.questions(3)
    found, dropped = read(model, [*items, *items], chat=False, method="nasa")
    assert (len(found), dropped) == (3, 0)
    assert all(len(one.rows) == 1 for question in found for one in question.orders)
    assert all(len(one.rows) > 1 for question in asked_of(model, no="Zebra") for one in question.orders)
    assert [question.truth for question in found] == [True, False, True]


@pytest.mark.parametrize("family", made.FAMILIES)
def test_a_push_is_what_the_odds_lose_when_the_head_gets_quieter(family: str) -> None:
    model = made.model(family)
    prompts = [question.orders[0] for question in asked_of(model, 3)]
    plain, found = look(model, prompts).odds, pushes(model, prompts)
    width, step = model.anatomy.head_width, 1e-2

    def at(site: Site, scale: float) -> torch.Tensor:
        span = slice((site.unit or 0) * width, ((site.unit or 0) + 1) * width)

        def fn(x: torch.Tensor) -> torch.Tensor:
            out = x.clone()
            out[:, 1:, span] *= scale
            return out

        with model.install([ActivationEdit(Site(site.layer, Part.HEADS), fn)]):
            return look(model, prompts).odds

    for site in (Site(0, Part.HEADS, 1), Site(1, Part.HEADS, 3)):
        slope = (at(site, 1 - step) - at(site, 1 + step)) / (2 * step)
        assert torch.allclose(found[:, site.layer, site.unit], slope, atol=5e-3)
    assert found.abs().max() > 0.05
    assert torch.equal(look(model, prompts).odds, plain)


@pytest.mark.parametrize("family", made.FAMILIES)
def test_a_heads_attention_has_no_gradient_outside_its_query_and_key_rows(family: str) -> None:
    """Within a layer nothing else reaches it: a theorem, which a wrong layout of a fused projection would break."""
    model = made.model(family)
    prompts = [question.orders[0] for question in asked_of(model)]
    for site in (Site(0, Part.HEADS, 1), Site(2, Part.HEADS, 3)):
        chosen = places(model, site, keys=True)
        names = sorted({place.param for place in chosen})
        layer = f".{site.layer}."
        parameters = {
            name: p for name, p in model.hf.named_parameters() if layer in name and name.rpartition(".")[0] in
            {one.rpartition(".")[0] for one in names}
        }  # fmt: skip
        with torch.enable_grad():
            value = forward(model, prompts, [site.layer]).attention[:, 0, site.unit].sum()
        gradients = dict(zip(parameters, torch.autograd.grad(value, list(parameters.values())), strict=True))
        for name, gradient in gradients.items():
            inside = torch.zeros_like(gradient)
            for place in chosen:
                if place.param == name:
                    inside.index_fill_(place.axis, torch.tensor(place.index), 1.0)
            assert not gradient[inside == 0].any(), name
        assert all(gradients[name].any() for name in names if not name.endswith("k_proj.bias"))


@pytest.mark.parametrize("family", made.FAMILIES)
def test_steps_move_the_rows_of_the_head_alone_and_putting_back_is_exact(family: str) -> None:
    model = made.model(family)
    site = Site(1, Part.HEADS, 2)
    prompts = [question.orders[0] for question in asked_of(model)]
    before = {name: p.detach().clone() for name, p in model.hf.named_parameters()}
    with untouched(model.hf):
        chosen = places(model, site, keys=True)
        parameters = [model.hf.get_parameter(place.param) for place in chosen]
        with as_it_was(model.hf, parameters):
            model.hf.requires_grad_(False)
            rows = Rows(model, chosen)
            start = rows.values()
            rows.wanted(True)
            with torch.enable_grad():
                gradients = rows.gradients(cross_entropy(forward(model, prompts).odds, torch.ones(4)).mean())
            rows.wanted(False)
            rows.write([value - 0.1 * gradient for value, gradient in zip(start, gradients, strict=True)])
            for name, parameter in model.hf.named_parameters():
                changed = parameter != before[name]
                for place in chosen:
                    if place.param == name:
                        assert changed.index_select(place.axis, torch.tensor(place.index)).any() or "bias" in name
                        changed.index_fill_(place.axis, torch.tensor(place.index), False)
                assert not changed.any(), name
            rows.write(start)
            assert all(torch.equal(p, before[name]) for name, p in model.hf.named_parameters())


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    model = made.model()
    rows = Rows(model, places(model, Site(1, Part.HEADS, 2), keys=True))
    prompts = [question.orders[1] for question in asked_of(model)]

    def loss() -> torch.Tensor:
        return cross_entropy(forward(model, prompts).odds, torch.tensor([1.0, 0.0, 1.0, 0.0])).mean()

    with torch.enable_grad():
        gradients = rows.gradients(loss())
    start, step = rows.values(), 1e-2
    for part in range(2):
        moved = []
        for sign in (1, -1):
            change = [step * sign * g / g.norm() if n == part else 0 * g for n, g in enumerate(gradients)]
            rows.write([value + one for value, one in zip(start, change, strict=True)])
            moved.append(float(loss().detach()))
        rows.write(start)
        assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(float(gradients[part].norm()), rel=0.02)


def test_parts_share_no_cluster_and_are_drawn_in_proportion() -> None:
    questions = read(made.model(), made.questions(60, per_cluster=3), chat=False, method="nasa")[0]
    parts = split(questions, (30, 60, 30), np.random.default_rng(0), "nasa")
    named = [{question.cluster for question in part} for part in (parts.probe, parts.train, parts.monitor)]
    assert not named[0] & named[1]
    assert not named[0] & named[2]
    assert not named[1] & named[2]
    assert [len(part) for part in (parts.probe, parts.train, parts.monitor)] == [15, 30, 15]
    few = split(questions, (6, 9, 3), np.random.default_rng(0), "nasa")
    assert [len(part) for part in (few.probe, few.train, few.monitor)] == [6, 9, 3]
    with pytest.raises(DataError, match="found 2 cluster"):
        split(questions[:6], (3, 3, 3), np.random.default_rng(0), "nasa")


def test_large_clusters_are_thinned_and_small_ones_kept_whole() -> None:
    large, small = made.questions(200, per_cluster=50), made.questions(20, per_cluster=2)
    rng = np.random.default_rng(0)
    kept = thinned(large, 12, rng)  # 36 of 4 clusters
    assert [sum(item.cluster == f"c{n}" for item in kept) for n in range(4)] == [9, 9, 9, 9]
    assert [item.id for item in kept] == [item.id for item in large if item in kept]
    state = rng.bit_generator.state
    assert thinned(small, 2, rng) == small
    assert rng.bit_generator.state == state, "nothing is drawn where nothing is left out"


def test_the_monitor_by_hand() -> None:
    odds = torch.tensor([1.0, 2.0, -1.0, 3.0, -2.0], dtype=torch.float64)
    truth = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    found = answers(odds, truth)  # says yes to 1, 2, 4; right about 1 and 4
    assert (found.yes_rate, found.precision, found.recall, found.f1) == pytest.approx((0.6, 2 / 3, 2 / 3, 2 / 3))
    never = answers(-odds.abs(), truth)
    assert math.isnan(never.precision)
    assert (never.yes_rate, never.recall, never.f1) == (0.0, 0.0, 0.0)
    other = torch.tensor([1.0, -2.0, -1.0, -3.0, -2.0], dtype=torch.float64)
    both = Watched(torch.zeros(1, 1), (found, answers(other, truth)), torch.stack([odds, other]), truth)
    # agree on 3 of 5; yes .6 and .2, so chance .12 + .32
    assert both.kappa == pytest.approx((0.6 - 0.44) / (1 - 0.44))
    assert both.gap == pytest.approx((0.0 + 0.4) / 2)
    assert cross_entropy(odds[:2], truth[:2]).tolist() == pytest.approx([math.log1p(math.exp(-1)), 2.126928011])


def test_layers_without_heads_are_refused_and_items_of_another_kind_too() -> None:
    with pytest.raises(UnsupportedSite, match="no head to tune"):
        layers_of(made.model("mamba"))
    without_answers = [replace(item, facts={}) for item in made.questions(2)]
    with pytest.raises(DataError, match="none of the 2 items"):
        read(made.model(), without_answers, chat=False, method="nasa")
