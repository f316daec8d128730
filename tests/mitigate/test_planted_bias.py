"""Methods that name a place or an answer lower a bias that was planted there; chance and the wrong place do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tests.fixtures import planted
from tests.fixtures.planted import Planted

from evenhand import fit
from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose, NextToken, Scores, WordScores
from evenhand.mitigate.controls.logit_offset import LogitOffset
from evenhand.mitigate.controls.random_direction import RandomDirection
from evenhand.mitigate.head_mask import HeadMask
from evenhand.model import Model, Patch

PROMPT = "Answer the following question with {} or {}.\n\nQuestion: {}?\nAnswer:"
QUESTIONS = (
    "Can a kite sat on a mat", "Is a cat big", "Is the house good", "Can a dog run", "Is an oak small", "Can it sat",
    "Is the person bad", "Can a house ran", "Is a mat good", "Can a kite sat in a house", "Is it in the house", "Is it",
)  # fmt: skip
OPTIONS = (" Yes", " No")
SEEDS = range(3)


def prompts(questions: Sequence[str]) -> list[str]:
    return [PROMPT.format(*words, q) for q in questions for words in (("Yes", "No"), ("No", "Yes"))]


def items() -> list[Item]:
    """The first eight questions in both orders; the others are kept for the test."""
    return [
        Item(f"q{number}", f"c{number // 2}", Origin("own", "own", number + 1), (Choose(prompt, OPTIONS),))
        for number, prompt in enumerate(prompts(QUESTIONS[:8]))
    ]


def model(made: Planted) -> Model:
    return Model.wrap(made.hf, made.tokenizer, name="planted")


def no_over_yes(of: Model) -> float:
    """Mean log-odds of No against Yes over held-out questions (nats)."""
    answers = of.answer([Choose(prompt, OPTIONS) for prompt in prompts(QUESTIONS[8:])])
    return float(np.mean([a.scores[1].total - a.scores[0].total for a in answers if isinstance(a, Scores)]))


def pull(plant: Callable[..., Planted], seed: int, patch: Callable[[Model], Patch] | None = None) -> float:
    """How much the plant raises No (nats): against the same model without it, both with the patch."""
    found = []
    for strength in (1.0, 0.0):
        of = model(plant(seed, strength=strength))
        if patch is None:
            found.append(no_over_yes(of))
        else:
            with of.install(patch(of)):
                found.append(no_over_yes(of))
    return found[0] - found[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_masking_the_planted_head_takes_its_pull_away_and_random_heads_leave_it(seed: int) -> None:
    (site,) = planted.negative_head(seed).sites
    method = HeadMask(heads=(str(site),))
    before = pull(planted.negative_head, seed)
    half = pull(planted.negative_head, seed, lambda of: fit(of, HeadMask(heads=(str(site),), amount=0.5)))
    after = pull(planted.negative_head, seed, lambda of: fit(of, method))
    assert before > 1.5
    assert abs(after) < 1e-4
    assert 0.2 * before < half < 0.8 * before
    (sham,) = method.shams([], {}, np.random.default_rng(seed))
    left = [pull(planted.negative_head, seed, lambda of, n=n: fit(of, sham.method, seed=n)) for n in range(5)]
    assert min(left) > 0.6 * before


@pytest.mark.parametrize("plant", [planted.label_prior, planted.negative_head])
def test_a_constant_for_each_answer_evens_any_pull_on_them_out(plant: Callable[..., Planted]) -> None:
    """It knows no place: prior or head, the answers become even on the whole, and on held-out questions nearly so."""
    of = model(plant(1))
    before = no_over_yes(of)
    with of.install(fit(of, LogitOffset(), items())):
        after = no_over_yes(of)
    with of.install(fit(of, LogitOffset(amount=0.5), items())):
        half = no_over_yes(of)
    assert abs(before) > 1.5
    assert abs(after) < 0.35 * abs(before)
    assert half == pytest.approx((before + after) / 2, abs=1e-3)


def test_a_constant_for_yes_and_no_leaves_a_stereotype_alone() -> None:
    of = model(planted.stereotype(1))
    asked = [NextToken(f"The{cue}", planted.SHE + planted.HE) for cue in (*planted.CUES[1], *planted.CUES[-1])]
    before = of.answer(asked)
    with of.install(fit(of, LogitOffset(), items())):
        assert of.answer(asked) == before


@pytest.mark.parametrize("seed", SEEDS)
def test_random_directions_leave_a_prior_and_a_stereotype_on_average(seed: int) -> None:
    prior = pull(planted.label_prior, seed)
    left = [pull(planted.label_prior, seed, lambda of, n=n: fit(of, RandomDirection(), seed=n)) for n in range(6)]
    assert prior > 1.5
    assert np.mean(left) > 0.8 * prior
    of = model(planted.stereotype(seed))

    def lean() -> float:
        gaps = []
        for sign, cues in planted.CUES.items():
            for answer in of.answer([NextToken(f"The{cue}", planted.SHE + planted.HE) for cue in cues]):
                assert isinstance(answer, WordScores)
                she, he = np.split(np.array(answer.logprobs), 2)
                gaps.append(sign * (she.mean() - he.mean()))
        return float(np.mean(gaps))

    before = lean()
    leans = []
    for number in range(6):
        with of.install(fit(of, RandomDirection(), seed=number)):
            leans.append(lean())
    assert before > 1.0
    assert np.mean(leans) > 0.7 * before
