"""Training ends in weight edits that do what the trained model did, and leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from peft import LoraConfig, LoraModel
from tests.fixtures import tiny
from torch import Tensor, nn

from evenhand.cli._settings import configured
from evenhand.core.edits import Dense, LowRank
from evenhand.core.errors import DataError, UnknownName, UnsupportedSite, UsageError
from evenhand.core.requests import Compare
from evenhand.mitigate import _adapters, _trainer
from evenhand.mitigate._kept import accelerate_as_it_was
from evenhand.mitigate._train import Batch, TrainSettings, next_token_loss, train, weight_edits
from evenhand.model import Model

TEXTS = [
    (text,)
    for text in (
        "the cat sat on the mat",
        "a dog ran in the house",
        "the cats was big and good",
        "no dogs is walking on a mat",
        "yes the small dog sat",
        "a bad cat ran and ran and ran",
        "the house is on the mat or in",
        "dogs and cats",
    )
]
QUICK = TrainSettings(lr=1e-2, steps=3, rank=4, alpha=8, batch=4, layers="all")


def model_of(family: str = "llama", **settings: Any) -> Model:
    return Model.wrap(tiny.network(family, **settings), tiny.tokenizer())


def logits(network: nn.Module) -> Tensor:
    ids = torch.randint(6, 100, (2, 9), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        found: Tensor = network(input_ids=ids).logits
    return found


def state(network: nn.Module) -> dict[str, Any]:
    """All that a trainer could have changed."""
    return {
        "bits": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "modules": [id(module) for module in network.modules()],
        "training": [module.training for module in network.modules()],
        "flags": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [parameter.grad for parameter in network.parameters()],
        "attributes": set(network.__dict__),
        "hooks": [(*m._forward_hooks, *m._forward_pre_hooks, *m._backward_hooks) for m in network.modules()],
        "config": network.config.to_dict(),  # type: ignore[operator, union-attr]
    }


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    bits = all(torch.equal(first["bits"][name], second["bits"][name]) for name in first["bits"])
    return bits and {**first, "bits": 0} == {**second, "bits": 0}


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("targets", ["attention", "mlp", "all"])
def test_the_patched_model_is_the_trained_one(family: str, targets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer's own network, adapters in place, gives the logits that the edits give without them."""
    model = model_of(family)
    seen: list[Tensor] = []
    folded = _adapters.folded

    def watched(network: Any) -> dict[str, Tensor]:
        network.train(False)
        seen.append(logits(network))
        return folded(network)

    monkeypatch.setattr(_adapters, "folded", watched)
    plain = logits(model.hf)
    trained = train(model, TEXTS, next_token_loss, QUICK.model_copy(update={"targets": targets}), seed=1)
    assert torch.equal(logits(model.hf), plain)
    edits = weight_edits(trained.tensors)
    assert edits
    assert all(isinstance(edit.delta, LowRank) for edit in edits)
    with model.install(edits):
        torch.testing.assert_close(logits(model.hf), seen[0], atol=2e-4, rtol=1e-4)
    assert (seen[0] - plain).abs().max() > 0.05


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_folded_adapters_equal_peft_s_own_merge(family: str) -> None:
    network = tiny.network(family)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    targets = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn", "c_proj"], "gpt_neox": ["query_key_value"]}[family]
    config = LoraConfig(r=3, lora_alpha=5, target_modules=targets, fan_in_fan_out=family == "gpt2")
    made = LoraModel(network, config, "default")
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.normal_(generator=generator)
    tensors = _adapters.folded(made.model, "default")
    merged = made.merge_and_unload()
    after = dict(merged.named_parameters())
    edits = {edit.param: edit.delta for edit in weight_edits(tensors)}
    assert set(edits) == {name for name in before if not torch.equal(before[name], after[name])}
    for name, delta in edits.items():
        assert isinstance(delta, LowRank)
        torch.testing.assert_close(before[name] + delta.up @ delta.down, after[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("odd", [{"use_dora": True}, {"use_rslora": True}, {"bias": "all"}])
def test_adapters_that_are_no_plain_low_rank_change_are_refused(odd: dict[str, Any]) -> None:
    made = LoraModel(tiny.network("llama"), LoraConfig(r=2, target_modules=["q_proj"], **odd), "default")
    with pytest.raises(UsageError, match="not read as a change of weights"):
        _adapters.folded(made.model, "default")


def test_full_training_gives_the_very_parameters_that_plain_adamw_gives() -> None:
    """Two steps on all eight texts at once, no clipping, against a loop with torch's own optimiser."""
    model = model_of(tie_word_embeddings=True)
    settings = TrainSettings(lr=1e-2, steps=2, rank=0, targets="all", layers="all", batch=8, clip=0, decay=0.1)
    trained = train(model, TEXTS, next_token_loss, settings, seed=3)
    twin = tiny.network("llama", tie_word_embeddings=True).train()
    encoded = _trainer.encoded(model, TEXTS, 64)
    batch = Batch(**_trainer._collated(encoded))
    decayed = [p for p in twin.parameters() if p.dim() > 1]
    others = [p for p in twin.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-2
    )
    for rate in (1e-2, 5e-3):  # falls to 0 along a line
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
        next_token_loss(twin, batch)["loss"].mean().backward()
        optimiser.step()
    edits = weight_edits(trained.tensors)
    assert all(isinstance(edit.delta, Dense) for edit in edits)
    assert "lm_head.weight" not in {edit.param for edit in edits}
    with model.install(edits):
        for name, parameter in twin.named_parameters():
            torch.testing.assert_close(model.hf.get_parameter(name).detach(), parameter, atol=2e-4, rtol=1e-3)


def test_the_loss_is_the_mean_over_tokens_then_texts_then_examples() -> None:
    model = model_of()
    pairs = [("the cat", "a dog ran in the house"), ("yes the small dog sat", "no")]
    encoded = _trainer.encoded(model, pairs, 64)
    batch = Batch(**_trainer._collated(encoded))
    with torch.no_grad():
        found = next_token_loss(model.hf, batch)["loss"]
    scores = model.answer([Compare(pair) for pair in pairs])
    expected = [np.mean([-score.mean for score in answer.scores]) for answer in scores]  # type: ignore[union-attr]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), atol=1e-4, rtol=1e-4)


def test_four_batches_of_two_are_one_batch_of_eight() -> None:
    """The gradient itself, before AdamW takes its length away; the texts differ in length."""
    model = model_of()
    whole = train(model, TEXTS, next_token_loss, QUICK.model_copy(update={"batch": 8}), seed=4)
    parts = train(model, TEXTS, next_token_loss, QUICK.model_copy(update={"batch": 2, "accumulation": 4}), seed=4)
    assert len(whole.steps) == len(parts.steps) == 3
    for one, other in zip(whole.steps, parts.steps, strict=True):
        assert one.gradient == pytest.approx(other.gradient, rel=1e-3)
        assert one.terms["loss"] == pytest.approx(other.terms["loss"], rel=1e-4)
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(tensor, parts.tensors[name], atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_model_is_as_it_was(family: str, rank: int, error: type[BaseException] | None) -> None:
    model = model_of(family)
    list(model.hf.parameters())[1].requires_grad_(False)
    model.anatomy.head_slices(0, 0, "q")
    before, called = state(model.hf), 0

    def loss(network: Any, batch: Batch) -> Mapping[str, Tensor]:
        nonlocal called
        called += 1
        if error is not None and called == 2:
            raise error
        return next_token_loss(network, batch)

    settings = QUICK.model_copy(update={"rank": rank})
    if error is None:
        train(model, TEXTS, loss, settings, seed=0)
    else:
        with pytest.raises(error):
            train(model, TEXTS, loss, settings, seed=0)
    assert called >= 2
    assert same(state(model.hf), before)


def test_equal_seeds_train_alike_and_nobody_else_s_generators_move() -> None:
    model = model_of("gpt2")  # it has dropout of its own
    states = (torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002
    first = train(model, TEXTS, next_token_loss, QUICK, seed=7)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1][1])  # noqa: NPY002
    assert random.getstate() == states[2]
    torch.rand(3)
    again = train(model, TEXTS, next_token_loss, QUICK, seed=7)
    other = train(model, TEXTS, next_token_loss, QUICK, seed=8)
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert first.steps == again.steps
    assert not all(torch.equal(first.tensors[name], other.tensors[name]) for name in first.tensors)


def test_accelerate_is_left_as_it_was() -> None:
    """Its state is one for the whole process, and an `Accelerator` with other settings would be refused."""
    states: list[Any] = [AcceleratorState, PartialState, GradientState]
    with accelerate_as_it_was():
        fresh = [dict(state._shared_state) for state in states]
        assert fresh == [{}, {}, {}]
        train(model_of(), TEXTS, next_token_loss, QUICK, seed=0)
        assert [dict(state._shared_state) for state in states] == fresh
        mine = Accelerator(cpu=True, mixed_precision="bf16")
        train(model_of(), TEXTS, next_token_loss, QUICK, seed=0)
        assert mine.mixed_precision == "bf16"
        assert Accelerator(cpu=True, mixed_precision="bf16").device.type == "cpu"


def test_nothing_is_printed_and_nothing_is_left_behind(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told: list[tuple[int, int]] = []
    trained = train(model_of(), TEXTS, next_token_loss, QUICK, seed=0, progress=lambda *at: told.append(at))
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert trained.steps[0].terms["loss"] > trained.steps[-1].terms["loss"]
    assert any("3 steps on 8 examples" in note for note in trained.notes)


def test_a_loss_of_one_s_own_sees_whole_examples_and_trains_a_module_beside() -> None:
    """Triplets stay together, the reported terms come back, and the further module moves."""
    triplets = [(a[0], b[0], c[0]) for a, b, c in zip(TEXTS, TEXTS[1:], TEXTS[2:], strict=False)]
    model = model_of()
    beside = nn.Linear(32, 1)
    expected = _trainer.encoded(model, triplets, 64)

    def loss(network: Any, batch: Batch) -> Mapping[str, Tensor]:
        count = len(batch.index)
        assert len(batch.tokens) == 3 * count
        for row, number in enumerate(batch.index.tolist()):
            for place in range(3):
                ids = batch.tokens[place * count + row][batch.mask[place * count + row] == 1]
                assert tuple(ids.tolist()) == expected[number][1][place]
        states = network(input_ids=batch.tokens, attention_mask=batch.mask, output_hidden_states=True).hidden_states[-1]
        first, second, third = states.mean(1).view(3, count, -1)
        apart = F.relu((first - second).pow(2).sum(-1) - (first - third).pow(2).sum(-1) + 1)
        return {"loss": apart + beside(first).squeeze(-1).pow(2), "apart": apart}

    start = beside.weight.detach().clone()
    trained = train(model, triplets, loss, QUICK, seed=0, extra=beside)
    assert not torch.equal(trained.tensors["extra:weight"], start)
    assert {"loss", "apart"} == set(trained.steps[0].terms)
    assert all("extra" not in edit.param for edit in weight_edits(trained.tensors))


def test_texts_are_cut_and_amounts_scale() -> None:
    model = model_of()
    whole, cut = (_trainer.encoded(model, TEXTS, length) for length in (64, 5))
    assert [ids for _, (ids,) in cut] == [ids[:5] for _, (ids,) in whole]
    assert max(len(ids) for _, (ids,) in whole) > 5
    ((_, (long,)),) = _trainer.encoded(model_of("gpt2"), [("the cat sat on the mat " * 90,)], 10_000)
    assert len(long) == 256  # its context
    tensors = train(model, TEXTS, next_token_loss, QUICK, seed=0).tensors
    for half, whole in zip(weight_edits(tensors, 0.5), weight_edits(tensors), strict=True):
        assert isinstance(half.delta, LowRank)
        assert isinstance(whole.delta, LowRank)
        torch.testing.assert_close(half.delta.up @ half.delta.down * 2, whole.delta.up @ whole.delta.down)


@pytest.mark.parametrize(("layers", "expected"), [("all", {0, 1, 2}), ("upper", {1, 2}), ((0,), {0}), ((2, 0), {0, 2})])
def test_layers_that_are_trained(layers: Any, expected: set[int]) -> None:
    settings = TrainSettings(layers=layers, targets="q_proj,o_proj")
    found = _adapters.maps_of(model_of().anatomy, settings)
    assert {name.split(".")[-1] for name in found} == {"q_proj", "o_proj"}
    assert {int(name.split(".")[2]) for name in found} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("upper", "upper"), ("all", "all"), ("7", (7,)), ("3,20-22", (3, 20, 21, 22)), ("0, 2", (0, 2))],
)
def test_layers_are_read_from_the_command_line(text: str, expected: Any) -> None:
    assert configured(TrainSettings, [f"layers={text}"], "test").layers == expected
    assert TrainSettings.model_validate({"layers": text}).layers == expected
    assert TrainSettings.model_validate_json(TrainSettings(layers=expected).model_dump_json()).layers == expected


@pytest.mark.parametrize("text", ["lower", "3,x", "5-", "1.5"])
def test_layers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="layers"):
        configured(TrainSettings, [f"layers={text}"], "test")


def test_what_cannot_be_trained_is_refused_with_a_reason() -> None:
    model = model_of()
    with pytest.raises(UnsupportedSite, match="no layer 9"):
        train(model, TEXTS, next_token_loss, TrainSettings(layers=(9,)), seed=0)
    with pytest.raises(UnknownName, match="q_proj"):
        train(model, TEXTS, next_token_loss, TrainSettings(targets="q_prok"), seed=0)
    with pytest.raises(UnsupportedSite, match="Mamba"):
        train(model_of("mamba"), TEXTS, next_token_loss, TrainSettings(), seed=0)
    with pytest.raises(DataError, match="nothing to train on"):
        train(model, [], next_token_loss, TrainSettings(), seed=0)
    with pytest.raises(UsageError, match="same number"):
        train(model, [("a",), ("a", "b")], next_token_loss, TrainSettings(), seed=0)
    coarse = Model.wrap(tiny.network("llama").half(), tiny.tokenizer())
    with pytest.raises(UsageError, match="--dtype float32"):
        train(coarse, TEXTS, next_token_loss, TrainSettings(), seed=0)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    model = model_of()

    def broken(network: Any, batch: Batch) -> Mapping[str, Tensor]:
        return {"loss": next_token_loss(network, batch)["loss"] * float("inf")}

    before = state(model.hf)
    with pytest.raises(UsageError, match="diverged"):
        train(model, TEXTS, broken, QUICK, seed=0)
    assert same(state(model.hf), before)


def test_bfloat16_weights_train_adapters_only() -> None:
    """In float32 beside the weights: rounded to bfloat16 they would lose the last eight bits or more."""
    model = Model.wrap(tiny.network("llama").bfloat16(), tiny.tokenizer())
    trained = train(model, TEXTS, next_token_loss, QUICK, seed=0)
    assert {tensor.dtype for tensor in trained.tensors.values()} == {torch.float32}
    assert all((tensor != tensor.bfloat16().float()).any() for tensor in trained.tensors.values())
    with pytest.raises(UsageError, match="too coarse"):
        train(model, TEXTS, next_token_loss, QUICK.model_copy(update={"rank": 0}), seed=0)


def test_autocast_trains_almost_alike_or_says_that_it_cannot() -> None:
    model = model_of()
    plain = train(model, TEXTS, next_token_loss, QUICK, seed=0)
    fast = train(model, TEXTS, next_token_loss, QUICK.model_copy(update={"autocast": True}), seed=0)
    if any("bfloat16 is not native" in note for note in fast.notes):
        assert fast.steps == plain.steps
    else:
        assert fast.steps[0].terms["loss"] != plain.steps[0].terms["loss"]
        assert fast.steps[0].terms["loss"] == pytest.approx(plain.steps[0].terms["loss"], rel=0.02)
