"""Folders of patches: which one `--with` means, and what lies beside it. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from evenhand.core.errors import PatchError, UsageError
from evenhand.core.record import PatchFile

FILE = "patch.json"


@dataclass(frozen=True, slots=True)
class Found:
    """The patches of a folder.

    Attributes:
        patches: folders of the method's patches, one for each seed.
        shams: folders of the shams that lie beside them.
        rivals: folders of the rivals that lie beside them.
    """

    patches: tuple[Path, ...]
    shams: tuple[Path, ...]
    rivals: tuple[Path, ...]


def one(folder: Path) -> Path:
    """The patch that `--with FOLDER` means: the folder itself, or the patch of a trial.

    Raises:
        UsageError: there is none, or the trial has one for each of several seeds.
    """
    if (folder / FILE).is_file():
        return folder
    patches = _beside(folder, "patch")
    if len(patches) == 1:
        return patches[0]
    if patches:
        raise UsageError(
            f"--with {folder}: it holds a patch for each of {len(patches)} seeds. Name one of them, e.g. {patches[0]}."
        )
    raise UsageError(
        f"--with {folder}: there is no {FILE} in it, nor in {folder / 'patch'}. Name the folder of a patch, or that of "
        "a trial which `evenhand mitigate` wrote."
    )


def all_of(folder: Path) -> Found:
    """The patch, or those of all seeds if a trial is named, and the shams and rivals that lie beside it.

    Raises:
        UsageError: there is no patch.
    """
    if (folder / FILE).is_file():
        trial = folder.parent if folder.absolute().name.startswith("patch") else None
        patches: tuple[Path, ...] = (folder,)
    else:
        trial, patches = folder, _beside(folder, "patch")
        if not patches:
            one(folder)
    if trial is None:
        return Found(patches, (), ())
    return Found(patches, _beside(trial, "sham"), _beside(trial, "rival"))


def _beside(trial: Path, start: str) -> tuple[Path, ...]:
    return tuple(sorted(file.parent for file in trial.glob(f"{start}*/{FILE}")))


def content(folder: Path) -> PatchFile:
    """`patch.json` of a patch.

    Raises:
        PatchError: it is damaged.
    """
    try:
        return PatchFile.model_validate_json((folder / FILE).read_bytes())
    except ValidationError as error:
        raise PatchError(f"{folder}/{FILE} is damaged: {error.errors(include_url=False)[0]['msg']}.") from error


def label(folder: Path) -> str:
    """What results with this patch are named after: its folder, or the trial's for `patch` and `patch-SEED`."""
    place = folder.absolute()
    plain, _, seed = place.name.partition("-")
    if plain != "patch":
        return place.name
    return f"{place.parent.name}-{seed}" if seed else place.parent.name


def methods(folders: Sequence[Path]) -> str:
    """Names of the methods, for the name of a folder."""
    return "-".join(dict.fromkeys(content(folder).method for folder in folders))
