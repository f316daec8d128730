"""Word-list bias: exact changes of log-probabilities on a small vocabulary."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tests.fixtures import planted
from tests.mitigate import gendered

from evenhand import fit
from evenhand.core.errors import UnknownName
from evenhand.core.requests import NextToken, WordScores
from evenhand.mitigate.controls.word_list_bias import WordListBias, _lowered


def test_log_probabilities_by_hand() -> None:
    """p = .5, .3, .2; the first is divided by e: .5/e of .5 + .5/e."""
    made = _lowered(torch.tensor([0]), 1.0)(torch.tensor([0.5, 0.3, 0.2]).log()).softmax(-1)
    whole = 0.5 / math.e + 0.5
    assert made.tolist() == pytest.approx([0.5 / math.e / whole, 0.3 / whole, 0.2 / whole])


def words(path: Path, *listed: str) -> str:
    content = {"name": "own", "title": "t", "language": "en", "source": "s", "groups": {"all": list(listed)}}
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_listed_word_loses_what_is_asked_against_every_other_word(tmp_path: Path) -> None:
    model = gendered.model()
    method = WordListBias(words=words(tmp_path / "w.json", "cat", "dog"), nats=1.5)
    request = NextToken("the", (" cat", " dog", " mat", " house"))
    (before,) = model.answer([request])
    with model.install(fit(model, method)):
        (after,) = model.answer([request])
    assert isinstance(before, WordScores)
    assert isinstance(after, WordScores)
    change = [b - a for a, b in zip(before.logprobs, after.logprobs, strict=True)]
    p = sum(math.exp(one) for one in before.logprobs[:2])
    # " cat" and " dog" begin no other word of these, and the normaliser follows from their probability (" Cat" and
    # " Dog" are bytes, which are left out)
    assert change[0] == pytest.approx(change[1], abs=1e-5)
    assert change[0] - change[2] == pytest.approx(-1.5, abs=1e-5)
    assert change[2] == pytest.approx(change[3], abs=1e-5)
    assert change[2] == pytest.approx(-math.log(1 - p + p * math.exp(-1.5)), abs=1e-5)


def test_words_are_looked_up_in_all_their_places() -> None:
    tokenizer = planted.clean(0).tokenizer
    model = gendered.Model.wrap(planted.clean(0).hf, tokenizer, name="planted")
    patch = fit(model, WordListBias())
    named = set(tokenizer.convert_ids_to_tokens(patch.tensors["tokens"].tolist()))
    assert {"Ġhe", "Ġshe", "Ġher", "Ġwoman", "He", "She"} <= named
    assert not {"Ġthe", "Ġcat", "he", "she"} & named
    assert "begin other words too" in patch.provenance.notes[0]


def test_single_letters_are_lowered_only_where_a_word_has_nothing_else(tmp_path: Path) -> None:
    model = gendered.model()
    patch = fit(model, WordListBias(words=words(tmp_path / "w.json", "cat", "she")))
    named = set(model.tokenizer.convert_ids_to_tokens(patch.tensors["tokens"].tolist()))
    assert named == {"Ġcat", "Ġs"}


def test_an_unknown_list_is_refused() -> None:
    with pytest.raises(UnknownName, match="word list"):
        fit(gendered.model(), WordListBias(words="gass"))
