"""Self-Debias against hand-computed probabilities and plain forward passes."""

from __future__ import annotations

import math

import pytest
import torch
from tests.mitigate import gendered
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from evenhand import fit
from evenhand.core.edits import BranchingEdit
from evenhand.core.errors import UsageError
from evenhand.core.requests import Choose, Classify, Compare, Complete, NextToken, Scores
from evenhand.mitigate.self_debias import SelfDebias, _decayed, _space


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def test_probabilities_by_hand() -> None:
    """D = .1, -.02, -.3, .22: kept, times e^-1, times the floor (e^-15 is below it), kept."""
    own, biased = logs(0.3, 0.2, 0.1, 0.4), logs(0.2, 0.22, 0.4, 0.18)
    made = _decayed(50.0, 0.01)(own + 7.0, (biased - 2.0,)).softmax(-1)[0]
    weights = [0.3, 0.2 * math.exp(-1.0), 0.1 * 0.01, 0.4]
    assert made.tolist() == pytest.approx([weight / sum(weights) for weight in weights])


def test_the_likeliest_of_several_descriptions_counts() -> None:
    own, first, second = logs(0.5, 0.5), logs(0.52, 0.48), logs(0.46, 0.54)
    made = _decayed(10.0, 0.001)(own, (first, second)).softmax(-1)[0]
    weights = [0.5 * math.exp(-0.2), 0.5 * math.exp(-0.4)]
    assert made.tolist() == pytest.approx([weight / sum(weights) for weight in weights])


def test_nothing_changes_where_the_description_changes_nothing() -> None:
    own = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    made = _decayed(50.0, 0.01)(own, (own + 3.0,))
    torch.testing.assert_close(made.log_softmax(-1), own.log_softmax(-1))


def test_scores_of_a_whole_text_are_those_of_plain_passes() -> None:
    model = gendered.model()
    method = SelfDebias(descriptions=("the bad dog",))
    ids = model.tokenizer("the cat sat", add_special_tokens=False)["input_ids"]
    before = model.tokenizer('the bad dog "', add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        own = model.hf(input_ids=torch.tensor([[1, *ids]])).logits[0, :-1].double()
        other = model.hf(input_ids=torch.tensor([[1, *before, *ids]])).logits[0, len(before) : -1].double()
    p, biased = own.softmax(-1), other.softmax(-1)
    weights = p * torch.where(p >= biased, 1.0, (50.0 * (p - biased)).exp().clamp_min(0.01))
    expected = (weights / weights.sum(-1, keepdim=True)).log()[range(len(ids)), ids]
    with model.install(fit(model, method)):
        (scores,) = model.answer([Compare(("the cat sat",))])
    assert isinstance(scores, Scores)
    assert list(scores.scores[0].logprobs) == pytest.approx(expected.tolist(), abs=2e-5)


def test_every_kind_of_request_is_asked_again_after_the_description() -> None:
    model = gendered.model()
    (edit,) = SelfDebias(descriptions=("one:", "two:")).edits({}, model)
    assert isinstance(edit, BranchingEdit)
    assert edit.prompts(NextToken("a cat", (" sat",))) == (
        NextToken("one:\n\na cat", (" sat",)),
        NextToken("two:\n\na cat", (" sat",)),
    )
    assert edit.prompts(Choose("", ("yes", " no")))[0] == Choose('one: "', ("yes", " no"))
    assert edit.prompts(Compare(("a", "b")))[1] == Choose('two: "', ("a", "b"))
    assert edit.prompts(Complete("a cat", seed=3))[0] == Complete("one:\n\na cat", seed=3)
    assert edit.prompts(Classify("a cat")) == ()


def test_choices_and_continuations_change() -> None:
    model = gendered.model()
    requests = [Choose("the cat", (" sat", " ran")), Choose("", (" yes", "no")), Complete("the dog", max_new_tokens=8)]
    before = model.answer(requests)
    with model.install(fit(model, SelfDebias())):
        during = model.answer(requests)
    assert all(one != other for one, other in zip(before[:2], during[:2], strict=True))
    assert model.answer(requests) == before


def test_the_sham_is_as_long() -> None:
    method = SelfDebias(descriptions=("What comes next is rude:",), decay=10.0)
    (sham,) = method.shams([], {}, gendered.rng())
    assert isinstance(sham.method, SelfDebias)
    (other,) = sham.method.descriptions
    assert (len(other.split()), other[-1], sham.method.decay) == (5, ":", 10.0)


def test_blank_descriptions_are_refused() -> None:
    with pytest.raises(UsageError, match="blank"):
        fit(gendered.model(), SelfDebias(descriptions=(" ",)))


def test_a_tokenizer_that_puts_a_space_before_every_text_gets_one() -> None:
    vocabulary = {"<unk>": 0, "▁": 1, "▁The": 2, "▁A": 3, "▁man": 4, "▁She": 5, "▁is": 6, '▁"': 7, "▁bad:": 8, "The": 9}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    assert _space(PreTrainedTokenizerFast(tokenizer_object=backend), ("bad:",)) == " "
    assert _space(gendered.model().tokenizer, ("bad:",)) == ""
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    with pytest.raises(UsageError, match="tokenizer"):
        _space(PreTrainedTokenizerFast(tokenizer_object=backend), ("bad:",))
