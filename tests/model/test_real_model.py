"""The engine on a real model, and the conversion of a real GGUF file."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.items import items_for

from evenhand import fit
from evenhand.core.errors import DamagedModel, MissingFile
from evenhand.core.requests import Choose, Compare, Complete, Completion, NextToken, Request, Scores, WordScores
from evenhand.core.segments import segmented
from evenhand.data import source
from evenhand.mitigate.pine import Pine
from evenhand.model import Model
from evenhand.model.identity import weights_hash

pytestmark = pytest.mark.slow

PEOPLE = ("The nurse", "The engineer", "My grandfather", "Her boss", "The new neighbour")
DEEDS = ("forgot the keys", "wrote a long letter", "was late again", "repaired the old radio", "laughed")
WHYS = (" because it was raining.", " because of the traffic.", ", as always.")


@pytest.fixture(scope="module")
def model() -> Model:
    try:
        return Model.load("smollm2", device="cpu")
    except MissingFile as error:
        pytest.skip(f"smollm2 is not at hand: {error}")


def _requests() -> list[Request]:
    chance = random.Random(2)
    out: list[Request] = []
    for _ in range(10):
        who, deed = chance.choice(PEOPLE), chance.choice(DEEDS)
        out.append(Choose(f"{who} {deed}", WHYS))
        out.append(Compare(tuple(f"{other} {deed}{chance.choice(WHYS)}" for other in PEOPLE[:2])))
        out.append(NextToken(f"{who} {deed}. Was this good? Answer Yes or No:", (" Yes", " No")))
    return out


def _plain(model: Model, prompt: str, rest: str, *, first: bool = False) -> float:
    """Log-probability (nats) of `rest` after `prompt` by one plain forward pass."""
    before = model.tokenizer(prompt).input_ids if prompt else [model.tokenizer.bos_token_id]
    whole = model.tokenizer(prompt + rest).input_ids if prompt else [*before, *model.tokenizer(rest).input_ids]
    whole = whole[: len(before) + 1] if first else whole
    with torch.inference_mode():
        logprobs = model.hf(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return float(sum(logprobs[place - 1, whole[place]] for place in range(len(before), len(whole))))


def test_packed_scores_of_thirty_mixed_requests_equal_plain_forward_passes(model: Model) -> None:
    requests = _requests()
    work = model.prepare(requests)
    assert work.road == "packed"
    assert work.tokens < work.asked / 2
    for request, answer in zip(requests, work.run(), strict=True):
        match request, answer:
            case Choose(prompt, options), Scores(scores):
                found, wanted = [s.total for s in scores], [_plain(model, prompt, option) for option in options]
            case Compare(texts), Scores(scores):
                found, wanted = [s.total for s in scores], [_plain(model, "", text) for text in texts]
            case NextToken(prompt, words), WordScores(logprobs):
                found, wanted = list(logprobs), [_plain(model, prompt, word, first=True) for word in words]
        assert found == pytest.approx(wanted, abs=1e-4)


def test_continuations_do_not_depend_on_the_batch(model: Model) -> None:
    requests = [Complete(f"{who} {DEEDS[0]}", 8, temperature, 0.9) for who in PEOPLE[:2] for temperature in (0.0, 1.0)]
    assert model.answer(requests) == [model.answer([request])[0] for request in requests]


def test_the_fingerprint_is_that_of_the_weights_in_memory_and_of_a_second_load(model: Model) -> None:
    assert model.identity.weights == weights_hash(model.hf)
    assert model.identity == Model.load("smollm2", device="cpu").identity


def test_with_pine_the_order_of_four_options_changes_nothing(model: Model) -> None:
    """All 24 orders, scored, and six of them continued: scores within 1e-4 nats, where orders move them by more."""
    options = (" an apple\n", " a shoe\n", " the old river\n", " a very small coin\n")
    orders = [segmented("Which of these is a fruit?\n", order, "Answer:") for order in itertools.permutations(options)]
    asked = [Choose(prompt, tuple(option.rstrip() for option in options)) for prompt in orders]

    def spread() -> float:
        """The largest change of a score over the orders (nats)."""
        found = [[score.total for score in one.scores] for one in model.answer(asked) if isinstance(one, Scores)]
        return float(np.ptp(found, axis=0).max())

    patch = fit(model, Pine(sample=2), items_for(Pine.fit_on, ()))
    plain = spread()
    with model.install(patch):
        moved = spread()
        texts = {one.text for one in model.answer([Complete(p, 3) for p in orders[::4]]) if isinstance(one, Completion)}
    assert moved <= 1e-4
    assert plain > 0.1
    assert len(texts) == 1


@pytest.fixture(scope="module")
def gguf() -> Path:
    try:
        paths = source.get("smollm2").paths()
    except MissingFile as error:
        pytest.skip(f"smollm2 is not at hand: {error}")
    return next(path for path in paths.values() if path.suffix == ".gguf")


def test_a_gguf_file_by_itself_is_the_same_model_as_the_bundled_name(
    model: Model, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path))
    converted = Model.load(str(gguf), device="cpu")
    assert converted.identity.fingerprint == model.identity.fingerprint
    assert converted.identity.source.startswith(f"file {gguf.name}, sha256 ")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [Path(converted._place.folder).name]  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_gguf_file_that_is_cut_off_anywhere_is_refused(
    share: float, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    cut = tmp_path / "cut.gguf"
    with gguf.open("rb") as file:
        cut.write_bytes(file.read(int(share * gguf.stat().st_size)))
    with pytest.raises(DamagedModel, match=r"could not be read as a GGUF model .*bytes are there"):
        Model.load(str(cut))
    assert not list((tmp_path / "cache" / "models").glob("*"))
