"""The balanced variant: its two terms against the scoring engine and whole distributions, and a planted stereotype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import planted, tiny
from tests.fixtures.test_planted import lean
from tests.mitigate import gendered
from tests.mitigate.test_klaad import QUICK, TEXTS, batch_of, some_items

from evenhand import fit
from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose, Compare
from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate._klaad import Objective
from evenhand.mitigate._klaad_balance import Balance
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate._train import Batch
from evenhand.mitigate._triplets import across_targets, triplet
from evenhand.mitigate.klaad import Klaad
from evenhand.mitigate.klaad_balanced import KlaadBalanced
from evenhand.model import Model

ALONE: dict[str, Any] = {"cross_entropy": 0.0, "attention": 0.0, "triplet": 0.0, "coherence": 0.0}


def found_in(model: Model, settings: KlaadBalanced, items: list[Item], network: Any = None) -> dict[str, torch.Tensor]:
    """The terms; the distributions to hold on to are `model`'s."""
    found = [triplet(one) for one in items]
    texts = [one.texts for one in found]
    objective = Objective(model, settings, Balance(model, settings, found, texts, gendered.rng()))
    if network is not None:
        objective.model = Model.wrap(network, tiny.tokenizer())
    with torch.no_grad():
        return objective(network or model.hf, batch_of(model, texts))


@pytest.mark.parametrize("per", ["token", "text"])
@pytest.mark.parametrize("context", ["", "the cats was big."])
def test_balance_is_the_difference_of_what_the_benchmark_scores(per: Any, context: str) -> None:
    """After a context only what follows it counts, as in StereoSet's intersentence items."""
    model = gendered.model()
    found = found_in(model, KlaadBalanced(per=per, coherence=5.0), some_items(context))
    asked = [Choose(context, tuple(f" {t}" for t in texts)) if context else Compare(texts) for texts in TEXTS]
    answers: Any = model.answer(asked)
    scores = [[score.mean if per == "token" else score.total for score in answer.scores[:2]] for answer in answers]
    np.testing.assert_allclose(found["balance"].numpy(), [abs(s - a) for s, a in scores], rtol=1e-3, atol=1e-5)
    if per == "token":
        np.testing.assert_allclose(found["likelihood"].numpy(), np.mean(scores, axis=1), rtol=1e-4)
    parts = {"cross_entropy": 0.7, "attention": 0.15, "triplet": 0.15, "balance": 30.0, "anchor": 5.0, "coherence": 5.0}
    torch.testing.assert_close(found["loss"], torch.stack([w * found[name] for name, w in parts.items()]).sum(0))


def test_the_anchor_is_the_divergence_from_the_untouched_model() -> None:
    """Whole with all tokens but one told apart; less with fewer; nothing before training. Texts one by one."""
    model, items = gendered.model(), some_items()
    other = tiny.network("llama", seed=3)
    all_of_them = KlaadBalanced(anchor_tokens=10_000)
    found = found_in(model, all_of_them, items, other)["anchor"]
    expected = []
    for texts in TEXTS:
        each = []
        for text in texts:
            ids = torch.tensor([model.tokenizer(text)["input_ids"]])
            with torch.no_grad():
                base, new = (net(ids).logits[0, :-1].double().log_softmax(-1) for net in (model.hf, other))
            each.append(float((base.exp() * (base - new)).sum(-1).mean()))
        expected.append(np.mean(each))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)
    fewer = [found_in(model, KlaadBalanced(anchor_tokens=n), items, other)["anchor"] for n in (1, 8, 64)]
    assert all((a <= b + 1e-4).all() for a, b in zip(fewer, [*fewer[1:], found], strict=True))
    assert (fewer[0] > 0).all()
    assert found_in(model, all_of_them, items)["anchor"].abs().max() < 1e-5


def test_two_tokens_and_the_rest_by_hand() -> None:
    """Base (1/2, 1/4, 1/8, 1/8), model (1/4, 1/4, 1/4, 1/4), two told apart: 1/2 ln 2 + 1/4 ln 1/2."""
    base = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()[None]
    top = torch.tensor([[[0, 1]]])
    found = terms.drift(torch.zeros(1, 1, 4), top, terms.of_top(base, top))
    assert found.item() == pytest.approx(0.5 * np.log(2) + 0.25 * np.log(1) + 0.25 * np.log(0.5), abs=1e-6)


@pytest.mark.parametrize("context", ["", "the cats was big."])
def test_coherence_is_what_a_twin_lacks_of_its_lead_over_the_unrelated_text(context: str) -> None:
    model, lead = gendered.model(), 0.2
    found = found_in(model, KlaadBalanced(coherence=5.0, lead=lead), some_items(context))["coherence"]
    asked = [Choose(context, tuple(f" {t}" for t in texts)) if context else Compare(texts) for texts in TEXTS]
    answers: Any = model.answer(asked)
    means = [[score.mean for score in answer.scores] for answer in answers]
    expected = [np.mean([max(0.0, u - twin + lead) for twin in (s, a)]) for s, a, u in means]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)
    assert min(expected) < max(expected)


def test_unrelated_texts_are_read_only_where_a_term_needs_them() -> None:
    assert KlaadBalanced(triplet=0.0, coherence=5.0).reads_unrelated
    assert KlaadBalanced(coherence=0.0).reads_unrelated
    assert not KlaadBalanced(triplet=0.0, coherence=0.0).reads_unrelated
    method = KlaadBalanced(**{**QUICK, **ALONE, "coherence": 1.0, "balance": 0.0, "anchor": 0.0})
    history = fit(gendered.model(), method, some_items()).tensors["history:coherence"]
    assert history[-1] < history[0]


@pytest.mark.parametrize("zero", ["balance", "anchor", "coherence"])
def test_each_term_can_be_left_out(zero: str) -> None:
    found = found_in(gendered.model(), KlaadBalanced(**{"coherence": 5.0, zero: 0.0}), some_items())
    assert {"balance", "anchor", "coherence"} - found.keys() == {zero}


def test_without_them_it_is_klaad() -> None:
    plain = fit(gendered.model(), Klaad(**QUICK), some_items())
    ours = fit(gendered.model(), KlaadBalanced(balance=0.0, anchor=0.0, coherence=0.0, **QUICK), some_items())
    assert all(torch.equal(ours.tensors[name], tensor) for name, tensor in plain.tensors.items())


def test_four_batches_of_one_are_one_batch_of_four() -> None:
    whole = fit(gendered.model(), KlaadBalanced(**QUICK), some_items())
    parts = fit(gendered.model(), KlaadBalanced(**{**QUICK, "batch": 1, "accumulation": 4}), some_items())
    for name in (name for name in whole.tensors if name.startswith("history")):
        torch.testing.assert_close(whole.tensors[name], parts.tensors[name], atol=2e-3, rtol=2e-3)


def test_the_anchor_keeps_training_from_ruining_everything_else() -> None:
    """Balance alone may be had by flattening all there is; with the anchor it is had at a smaller divergence."""
    model, items = gendered.model(), some_items()
    long = {**QUICK, **ALONE, "steps": 30}
    before = float(found_in(model, KlaadBalanced(), items)["balance"].mean())
    after = {}
    for anchor in (0.0, 3.0):
        patch = fit(model, KlaadBalanced(balance=3.0, anchor=anchor, **long), items)
        twin = tiny.network("llama")
        wrapped = Model.wrap(twin, tiny.tokenizer(), name="llama")
        with wrapped.install(patch.method.edits(patch.tensors, wrapped)):
            found = found_in(model, KlaadBalanced(), items, twin)
        after[anchor] = (float(found["balance"].mean()), float(found["anchor"].mean()))
    assert after[0.0][0] < 0.5 * before
    assert after[3.0][0] < 0.5 * before
    assert after[3.0][1] < 0.7 * after[0.0][1]


ENDS = (" sat on the mat in a house.", " ran on the oak with the cat.", " is with a dog in the house.")


def stereotyped() -> list[Item]:
    """The first four cues of each gender with the pronoun of their stereotype, with the other, and with a noun."""
    found = []
    for sign, who in ((1, (" she", " he")), (-1, (" he", " she"))):
        for cue in planted.CUES[sign][:4]:
            for end in ENDS:
                texts = {
                    "stereotype": f"The{cue}{who[0]}{end}",
                    "anti-stereotype": f"The{cue}{who[1]}{end}",
                    "unrelated": f"The{cue} kite{end}",
                }
                origin = Origin("own", "own.json", len(found) + 1)
                found.append(Item(f"{cue}{end}", cue, origin, (), texts=texts, stratum="gender"))
    return found


def differences(model: Model, items: list[Item], per: str = "total") -> list[float]:
    """How much likelier each stereotype is than its anti-stereotype (nats)."""
    answers: Any = model.answer([Compare(triplet(one).texts[:2]) for one in items])
    return [getattr(answer.scores[0], per) - getattr(answer.scores[1], per) for answer in answers]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_stereotype_goes_with_the_balance_and_stays_with_its_sham(seed: int) -> None:
    """Without cross-entropy, which alone would take it away. `gap` is on cues that were not trained on."""
    made = planted.stereotype(seed, strength=2.0)
    model = Model.wrap(made.hf, made.tokenizer)

    def gap() -> float:
        women, men = (np.mean([lean(made, f"The{cue}") for cue in planted.CUES[sign][4:]]) for sign in (1, -1))
        return float(women - men)

    method: Mitigation = KlaadBalanced(
        **ALONE, lr=2e-3, steps=30, layers="all", targets="all", per="text", balance=1.0, anchor=0.3
    )
    items = stereotyped()
    (sham,) = method.shams(items, {}, gendered.rng(seed))
    before, gaps, trained = gap(), [], [np.mean(differences(model, items))]
    for fitted, on in ((method, items), (sham.method, sham.items)):
        with model.install(fit(model, fitted, on)):
            gaps.append(gap())
            trained.append(np.mean(differences(model, items)))
    assert before > 10
    assert abs(gaps[0]) < 0.25 * before
    assert gaps[1] > 0.75 * before
    assert abs(trained[1]) < 0.1 * trained[0]
    assert trained[2] == pytest.approx(trained[0], rel=0.2)


def test_the_sham_s_goals_are_the_differences_of_other_pairs() -> None:
    model, items = gendered.model(), some_items()
    found = [triplet(one) for one in items]
    (sham,) = KlaadBalanced().shams(items, {}, gendered.rng())
    assert sham.items == items
    method: Any = sham.method
    goals = Balance(model, method, found, [one.texts for one in found], gendered.rng()).goals.tolist()
    own = differences(model, items, "mean")
    assert sorted(goals) == pytest.approx(sorted(own), rel=1e-4)
    assert goals != pytest.approx(own, rel=1e-2)
    balance = found_in(model, method, items)["balance"].tolist()
    assert balance == pytest.approx([abs(d - goal) for d, goal in zip(own, goals, strict=True)], abs=1e-4)


def test_re_paired_sentences_keep_their_contexts() -> None:
    """A sentence keeps the context that it came with, and is still scored after it."""
    model = gendered.model()
    items = [*some_items("the cats was big."), *some_items("no dogs.")]
    for one, number in zip(items, range(len(items)), strict=True):
        object.__setattr__(one, "cluster", f"c{number % 4}")
    re_paired = across_targets(items, gendered.rng())
    found = found_in(model, KlaadBalanced(), re_paired)
    scored: Any = model.answer(
        [Choose(context, (text.removeprefix(context),)) for one in re_paired for text, context in _twins(one)]
    )
    means = [answer.scores[0].mean for answer in scored]
    expected = [abs(s - a) for s, a in zip(means[::2], means[1::2], strict=True)]
    np.testing.assert_allclose(found["balance"].numpy(), expected, rtol=1e-3, atol=1e-5)


def _twins(one: Item) -> list[tuple[str, str]]:
    found = triplet(one)
    return list(zip(found.texts[:2], found.contexts[:2], strict=True))


def test_batches_are_put_together_by_the_examples_numbers() -> None:
    model, settings = gendered.model(), KlaadBalanced()
    found = [triplet(one) for one in some_items()]
    texts = [one.texts for one in found]
    objective = Objective(model, settings, Balance(model, settings, found, texts, gendered.rng()))
    whole = batch_of(model, texts)
    pick = torch.tensor([2, 0])
    rows = torch.cat([pick + 4 * place for place in range(3)])
    with torch.no_grad():
        every = objective(model.hf, whole)
        some = objective(model.hf, Batch(whole.tokens[rows], whole.mask[rows], pick))
    for name, values in some.items():
        torch.testing.assert_close(values, every[name][pick], atol=1e-5, rtol=1e-4)
