from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fixtures import planted, tiny
from tests.locate import made_up

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Compare
from evenhand.core.sites import Part, Site
from evenhand.locate._effects import Odds, by_gradient, by_replacing, odds, units
from evenhand.locate._run import locate
from evenhand.locate.head_patching import HeadPatching
from evenhand.model import Model

GIVEN = {"per_token": False}


def two(model: Model, count: int = 4) -> list[Odds]:
    made = [
        odds(model, item.requests[0], 1, chat=False) for item in made_up.random_twins(count, np.random.default_rng(0))
    ]  # type: ignore[arg-type]
    return [one for one in made if one is not None]


def test_log_odds_are_those_that_the_model_answers() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    choose = Choose("the cat is", (" yes", " Yes", " no", " good dog"))
    compare = Compare(("the cat sat", "the dog ran on"))
    items = [odds(model, choose, 2, chat=False), odds(model, compare, 1, chat=False)]
    from evenhand.locate._effects import _values

    found = _values(model, [one for one in items if one], **GIVEN)
    first, second = model.answer([choose, compare])
    totals = [[score.total for score in answer.scores] for answer in (first, second)]  # type: ignore[union-attr]
    assert found[0] == pytest.approx(np.logaddexp(*totals[0][:2]) - np.logaddexp(*totals[0][2:]), abs=1e-4)
    assert found[1] == pytest.approx(totals[1][0] - totals[1][1], abs=1e-4)
    means = [score.mean for score in second.scores]  # type: ignore[union-attr]
    per_token = _values(model, [one for one in items if one], per_token=True)
    assert per_token[1] == pytest.approx(means[0] - means[1], abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_exact_effect_is_that_of_a_forward_pass_with_a_hook_of_its_own(family: str) -> None:
    hf = tiny.network(family)
    model = Model.wrap(hf, tiny.tokenizer())
    items = two(model)
    _, means = by_gradient(model, items, **GIVEN)
    sites = [Site(1, Part.HEADS, 2), Site(2, Part.MLP)]
    found = by_replacing(model, items, sites, means, **GIVEN)
    for column, site in enumerate(sites):
        module = model.anatomy.module(site)
        span = slice(16, 24) if site.part is Part.HEADS else slice(None)
        mean = means[Site(site.layer, site.part)].float()[span]

        def change(x: torch.Tensor, span: slice = span, mean: torch.Tensor = mean) -> torch.Tensor:
            x = x.clone()
            shape = x.shape
            x = x.view(1, -1, shape[-1])
            x[:, 1:, span] = mean
            return x.view(shape)

        for number, item in enumerate(items):
            plain = [tiny.total(hf, ids, 1) for ids in item.rows]
            hook = (
                module.register_forward_pre_hook(lambda _, given: (change(given[0]),))
                if site.part is Part.HEADS
                else module.register_forward_hook(lambda _, given, out: change(out))
            )
            changed = [tiny.total(hf, ids, 1) for ids in item.rows]
            hook.remove()
            expected = (plain[0] - plain[1]) - (changed[0] - changed[1])
            assert found[number, column] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_a_small_step_towards_the_mean_has_the_effect_that_the_gradient_says(family: str) -> None:
    model = Model.wrap(tiny.network(family).double(), tiny.tokenizer())
    items = two(model)
    estimates, means = by_gradient(model, items, **GIVEN)
    every = units(model)
    there, back = (by_replacing(model, items, every, means, amount=step, **GIVEN) for step in (0.01, -0.01))
    assert (there - back) / 0.02 == pytest.approx(estimates, rel=0.02, abs=5e-3)


def test_in_the_last_mlp_of_a_model_whose_end_is_linear_gradient_and_exact_effect_agree() -> None:
    """Without the norm at the end logits are linear in the last MLP; log-odds of two single tokens are linear too."""
    hf = planted.clean(0).hf
    hf.model.norm = torch.nn.Identity()
    model = Model.wrap(hf, planted.tokenizer())
    made = [odds(model, Choose(f"The{cue} is", (" good", " bad")), 1, chat=False) for cue in made_up.CUES[:6]]
    items = [one for one in made if one is not None]
    estimates, means = by_gradient(model, items, **GIVEN)
    every = units(model)
    sites = [Site(3, Part.MLP)]
    exact = by_replacing(model, items, sites, means, **GIVEN)
    assert exact[:, 0] == pytest.approx(estimates[:, every.index(sites[0])], abs=1e-4)
    assert np.abs(exact).max() > 0.01


def test_the_model_is_left_as_it_was() -> None:
    hf = tiny.network("llama")
    model = Model.wrap(hf, tiny.tokenizer())
    before = {name: parameter.detach().clone() for name, parameter in hf.named_parameters()}
    locate(model, HeadPatching(confirm=2), made_up.random_twins(8, np.random.default_rng(0)))
    assert all(torch.equal(parameter, before[name]) for name, parameter in hf.named_parameters())
    assert all(parameter.grad is None for parameter in hf.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in hf.modules())


def test_values_of_confirmed_parts_come_from_clusters_that_did_not_choose_them() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    items = made_up.random_twins(12, np.random.default_rng(0))
    doubled = [*items, *(replace(item, id=f"{item.id}b") for item in items)]  # two items in each cluster
    locator = HeadPatching(confirm=3)
    one, other = locator._halves(model, doubled, np.random.default_rng(0), chat=False)
    assert len(one) == len(other) == 12
    assert not {cluster for _, cluster in one} & {cluster for _, cluster in other}
    found = locate(model, locator, doubled, seed=0)
    confirmed = [score for score in found.scores if score.p is not None]
    assert len(confirmed) == 3
    _, means = by_gradient(model, [odds_ for odds_, _ in one], **GIVEN)
    sites = [Site.parse(score.site) for score in confirmed]
    exact = by_replacing(model, [odds_ for odds_, _ in other], sites, means, **GIVEN).mean(axis=0)
    assert [score.value for score in confirmed] == pytest.approx(exact.tolist(), abs=1e-4)
    largest = sorted(found.scores, key=lambda score: -abs(score.details["gradient"] or 0))[:3]
    assert {score.site for score in largest} == {score.site for score in confirmed}
    assert [score.site for score in found.scores] == [str(site) for site in units(model)]


def ranked(make: object, items: list[Item], locator: HeadPatching, seed: int) -> bool:
    made = make(seed)  # type: ignore[operator]
    top = locate(Model.wrap(made.hf, made.tokenizer), locator, items, seed=seed).top(1)
    return bool(top) and top[0].site == str(made.sites[0])


def test_a_planted_mlp_is_ranked_first() -> None:
    locator = HeadPatching(confirm=3)
    hits = [
        ranked(planted.stereotype, made_up.gendered(24, np.random.default_rng(seed)), locator, seed)
        for seed in range(5)
    ]
    assert sum(hits) >= 4


def test_a_planted_head_is_ranked_first_by_yes_no_questions() -> None:
    locator = HeadPatching(confirm=3, reverse=True, baseline="zero")
    hits = [
        ranked(planted.negative_head, made_up.questions(16, np.random.default_rng(seed)), locator, seed)
        for seed in range(5)
    ]
    assert sum(hits) >= 4


def test_random_twins_in_a_random_model_are_seldom_found() -> None:
    false = 0
    for seed in range(6):
        made = planted.clean(seed)
        items = made_up.random_twins(24, np.random.default_rng(seed))
        found = locate(Model.wrap(made.hf, made.tokenizer), HeadPatching(confirm=3), items, seed=seed)
        false += any((score.p_corrected or 1) <= 0.05 for score in found.scores)
    assert false <= 2


def test_items_without_two_sides_and_too_few_clusters_are_refused() -> None:
    model = Model.wrap(tiny.network("llama"), tiny.tokenizer())
    items = made_up.random_twins(8, np.random.default_rng(0))
    with pytest.raises(DataError, match="at least three and found 3"):
        locate(model, HeadPatching(), items[:3])
    with pytest.raises(DataError, match="is neither"):
        locate(model, HeadPatching(), [replace(items[0], texts={"text": "the cat"}), *items])


def test_a_model_without_heads_still_has_its_other_parts_or_says_so() -> None:
    model = Model.wrap(tiny.network("mamba"), tiny.tokenizer())
    items = made_up.random_twins(8, np.random.default_rng(0))
    from evenhand.core.errors import UnsupportedSite

    with pytest.raises(UnsupportedSite, match="neither heads nor MLPs"):
        locate(model, HeadPatching(), items)
