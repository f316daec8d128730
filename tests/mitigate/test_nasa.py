"""NASA: heads in decreasing order, early stopping, cancellation, and a planted head that is found and tuned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched
from tests.mitigate import asked as made

from evenhand import fit
from evenhand.core.edits import Slice, WeightEdit
from evenhand.core.errors import UsageError
from evenhand.core.sites import Part, Site
from evenhand.locate._run import locate
from evenhand.locate.negative_attention import NegativeAttention
from evenhand.mitigate._nasa import Bench, drawn_like
from evenhand.mitigate._nasa_forward import look
from evenhand.mitigate._nasa_questions import read
from evenhand.mitigate._nasa_watch import Answers, Watched
from evenhand.mitigate.nasa import Nasa
from evenhand.model import Model, Patch

LENIENT: dict[str, Any] = {"over": 1e6, "positive": 1.0, "worse": 1.0, "aligned": 0.0}
QUICK: dict[str, Any] = {"count": 1, "lr": 0.02, "steps": 20, "every": 1, "probe": 20, "train": 50, "monitor": 10}


def rows_of(patch: Patch) -> set[str]:
    """Names of the tensors that change rows."""
    return set(patch.tensors) - {"tried", "kept", "attention"}


def seen(model: Model, items: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Odds [N] and negative attention [N, layers, H] of questions with yes first."""
    found = look(model, [q.orders[0] for q in read(model, items, chat=False, method="nasa")[0]], range(4))
    return found.odds, found.attention


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", ["answers", "attention"])
def test_a_planted_head_is_found_and_tuned_and_the_others_stay(seed: int, loss: str) -> None:
    planted = made.with_a_negative_head(seed)
    (site,) = planted.sites
    model, items = made.wrapped(planted), made.questions(48)
    with untouched(model.hf):
        patch = fit(model, Nasa(**QUICK, **LENIENT, loss=loss), items[:40])
    assert patch.tensors["kept"].tolist() == [[site.layer, site.unit]]
    assert rows_of(patch) == {f"{site}.q", f"{site}.k"}
    odds, attention = seen(model, items[40:])
    with model.install(patch):
        new_odds, new_attention = seen(model, items[40:])
    head = attention[:, site.layer, site.unit].mean(), new_attention[:, site.layer, site.unit].mean()
    assert head[0] > 5
    assert head[1] < (0.5 if loss == "attention" else 0.9) * head[0]
    assert new_odds.mean() > odds.mean() + 0.3, "No lost nothing"
    others = [n for n in range(4) if n != site.unit]
    assert torch.equal(attention[:, : site.layer], new_attention[:, : site.layer])
    assert torch.equal(attention[:, site.layer, others], new_attention[:, site.layer, others])


def test_attention_is_that_of_the_locator_and_heads_come_in_its_order() -> None:
    model, items = made.model(), made.questions(9)
    found = locate(model, NegativeAttention(pairs=1, null_sample=1, paper_literal=True), items)
    method = Nasa(probe=10**6, train=1, monitor=1, count=4, consistent=0.0, steps=1, autocast=False, **LENIENT)
    patch = fit(model, method, items)
    names = [f"L{layer}.heads.{head}" for layer, head in patch.tensors["tried"].tolist()]
    questions = read(model, items, chat=False, method="nasa")[0]
    every = look(model, [question.orders[0] for question in questions], range(3)).attention.mean(0).flatten()
    assert every.tolist() == pytest.approx([score.value for score in found.scores], abs=1e-4)
    probe = patch.tensors["attention"][0].flatten()
    best = probe.argsort(descending=True)[:4].tolist()
    assert names == [found.scores[n].site for n in best]


def test_what_is_cancelled_is_put_back_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, items = made.model(), made.questions(20)
    monkeypatch.setattr(Nasa, "_harm", lambda *given: "made up")
    with untouched(model.hf):
        patch = fit(model, Nasa(count=3, consistent=0.0, steps=2), items)
    assert rows_of(patch) == set()
    assert len(patch.tensors["tried"]) == 3
    assert len(patch.tensors["kept"]) == 0
    assert sum("rolled back: made up" in note for note in patch.provenance.notes) == 3
    with model.install(patch) as handle:
        assert not handle.edits


def test_each_harm_is_noticed_and_no_other() -> None:
    """Made-up monitors: a head with two that share its keys, and answers in one order."""

    def watched(attention: list[float], precision: float, recall: float, f1: float) -> Watched:
        odds = torch.zeros(1, 2, dtype=torch.float64)
        return Watched(torch.tensor([attention]), (Answers(0.5, precision, recall, f1),), odds, odds[0])

    before = watched([4.0, 1.0, -1.0], 0.6, 0.5, 0.55)
    bench: Any = Bench(None, None, [7], before, before, None)  # type: ignore[arg-type]
    rows: Any = SimpleNamespace(places=[SimpleNamespace(shared=(0, 1, 2)), SimpleNamespace(shared=(0,))])
    site, method = Site(7, Part.HEADS, 0), Nasa(over=0.25, positive=0.05, worse=0.01)

    def harm(*given: Any) -> str:
        return method._harm(bench, site, rows, watched(*given))

    assert harm([0.1, 1.9, -1.9], 0.6, 0.64, 0.55) == ""
    assert harm([-0.9, 1.0, -1.0], 0.6, 0.6, 0.6) == ""
    assert "turned to yes" in harm([-1.1, 1.0, -1.0], 0.6, 0.6, 0.6)
    before_yes = watched([-0.4, 8.0, 1.0], 0.6, 0.5, 0.55)  # .25 of the mean size 2 at first: down to -.9
    turned: Any = Bench(None, None, [7], before, before_yes, None)  # type: ignore[arg-type]
    assert method._harm(turned, site, rows, watched([-0.89, 8.4, 1.0], 0.6, 0.5, 0.55)) == ""
    assert "turned to yes" in method._harm(turned, site, rows, watched([-0.91, 8.4, 1.0], 0.6, 0.5, 0.55))
    assert "head 2, which shares its keys" in harm([0.1, 1.0, 2.1], 0.6, 0.6, 0.6)
    assert "positive bias" in harm([0.1, 1.0, -1.0], 0.6, 0.66, 0.6)
    assert harm([0.1, 1.0, -1.0], 0.4, 0.5, 0.55) == "", "recall is too high but did not rise"
    assert "F1 fell from 0.55 to 0.53" in harm([0.1, 1.0, -1.0], 0.6, 0.5, 0.53)


def test_siblings_that_share_keys_are_watched_and_stay_if_keys_are_not_trained() -> None:
    model, items = made.model(), made.questions(20)
    given: dict[str, Any] = {"count": 1, "consistent": 0.0, "lr": 0.05, "steps": 5, "every": 5, "loss": "attention"}
    rules = {**LENIENT, "neutral": 0.0}
    patch = fit(model, Nasa(**given, **rules), items)
    layer, head = patch.tensors["tried"].tolist()[0]
    assert rows_of(patch) == {f"L{layer}.heads.{head}.q", f"L{layer}.heads.{head // 2 * 2}.k"}
    sibling = head ^ 1
    plain = seen3(model, items)
    with model.install(patch):
        assert not torch.equal(seen3(model, items)[:, layer, sibling], plain[:, layer, sibling])
    alone = fit(model, Nasa(**given, **rules, keys=False), items)
    assert rows_of(alone) == {f"L{layer}.heads.{head}.q"}
    with model.install(alone):
        assert torch.equal(seen3(model, items)[:, layer, sibling], plain[:, layer, sibling])
    strict = fit(model, Nasa(**given, **{**rules, "over": 0.0}), items)
    assert len(strict.tensors["kept"]) == 0


def seen3(model: Model, items: list[Any]) -> torch.Tensor:
    return look(model, [q.orders[0] for q in read(model, items, chat=False, method="nasa")[0]], range(3)).attention


def test_steps_end_early_once_the_head_is_even() -> None:
    planted = made.with_a_negative_head(0)
    patch = fit(made.wrapped(planted), Nasa(**QUICK, **LENIENT, loss="attention"), made.questions(40))
    taken = int(next(note for note in patch.provenance.notes if " steps, NAS" in note).split()[1])
    assert taken < QUICK["steps"]


def test_the_edits_are_slices_of_two_projections_and_merge() -> None:
    for family in ("llama", "gpt2"):
        model, items = made.model(family), made.questions(20)
        patch = fit(model, Nasa(count=2, consistent=0.0, lr=0.05, steps=3, **LENIENT), items)
        edits = patch.method.edits(patch.tensors, model)
        assert all(isinstance(edit, WeightEdit) and isinstance(edit.delta, Slice) for edit in edits)
        with model.install(patch):
            wanted = look(model, [q.orders[1] for q in read(model, items, chat=False, method="nasa")[0]]).odds
        merged = Model.wrap(patch.merge(model), model.tokenizer)
        found = look(merged, [q.orders[1] for q in read(merged, items, chat=False, method="nasa")[0]]).odds
        assert torch.allclose(found, wanted, atol=1e-4)


def test_a_model_in_bfloat16_is_given_back_to_the_bit_and_merges_to_the_bit() -> None:
    model, items = Model.wrap(tiny.network("llama").bfloat16(), tiny.tokenizer()), made.questions(20)
    with untouched(model.hf):
        patch = fit(model, Nasa(count=2, consistent=0.0, lr=0.05, steps=3, **LENIENT), items)
    assert all(patch.tensors[name].dtype == torch.float32 for name in rows_of(patch))
    merged = dict(patch.merge(model).named_parameters())
    with model.install(patch) as handle:
        assert handle.edits
        assert all(torch.equal(p, merged[name]) for name, p in model.hf.named_parameters())


def test_other_words_in_the_chat_format_and_both_orders() -> None:
    model = made.model(chat=True)
    for yes, no in (("True", "False"), ("Ja", "Nein")):
        items = made.questions(12, yes=yes, no=no)
        patch = fit(model, Nasa(order="both", count=1, consistent=0.0, steps=2, **LENIENT), items)
        assert len(rows_of(patch)) == 2


def test_a_model_without_such_heads_is_told_how_to_go_on() -> None:
    model = made.model()
    with torch.no_grad():
        for name, parameter in model.hf.named_parameters():
            if "q_proj" in name:
                parameter.zero_()  # looks at everything alike
    with pytest.raises(UsageError, match="Lower consistent"):
        fit(model, Nasa(), made.questions(12))


def test_the_sham_tunes_as_many_other_heads_with_as_many_keys() -> None:
    model, items = made.model(), made.questions(20)
    method = Nasa(count=3, consistent=0.0, steps=1, **LENIENT)
    patch = fit(model, method, items)
    (sham,) = method.shams(items, patch.tensors, np.random.default_rng(0))
    other = fit(model, sham.method, sham.items)
    tried = {tuple(pair) for pair in patch.tensors["tried"].tolist()}
    assert len(other.tensors["tried"]) == 3
    assert not tried & {tuple(pair) for pair in other.tensors["tried"].tolist()}
    assert len(rows_of(other)) == len(rows_of(patch))
    drawn = drawn_like(model, [Site(0, Part.HEADS, 0), Site(0, Part.HEADS, 1)], np.random.default_rng(0))
    assert len(drawn) == 2
    assert len({(site.layer, (site.unit or 0) // 2) for site in drawn}) == 1
