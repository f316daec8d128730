"""From a name to a model: what is found, what is refused, and what the refusal says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.fixtures import tiny, tiny_model

from evenhand.core.errors import DamagedModel, MissingFile, ModelError, UsageError
from evenhand.core.requests import Compare, Scores
from evenhand.model import Model, load
from evenhand.model.identity import weights_hash

CPU = "cpu"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model.save(tmp_path / "model")


def test_a_folder_loads_with_its_tokenizer_and_answers_as_the_live_model(folder: Path) -> None:
    model = Model.load(str(folder), device=CPU)
    assert (model.task, model.device, model.dtype) == ("decoder", "cpu", "float32")
    assert not model.hf.training
    request = Compare(("the cat sat on the mat",))
    (found,), (wanted,) = model.answer([request]), Model.wrap(tiny.shared("llama"), tiny.tokenizer()).answer([request])
    assert isinstance(found, Scores)
    assert found == wanted
    assert model.identity.source == "folder model"


@pytest.mark.parametrize("kind", ["masked", "classifier", "encoder"])
def test_the_head_that_the_configuration_names_is_loaded(kind: str, tmp_path: Path) -> None:
    tiny_model.save_encoder(tmp_path / kind, kind)  # type: ignore[arg-type]
    assert Model.load(str(tmp_path / kind), device=CPU).task == kind


def test_the_dtype_is_float32_on_the_cpu_unless_asked_for(folder: Path, tmp_path: Path) -> None:
    tiny.network("llama").to(torch.bfloat16).save_pretrained(tmp_path / "half")
    tiny.tokenizer().save_pretrained(tmp_path / "half")
    assert Model.load(str(tmp_path / "half"), device=CPU).dtype == "float32"
    assert Model.load(str(folder), device=CPU, dtype="bfloat16").dtype == "bfloat16"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "smolm2",
            ["There is no model 'smolm2'", "smollm2, gemma3-270m, minilm", "owner/name", "Did you mean 'smollm2'?"],
        ),
        ("./nowhere", ["There is no model './nowhere'", "not a folder"]),
        ("a/b/c", ["There is no model 'a/b/c'"]),
        ("nothing.gguf", ["The file nothing.gguf does not exist"]),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(name: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        Model.load(name)
    assert all(word in str(caught.value) for word in words)


def test_a_hub_model_that_cannot_be_reached_lists_every_way_to_get_it() -> None:
    with pytest.raises(MissingFile) as caught:
        Model.load("nobody/nothing")
    for way in ("'nobody/nothing'", "HF_ENDPOINT", "pass the folder", "from PyPI: smollm2"):
        assert way in str(caught.value)


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json: it is not a transformers model folder"):
        Model.load(str(tmp_path))


@pytest.mark.parametrize("found", ["pytorch_model.bin", "weights.pt", "no weights"])
def test_pickled_weights_are_not_read(folder: Path, found: str) -> None:
    (folder / "model.safetensors").unlink()
    if found != "no weights":
        (folder / found).write_bytes(b"pickled")
    with pytest.raises(UsageError) as caught:
        Model.load(str(folder))
    for word in ("no .safetensors weights", f"(found: {found})", "can run code", "save_pretrained()"):
        assert word in str(caught.value)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _cut_in_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _no_safetensors(file: Path) -> None:
    file.write_bytes(b"<html>not found</html>")


def _wrong_shape(file: Path) -> None:
    tensors = load_file(file)
    tensors["model.norm.weight"] = torch.ones(7)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("damage", [_cut, _cut_in_the_header, _empty, _no_safetensors, _wrong_shape])
def test_damaged_weights_are_one_clear_error(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "model.safetensors")
    with pytest.raises(DamagedModel, match=r"its weights could not be loaded .*get it again"):
        Model.load(str(folder), device=CPU)


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DamagedModel, match=r"1 weight\(s\) .* model\.layers\.1\.mlp\.up_proj\.weight.*random numbers"):
        Model.load(str(folder), device=CPU)


def test_tied_weights_are_not_missing(tmp_path: Path) -> None:
    tiny.network("llama", tie_word_embeddings=True).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert Model.load(str(tmp_path), device=CPU).task == "decoder"


def test_an_architecture_that_transformers_does_not_know_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "unheard_of"}), "utf-8")
    with pytest.raises(ModelError, match="unheard_of"):
        Model.load(str(folder), device=CPU)


def test_an_encoder_decoder_is_refused_as_such(tmp_path: Path) -> None:
    config = transformers.T5Config(vocab_size=341, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    network = transformers.T5ForConditionalGeneration(config)
    network.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is an encoder-decoder; evenhand measures decoders"):
        Model.load(str(tmp_path), device=CPU)
    with pytest.raises(ModelError, match="is an encoder-decoder"):
        Model.wrap(network, tiny.tokenizer())


def test_a_folder_without_a_tokenizer_is_told(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"its tokenizer cannot be read .*tokenizer\.json"):
        Model.load(str(folder), device=CPU)


def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"--device \S+ is not usable here: .*Use --device cpu or auto"):
        Model.load(str(folder), device="meta-device")


def test_a_budget_too_small_to_hold_a_text_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="--batch-tokens 3 is too small; give at least 16"):
        Model.load(str(folder), device=CPU, batch_tokens=3)


# GGUF files.


def _gguf(path: Path, length: int | None = None) -> Path:
    """The beginning of a GGUF file that promises more tensors than it has."""
    header = b"GGUF" + struct.pack("<IQQ", 3, 5, 1)
    key = b"general.architecture"
    header += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, 5) + b"llama"
    path.write_bytes(header[:length])
    return path


@pytest.mark.parametrize("length", [0, 3, 20, None])
def test_a_gguf_file_that_is_cut_off_is_one_clear_error_and_leaves_nothing(
    length: int | None, tmp_path: Path, cache_folder: Path
) -> None:
    file = _gguf(tmp_path / "cut.gguf", length)
    for _ in range(2):
        with pytest.raises(DamagedModel, match=r"cut\.gguf could not be read as a GGUF model .*cut off .*get it again"):
            Model.load(str(file))
    assert list((cache_folder / "models").iterdir()) == []


def test_a_conversion_that_ends_early_is_not_taken_for_a_model(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _gguf(tmp_path / "some.gguf")

    def stopped(gguf: Path, target: Path) -> None:
        target.mkdir(parents=True)
        (target / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "_convert", stopped)
    with pytest.raises(KeyboardInterrupt):
        Model.load(str(file))
    asked: list[Path] = []
    monkeypatch.setattr(load, "_convert", lambda gguf, target: asked.append(gguf))
    load.find(str(file))
    assert asked == [file]


def test_weights_in_several_files_of_which_one_is_missing_are_refused(tmp_path: Path) -> None:
    tiny.network("llama").save_pretrained(tmp_path, max_shard_size="50KB")
    tiny.tokenizer().save_pretrained(tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    assert Model.load(str(tmp_path), device=CPU).identity.weights == weights_hash(tiny.shared("llama"))
    files[1].unlink()
    with pytest.raises(DamagedModel, match="could not be loaded"):
        Model.load(str(tmp_path), device=CPU)
