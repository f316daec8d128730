"""Export: the patch in the weights of an ordinary model folder, read back and scored again before it is called done."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.core.errors import PatchError, StorageError, UsageError
from evenhand.core.record import Frozen
from evenhand.core.requests import Compare, Request, Scores

if TYPE_CHECKING:
    from evenhand.model import Model, Patch

LIMIT = 1e-3
"""Largest difference (nats) between a log-probability of the folder and one of the patched model."""
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "She told him that the meeting had been moved to Thursday.",
    "Yes, he said, the answer is no.",
    "In 1969 two people walked on the moon for the first time.",
    "My neighbour works as a nurse; her brother is an engineer.",
)


class ExportCheck(Frozen):
    """What came out of reading the folder back."""

    folder: str
    largest_difference: float
    n_texts: int


def export(model: Model, patch: Patch, to: Path | str) -> ExportCheck:
    """Write a merged folder and check it.

    Args:
        model: the model that the patch belongs to, with nothing installed.
        patch: all of its edits must be weights.
        to: a folder that does not exist yet, or is empty.

    Raises:
        UsageError: the folder is not empty.
        NotMergeable: the patch holds edits that are no weights.
        PatchError: the folder does not score as the patched model does; it is not kept.
        StorageError: it cannot be written.
    """
    from evenhand.model import Model as Loaded
    from evenhand.model.load import quiet

    target = Path(to)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"--to {target} is not an empty folder. Choose another one; nothing was written.")
    requests: list[Request] = [Compare(TEXTS)]
    merged = patch.merge(model)
    with model.install(patch):
        expected = model.answer(requests)[0]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise StorageError(f"{target.parent} cannot be written: {error.strerror or error}.") from error
    try:
        with quiet():
            merged.save_pretrained(scratch)
            model.tokenizer.save_pretrained(scratch)
        again = Loaded.load(str(scratch), dtype="float32" if model.dtype == "float32" else "auto", device=model.device)
        found = again.answer(requests)[0]
        largest = _largest(expected, found)
        if not largest <= LIMIT:
            raise PatchError(
                f"The merged folder was read back and scores differently: up to {largest:.2g} nats, allowed are "
                f"{LIMIT:g}. It was not kept. Please report the model's architecture; the patch works with --with."
            )
        os.chmod(scratch, 0o755)
        if target.exists():
            target.rmdir()
        scratch.rename(target)
    except OSError as error:
        raise StorageError(f"{target} could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ExportCheck(folder=str(target), largest_difference=largest, n_texts=len(TEXTS))


def _largest(a: object, b: object) -> float:
    assert isinstance(a, Scores)
    assert isinstance(b, Scores)
    pairs = zip(a.scores, b.scores, strict=True)
    return max(abs(x - y) for one, other in pairs for x, y in zip(one.logprobs, other.logprobs, strict=True))
