"""Patches: saved exactly, refused where they do not belong, merged into ordinary models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.fixtures import tiny
from tests.fixtures.by_hand import draw, logits, made
from tests.fixtures.plain_method import PlainMethod, patch_of, registered
from tests.fixtures.untouched import untouched
from torch import Tensor
from transformers import AutoModelForCausalLM

from evenhand.core.edits import (
    ActivationEdit,
    AttentionEdit,
    Dense,
    Edit,
    EmbeddingEdit,
    LogitsEdit,
    LowRank,
    PromptEdit,
    Slice,
    WeightEdit,
)
from evenhand.core.errors import NotMergeable, PatchError, UnknownName, WrongBase
from evenhand.core.sites import Part, Site
from evenhand.model import Model, Patch

IDS = torch.tensor([[1, 40, 7, 90, 33, 12, 8]])
MLP = {
    "llama": "model.layers.1.mlp.down_proj.weight",
    "gpt2": "transformer.h.1.mlp.c_proj.weight",
    "gpt_neox": "gpt_neox.layers.1.mlp.dense_4h_to_h.weight",
    "gemma3": "model.layers.1.mlp.down_proj.weight",
}


def nothing(_: Mapping[str, Tensor]) -> Sequence[Edit]:
    return []


def test_what_is_saved_comes_back_exactly(tmp_path: Path) -> None:
    model = made(tiny.network("llama"))
    tensors = {
        "a": draw(3, 4),
        "half": draw(2, 2).to(torch.bfloat16),
        "numbers": torch.tensor([1, 2, 3]),
        "none": torch.empty(0, 4),
        "turned": draw(4, 3).T,
    }
    patch = patch_of(model, tensors, amount=0.5)
    with registered(nothing):
        patch.save(tmp_path / "deep" / "patch")
        found = Patch.load(tmp_path / "deep" / "patch")
    assert isinstance(found.method, PlainMethod)
    assert found.method == patch.method
    assert found.base == patch.base
    assert found.provenance == patch.provenance
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert found.fingerprint == patch.fingerprint
    assert sorted(path.name for path in (tmp_path / "deep" / "patch").iterdir()) == [
        "patch.json",
        "tensors.safetensors",
    ]


def test_saving_over_an_older_patch_replaces_it(tmp_path: Path) -> None:
    model = made(tiny.network("llama"))
    with registered(nothing):
        for value in (1.0, 2.0):
            patch_of(model, {"a": torch.tensor([value])}).save(tmp_path)
        assert Patch.load(tmp_path).tensors["a"].item() == 2.0


def test_fingerprints_tell_settings_tensors_and_bases_apart() -> None:
    model, other = made(tiny.network("llama")), made(tiny.network("llama", seed=1))
    prints = [
        patch_of(model, {"a": draw(2)}).fingerprint,
        patch_of(model, {"a": draw(2)}, amount=0.5).fingerprint,
        patch_of(model, {"a": draw(2, seed=1)}).fingerprint,
        patch_of(model, {"b": draw(2)}).fingerprint,
        patch_of(model, {"a": draw(2)[None]}).fingerprint,
        patch_of(other, {"a": draw(2)}).fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert patch_of(model, {"a": draw(2)}).fingerprint == prints[0]
    sham = patch_of(model, {"a": draw(2)}).as_sham("shuffled labels")
    assert sham.summary()["sham"] == "shuffled labels"
    assert "sham" not in patch_of(model, {}).summary()


def saved(folder: Path) -> Path:
    patch_of(made(tiny.shared("llama")), {"a": draw(2)}).save(folder)
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "patch.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_tampered_tensors_are_refused(tmp_path: Path) -> None:
    with registered(nothing):
        saved(tmp_path)
        changed = {name: tensor + 1 for name, tensor in load_file(tmp_path / "tensors.safetensors").items()}
        save_file(changed, tmp_path / "tensors.safetensors")
        with pytest.raises(PatchError, match=r"is not the file that patch.json was written with"):
            Patch.load(tmp_path)
        (tmp_path / "tensors.safetensors").unlink()
        with pytest.raises(PatchError, match=r"is no patch: No such file .*tensors.safetensors"):
            Patch.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "one"}, "is damaged"),
        ({"surprise": 1}, "is damaged"),
        ({"kind": "benchmarks"}, "is damaged"),
        ({"settings": {"amount": "much"}}, "do not fit 'plain_method' as it is installed here"),
        ({"settings": {"other": 1}}, "do not fit 'plain_method' as it is installed here"),
    ],
)
def test_tampered_json_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with registered(nothing):
        rewrite(saved(tmp_path), **changes)
        with pytest.raises(PatchError, match=message):
            Patch.load(tmp_path)


def test_damaged_json_no_folder_and_an_unknown_method_are_refused(tmp_path: Path) -> None:
    with registered(nothing):
        saved(tmp_path)
        text = (tmp_path / "patch.json").read_text("utf-8")
        (tmp_path / "patch.json").write_text(text[: len(text) // 2], "utf-8")
        with pytest.raises(PatchError, match="is damaged"):
            Patch.load(tmp_path)
        with pytest.raises(PatchError, match=r"A patch is a folder with patch.json and tensors.safetensors"):
            Patch.load(tmp_path / "nowhere")
        saved(tmp_path)
    with pytest.raises(UnknownName, match="no mitigation 'plain_method'"):
        Patch.load(tmp_path)


def test_a_patch_for_another_model_is_refused_with_both_names() -> None:
    first, second = tiny.network("llama"), tiny.network("llama", seed=1)
    one = Model.wrap(first, tiny.tokenizer(), name="one")
    other = Model.wrap(second, tiny.tokenizer(), name="other")
    patch = patch_of(one, {})
    with untouched(second), pytest.raises(WrongBase) as caught:
        other.install(patch)
    for said in ("one", "other", one.identity.fingerprint, other.identity.fingerprint, "differ in weights."):
        assert said in str(caught.value)
    with pytest.raises(WrongBase, match=r"differ in weights, config"):
        patch.merge(made(tiny.network("gpt2")))
    bos = Model.wrap(first, tiny.tokenizer(opens=False))
    with pytest.raises(WrongBase, match="differ in tokenizer"):
        bos.install(patch)
    with pytest.raises(WrongBase, match="differ in weights"):
        Model.wrap(tiny.network("llama").to(torch.bfloat16), tiny.tokenizer()).install(patch)


def reloaded(folder: Path, merged: Any) -> Any:
    merged.save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def apart(one: Tensor, other: Tensor) -> float:
    return float((one.log_softmax(-1) - other.log_softmax(-1)).abs().max())


def head_edits(model: Model, tensors: Mapping[str, Tensor]) -> list[Edit]:
    """Change query, key and value of the last head, weights and biases."""
    found: list[Edit] = []
    for which in ("q", "k", "v"):
        place = model.anatomy.head_slices(0, 3, which)  # type: ignore[arg-type]
        values = tensors["slice"].T if place.axis == 1 else tensors["slice"]
        found.append(WeightEdit(place.param, Slice(place.axis, place.index, values)))
        if place.bias:
            found.append(WeightEdit(place.bias, Slice(0, place.index, tensors["slice"][:, 0])))
    return found


@pytest.mark.parametrize("family", MLP)
def test_a_merged_model_is_an_ordinary_folder_with_the_patchs_answers(family: str, tmp_path: Path) -> None:
    hf = tiny.network(family)
    model = made(hf)
    rows, columns = hf.get_parameter(MLP[family]).shape
    tensors = {"up": draw(rows, 2) * 0.2, "down": draw(2, columns, seed=1) * 0.2, "slice": draw(8, 32, seed=2) * 0.2}

    def make(given: Mapping[str, Tensor]) -> Sequence[Edit]:
        return [WeightEdit(MLP[family], LowRank(given["up"], given["down"])), *head_edits(model, given)]

    with registered(make), untouched(hf):
        patch = patch_of(model, tensors)
        merged = patch.merge(model)
        with model.install(patch):
            wanted = logits(hf, IDS)
    assert apart(wanted, logits(hf, IDS)) > 0.1
    found = reloaded(tmp_path, merged)
    assert type(found) is type(hf)
    assert apart(logits(found, IDS), wanted) < 1e-3


@pytest.mark.parametrize("head", ["untie", "follow"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "opt"])
def test_merged_embedding_rows_untie_the_head_on_disk_too(family: str, head: Any, tmp_path: Path) -> None:
    hf = tiny.network(family)
    model = made(hf)
    tensors = {"values": draw(2, 32)}

    def make(given: Mapping[str, Tensor]) -> Sequence[Edit]:
        return [EmbeddingEdit((7, 40), given["values"], head)]

    with registered(make), untouched(hf):
        patch = patch_of(model, tensors)
        merged = patch.merge(model)
        with model.install(patch):
            wanted = logits(hf, IDS)
    found = reloaded(tmp_path, merged)
    assert apart(wanted, logits(hf, IDS)) > 0.1
    assert apart(logits(found, IDS), wanted) < 1e-3
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    stays_tied = family != "llama" and head == "follow"
    assert config["tie_word_embeddings"] is stays_tied
    names = {name for name in load_file(tmp_path / "model.safetensors") if name.endswith("lm_head.weight")}
    assert bool(names) is not stays_tied
    assert hf.config.tie_word_embeddings is (family != "llama")


def test_a_weight_of_the_head_can_follow_an_untied_embedding(tmp_path: Path) -> None:
    """Edits are merged in their order, as they are installed."""
    hf = tiny.network("gpt2")
    model = made(hf)
    tensors = {"values": draw(1, 32), "delta": draw(tiny.vocabulary_size(), 32) * 0.1}

    def make(given: Mapping[str, Tensor]) -> Sequence[Edit]:
        return [EmbeddingEdit((7,), given["values"]), WeightEdit("lm_head.weight", Dense(given["delta"]))]

    with registered(make), untouched(hf):
        patch = patch_of(model, tensors)
        merged = patch.merge(model)
        with model.install(patch):
            wanted = logits(hf, IDS)
    assert apart(logits(reloaded(tmp_path, merged), IDS), wanted) < 1e-3


def test_what_is_no_weight_cannot_be_merged_and_is_listed() -> None:
    hf = tiny.network("llama")

    def make(_: Mapping[str, Tensor]) -> Sequence[Edit]:
        return [
            WeightEdit(MLP["llama"], Dense(draw(32, 64))),
            PromptEdit(str.strip),
            LogitsEdit(torch.relu),
            LogitsEdit(torch.abs),
            ActivationEdit(Site(0, Part.MLP), torch.relu),
            AttentionEdit(0, (0,)),
        ]

    with registered(make), untouched(hf), pytest.raises(NotMergeable) as caught:
        patch_of(made(hf), {}).merge(made(hf))
    assert "it holds ActivationEdit, AttentionEdit, LogitsEdit, PromptEdit." in str(caught.value)


def test_nothing_may_be_installed_while_a_patch_is_merged() -> None:
    hf = tiny.network("llama")
    model = made(hf)

    def make(_: Mapping[str, Tensor]) -> Sequence[Edit]:
        return [WeightEdit(MLP["llama"], Dense(draw(32, 64)))]

    with registered(make):
        patch = patch_of(model, {})
        with untouched(hf), model.install(patch), pytest.raises(PatchError, match="Remove it first"):
            patch.merge(model)


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    whole = draw(4, 4)
    with registered(nothing):
        patch_of(made(tiny.shared("llama")), {"whole": whole, "again": whole, "part": whole[1:]}).save(tmp_path)
        found = Patch.load(tmp_path).tensors
    assert torch.equal(found["whole"], whole)
    assert torch.equal(found["again"], whole)
    assert torch.equal(found["part"], whole[1:])
