"""A patch: what a mitigation learned, on which model, from what. Saved as JSON and safetensors, never as a pickle."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core import registry
from evenhand.core.edits import Edit, EmbeddingEdit, WeightEdit
from evenhand.core.errors import NotMergeable, PatchError, StorageError, WrongBase
from evenhand.core.journal import write_atomic
from evenhand.core.record import ModelIdentity, PatchFile, Provenance
from evenhand.model.edits.embedding import tied
from evenhand.model.edits.weight import add, parameter_of

if TYPE_CHECKING:
    from evenhand.model.model import Model


class Method(Protocol):
    """What a patch needs of a mitigation: its name, its settings, and edits from tensors."""

    @property
    def name(self) -> str:
        """Its registered name."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Its settings as plain data."""
        ...

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """What it changes."""
        ...


@dataclass(frozen=True, slots=True)
class Patch:
    """A fitted mitigation.

    Attributes:
        method: the mitigation with its settings.
        tensors: what it learned, on the CPU.
        base: the model that it was fitted on and belongs to.
        provenance: what it was fitted on, when, with which seed; whether it is a sham.
    """

    method: Method
    tensors: Mapping[str, Tensor]
    base: ModelIdentity
    provenance: Provenance

    @property
    def fingerprint(self) -> str:
        """Short hash of method, settings, tensors and base: two patches with the same one do the same."""
        settings = json.dumps(self.method.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(f"{self.method.name}|{settings}|{self.base.fingerprint}".encode())
        for name in sorted(self.tensors):
            tensor = self.tensors[name].detach().cpu().contiguous()
            digest.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            digest.update(tensor.view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
        return digest.hexdigest()[:16]

    def summary(self) -> dict[str, str]:
        """What a record says of it."""
        said = {"method": self.method.name, "fingerprint": self.fingerprint, "base": self.base.fingerprint}
        return said | ({"sham": self.provenance.sham} if self.provenance.sham else {})

    def check_base(self, identity: ModelIdentity) -> None:
        """Make sure that it belongs to this model.

        Raises:
            WrongBase: it was fitted on another one; both are named.
        """
        if self.base.fingerprint != identity.fingerprint:
            parts = [
                part
                for part in ("weights", "config", "tokenizer")
                if getattr(self.base, part) != getattr(identity, part)
            ]
            raise WrongBase(
                f"The patch {self.method.name!r} was fitted on {self.base.name} ({self.base.fingerprint}, "
                f"{self.base.source}), this model is {identity.name} ({identity.fingerprint}, {identity.source}): "
                f"they differ in {', '.join(parts)}. Load the model that it belongs to, in the same dtype, or fit anew."
            )

    def save(self, folder: Path | str) -> None:
        """Write patch.json and tensors.safetensors into a folder; both are whole or not there.

        Raises:
            StorageError: it cannot be written.
        """
        folder = Path(folder)
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        raw = save(tensors)
        kind = registry.kind_of(self.method.name)
        content = PatchFile(
            kind=kind,
            method=self.method.name,
            settings=self.method.model_dump(mode="json"),
            base=self.base,
            provenance=self.provenance,
            tensors=hashlib.sha256(raw).hexdigest(),
        )
        scratch = folder / ".tensors.safetensors.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(raw)
            scratch.replace(folder / "tensors.safetensors")
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise StorageError(f"The patch could not be written to {folder}: {error.strerror or error}.") from error
        write_atomic(folder / "patch.json", content.model_dump_json(by_alias=True, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path | str) -> Patch:
        """Read a patch; its method is looked up by its registered name, nothing else is run.

        Raises:
            PatchError: files are missing or damaged, or its settings do not fit the installed version.
            UnknownName: its method is not installed.
        """
        folder = Path(folder)
        try:
            content = PatchFile.model_validate_json((folder / "patch.json").read_bytes())
            raw = (folder / "tensors.safetensors").read_bytes()
        except OSError as error:
            raise PatchError(
                f"{folder} is no patch: {error.strerror or error} ({Path(str(error.filename)).name}). A patch is a "
                "folder with patch.json and tensors.safetensors, as `evenhand mitigate` writes it in OUT/patch."
            ) from error
        except ValidationError as error:
            raise PatchError(f"{folder}/patch.json is damaged: {error.errors(include_url=False)[0]['msg']}.") from error
        if hashlib.sha256(raw).hexdigest() != content.tensors:
            raise PatchError(f"{folder}/tensors.safetensors is not the file that patch.json was written with.")
        method = registry.get(content.kind, content.method)
        try:
            configured = method(**content.settings)
        except ValidationError as error:
            raise PatchError(
                f"The settings in {folder}/patch.json do not fit {content.method!r} as it is installed here: "
                f"{error.errors(include_url=False)[0]['msg']}."
            ) from error
        return cls(configured, load(raw), content.base, content.provenance)

    def as_sham(self, sham: str) -> Patch:
        """The same patch, marked as a sham of this name."""
        return replace(self, provenance=self.provenance.model_copy(update={"sham": sham}))

    def merge(self, model: Model) -> PreTrainedModel:
        """A copy of the model with the patch in its weights, an ordinary transformers model.

        Raises:
            WrongBase: the patch belongs to another model.
            NotMergeable: it holds edits that are no weights; they are listed.
            PatchError: something is installed on the model.
        """
        if model.edits:
            raise PatchError("Something is installed on the model and would be merged with the patch. Remove it first.")
        self.check_base(model.identity)
        edits = list(self.method.edits(self.tensors, model))
        others = sorted({type(edit).__name__ for edit in edits if not edit.mergeable})
        if others:
            raise NotMergeable(
                f"{self.method.name!r} cannot become weights: it holds {', '.join(others)}. Keep it as a patch and "
                f"attach it with model.install(Patch.load(FOLDER)) or --with FOLDER."
            )
        merged = copy.deepcopy(model.hf)
        for edit in edits:
            if isinstance(edit, WeightEdit):
                add(parameter_of(merged, edit.param), edit)
            elif isinstance(edit, EmbeddingEdit):
                _merge_rows(merged, edit)
        return merged


def _merge_rows(hf: PreTrainedModel, edit: EmbeddingEdit) -> None:
    """Rows for good; an untied head is written with the model from now on."""
    table: Any = hf.get_input_embeddings()
    if edit.head == "untie" and tied(hf):
        table.weight = nn.Parameter(table.weight.detach().clone())
        hf.config.tie_word_embeddings = False
        hf.config.get_text_config(decoder=True).tie_word_embeddings = False
        untied: Any = hf
        untied._tied_weights_keys = {}
        untied.all_tied_weights_keys = {}
    with torch.no_grad():
        table.weight[list(edit.rows)] = edit.values.to(table.weight.device, table.weight.dtype)
