"""Methods that take a direction out lower a planted stereotype; their shams leave it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.fixtures import planted

from evenhand import fit
from evenhand.core.items import Item, Origin
from evenhand.core.requests import NextToken, WordScores
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate.inlp import Inlp
from evenhand.mitigate.leace import Leace
from evenhand.mitigate.sentence_debias import SentenceDebias
from evenhand.model import Model

ENDS = (" sat on the mat", " ran in the house", " said that it is good", " was in the big house", " and the dog sat")


@cache
def model() -> Model:
    made = planted.stereotype(1, carried=True)
    return Model.wrap(made.hf, made.tokenizer, name="planted")


def items() -> list[Item]:
    """Twins that name an occupation of either kind; the last two of each kind are kept for the test."""
    found = []
    for first, second in zip(planted.CUES[1][:6], planted.CUES[-1][:6], strict=True):
        for end in ENDS:
            texts = {"first": f"The{first}{end}", "second": f"The{second}{end}"}
            name = f"{first}{end}"
            found.append(Item(name, first, Origin("own", "own", len(found) + 1), (), texts=texts))
    return found


def lean() -> float:
    """How much more the model leans to the first kind's words after the first kind's occupations (nats)."""
    gaps = []
    for sign in (1, -1):
        cues = planted.CUES[sign][6:]
        answers = model().answer([NextToken(f"The{cue} said that", planted.SHE + planted.HE) for cue in cues])
        for answer in answers:
            assert isinstance(answer, WordScores)
            she, he = answer.logprobs[: len(planted.SHE)], answer.logprobs[len(planted.SHE) :]
            gaps.append(sign * (np.logaddexp.reduce(she) - np.logaddexp.reduce(he)))
    return float(np.mean(gaps))


@pytest.mark.parametrize("method", [SentenceDebias(), Leace(), Inlp(dim=2)], ids=lambda method: method.name)
def test_the_planted_lean_falls_and_with_a_sham_it_stays(method: Mitigation) -> None:
    before = lean()
    patch = fit(model(), method, items())
    with model().install(patch):
        after = lean()
    left = []
    for seed in range(3):
        for sham in method.shams(items(), patch.tensors, np.random.default_rng(seed)):
            with model().install(fit(model(), sham.method, sham.items, seed=seed)):
                left.append(lean() / before)
    assert before > 1.0
    assert after < 0.5 * before
    assert np.mean(left) > 0.8
