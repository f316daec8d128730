"""The balanced variant: its goal by hand, where places are open, and what training towards it does and leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.errors import DataError, UsageError
from evenhand.core.record import Curve
from evenhand.mitigate import _crawd_balance as balance
from evenhand.mitigate._crawd_balance import Groups
from evenhand.mitigate._train import Batch
from evenhand.mitigate._trainer import _collated, encoded
from evenhand.mitigate.crawd_balanced import CrawdBalanced
from evenhand.model import Model

QUICK: dict[str, Any] = {"steps": 3, "lr": 1e-2, "batch": 16, "heads": 4, "head_rank": 4, "samples": 1, "new_tokens": 6}
GROUPS = Groups((7, 9), (4,))


def test_the_goal_is_what_the_formula_gives_by_hand() -> None:
    """Others 0.3 and 0.1, the first group 0.2 + 0.1, the second 0.1, the rest 0.2: f = 0.3, m = 0.1, s = 0.4."""
    p = torch.tensor([0.3, 0.1, 0.2, 0.1, 0.1, 0.2])
    even = balance.goal_logs(p.log(), GROUPS, keep=0.5, even=True).exp()
    scale = 0.8 / 0.6
    wanted = [0.3 * scale, 0.1 * scale, 0.1 * 2 / 3, 0.1 / 3, 0.1, 0.2 * scale]
    torch.testing.assert_close(even, torch.tensor(wanted))
    less = balance.goal_logs(p.log(), GROUPS, keep=0.5, even=False).exp()
    torch.testing.assert_close(less, torch.tensor([*wanted[:2], 0.1, 0.05, 0.05, wanted[5]]))
    for found in (even, less):
        assert float(found.sum()) == pytest.approx(1)
    torch.testing.assert_close(balance.goal_logs(p.log(), GROUPS, keep=1.0, even=False).exp(), p)


def test_places_are_open_from_the_opening_to_the_first_listed_word() -> None:
    """Place n predicts token n + 1. The opening is three tokens; token 5 is the first listed after it, itself open."""
    ids = torch.tensor([1, 7, 3, 2, 2, 9, 2, 4, 2])
    assert balance.open_places(ids, 3, GROUPS).tolist() == [False, False, True, True, True, False, False, False]
    assert not balance.open_places(ids, 0, GROUPS).any()
    unlisted = torch.tensor([1, 3, 2, 2])
    assert balance.open_places(unlisted, 2, GROUPS).tolist() == [False, True, True]


def prepared(model: Model, settings: CrawdBalanced, texts: list[str], heads: list[str]) -> balance.Balance:
    groups = balance.groups_of(model.tokenizer, {"a": ("cat", "cats"), "b": ("dog",)})
    return balance.Balance(model, settings, groups, texts, heads, gendered.rng())


def batch_of(model: Model, texts: list[str]) -> Batch:
    return Batch(**_collated(encoded(model, [(text,) for text in texts], 64)))


def test_the_objective_is_the_divergence_of_whole_distributions() -> None:
    """Against whole distributions, text by text, of another network; nothing but the aim before training.

    One of the two texts has open places, so its aim counts twice in a mean over both.
    """
    model, other = gendered.model(), tiny.network("llama", seed=3)
    texts, heads = ["the big house is good and a dog ran", "the cat sat on the mat"], ["the big house", ""]
    settings = CrawdBalanced(told=10_000, keep=0.3, weight=2.0)
    made = prepared(model, settings, texts, heads)
    groups = balance.groups_of(model.tokenizer, {"a": ("cat", "cats"), "b": ("dog",)})
    f, m = list(groups.first), list(groups.second)
    aims, anchors = [], []
    for text, head in zip(texts, heads, strict=True):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            p, q = (net(ids).logits[0, :-1].double().softmax(-1) for net in (model.hf, other))
        start = len(model.tokenizer(head)["input_ids"]) if head else 0
        is_open = balance.open_places(ids[0], start, groups)
        s = p[:, f].sum(-1, keepdim=True) + p[:, m].sum(-1, keepdim=True)
        goal = p * (1 - 0.3 * s) / (1 - s)
        for group in (f, m):
            goal[:, group] = p[:, group] / p[:, group].sum(-1, keepdim=True) * 0.3 * s / 2
        aim, anchor = ((one * (one.log() - q.log())).sum(-1) for one in (goal, p))
        aims.append(2 * float(aim[is_open].mean()) if is_open.any() else 0.0)
        anchors.append(float(anchor[~is_open].mean()))
    found = made(other, batch_of(model, texts))
    np.testing.assert_allclose(found["aim"].numpy(), aims, rtol=1e-3)
    np.testing.assert_allclose(found["anchor"].numpy(), anchors, rtol=1e-3)
    np.testing.assert_allclose(
        found["loss"].detach().numpy(), [2 * a + b for a, b in zip(aims, anchors, strict=True)], rtol=1e-3
    )
    before = made(model.hf, batch_of(model, texts))
    assert before["anchor"].abs().max() < 1e-4
    assert before["aim"][0] > 1e-3


def test_random_places_are_as_many_and_elsewhere() -> None:
    model = gendered.model()
    texts, heads = ["the big house is good and a dog ran", "the cat sat on the mat"], ["the big house", ""]
    own, dealt = (prepared(model, CrawdBalanced(places=one), texts, heads) for one in ("open", "random"))
    assert own.count == dealt.count == sum(int(goal.open.sum()) for goal in dealt.goals)
    assert [goal.open.tolist() for goal in own.goals] != [goal.open.tolist() for goal in dealt.goals]
    with pytest.raises(DataError, match="no place is open"):
        prepared(model, CrawdBalanced(), texts, ["", ""])


def test_openings_are_about_occupations_of_the_fold_fit_and_none_is_a_prompt_of_gas() -> None:
    from evenhand.measure._fold import in_fold
    from evenhand.measure._gas_prompts import occupations
    from evenhand.measure.gas import Gas

    listed = Gas()._lexicon()
    prompts = occupations()[0]
    made = [Gas()._prompt(one, listed) for one in prompts]
    fitted_on = {item.cluster for item in in_fold(Gas(), made, "fit")}
    openings = balance.openings()
    assert len(openings) == len(fitted_on) * len(balance.TEMPLATES)
    assert all(any(f" {name}" in one for name in fitted_on) for one in openings)
    assert not {one for one in openings} & {prompt.text for prompt in prompts}
    assert not [one for one in openings if list(listed.find(one))]


def test_training_makes_listed_words_rarer_and_evener_where_they_are_open() -> None:
    """On the openings' own continuations, against the untouched model; other texts move less."""
    model = gendered.model()
    items = gendered.snippets()
    patch = fit(model, CrawdBalanced(**{**QUICK, "steps": 40, "keep": 0.2}), items)
    (curve,) = (one for one in patch.provenance.findings if isinstance(one, Curve))
    values = {line.name: [one or 0.0 for one in line.y] for line in curve.series}
    assert set(values) == {"loss", "aim", "anchor"}
    assert values["anchor"][0] < 1e-3
    assert np.mean(values["aim"][-5:]) < 0.8 * np.mean(values["aim"][:5])
    assert any("are open" in note for note in patch.provenance.notes)


def test_shams_have_other_words_or_other_places() -> None:
    model, items = gendered.model(), gendered.snippets()
    method = CrawdBalanced(**QUICK)
    words, places = method.shams(items, {}, gendered.rng())
    assert words.method == method.model_copy(update={"without": "words"})
    assert places.method == method.model_copy(update={"places": "random"})
    found = [fit(model, one, items) for one in (method, words.method, places.method)]
    assert len({patch.fingerprint for patch in found}) == 3
    others = model.tokenizer.decode(found[1].tensors["reference.keys"].tolist()).split()
    assert len(others) == 2
    assert not {"he", "she"} & set(others)


def test_word_lists_that_cannot_be_told_apart_are_refused() -> None:
    tokenizer = tiny.tokenizer()
    with pytest.raises(UsageError, match="two groups, found 1"):
        balance.groups_of(tokenizer, {"a": ("cat",)})
    with pytest.raises(UsageError, match="alike"):
        balance.groups_of(tokenizer, {"a": ("cat",), "b": ("cat",)})
