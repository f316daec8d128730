"""Every exception that evenhand raises on purpose.

    EvenhandError
      UsageError            the caller asked for something that does not exist or does not fit   (exit code 2)
        UnknownName         a name that is not in a catalogue, with the nearest ones
        LicenceNotAccepted  a licence that must be accepted first
        PlanMismatch        a resume with another plan than the one that was begun
        FolderInUse         another process is writing to the same folder
      DataError             a file is missing, damaged or malformed
        MissingFile         not found anywhere, with every way to get it
        ChecksumMismatch    the bytes are not the pinned ones
        MalformedRows       rows that do not fit, each with file, line, field and what was expected
      ModelError            the model cannot do what was asked
        UnsupportedRequest  this kind of model cannot answer this kind of request
        DamagedModel        weights that cannot be read or that hold NaN or infinity
        UnsupportedSite     this architecture has no such part, or none that can be read or changed safely
      PatchError            a patch cannot be attached, removed, saved or merged
        WrongBase           it was fitted on another model
        OutOfOrder          patches are removed last in, first out
        NotMergeable        it holds edits that are no weights
      Leakage               fitted and tested on the same material
      StorageError          the disk is full or not writable
      Undefined             a number that has no value here (0/0, too few clusters); carries the reason

A message says what was asked, what was found and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class EvenhandError(Exception):
    """Base of every error that evenhand raises on purpose."""


class UsageError(EvenhandError):
    """The caller asked for something that does not exist or does not fit."""


class UnknownName(UsageError):
    """A name that is not in a catalogue."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(f"There is no {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")


class LicenceNotAccepted(UsageError):
    """A licence that must be accepted before the file is fetched."""


class PlanMismatch(UsageError):
    """A resume with another plan than the one that was begun."""


class FolderInUse(UsageError):
    """Another process is writing to the same folder."""


class DataError(EvenhandError):
    """A file is missing, damaged or malformed."""


class MissingFile(DataError):
    """A file that was found in none of its places; the message lists every way to get it."""


class ChecksumMismatch(DataError):
    """The bytes of a file are not the pinned ones."""


class MalformedRows(DataError):
    """Rows of a file that do not fit; the message names file, line, field and what was expected."""

    def __init__(self, file: str, problems: Sequence[str], shown: int = 10) -> None:
        self.file = file
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems[:shown])
        more = len(self.problems) - shown
        tail = f"\n  ... and {more} more" if more > 0 else ""
        super().__init__(
            f"{file}: {len(self.problems)} malformed row(s). Nothing was measured; mend or remove them:\n{lines}{tail}"
        )


class ModelError(EvenhandError):
    """The model cannot do what was asked."""


class UnsupportedRequest(ModelError):
    """This kind of model cannot answer this kind of request."""


class DamagedModel(ModelError):
    """Weights that cannot be read, or that hold NaN or infinity."""


class UnsupportedSite(ModelError):
    """This architecture has no such part, or none that can be read or changed safely."""


class PatchError(EvenhandError):
    """A patch cannot be attached, removed, saved or merged."""


class WrongBase(PatchError):
    """The patch was fitted on another model than the one it is attached to."""


class OutOfOrder(PatchError):
    """Patches are a stack: the one that was installed last is removed first."""


class NotMergeable(PatchError):
    """The patch holds edits that cannot become weights."""


class Leakage(EvenhandError):
    """Something would be tested on material that it was fitted on."""


class StorageError(EvenhandError):
    """The disk is full or the folder is not writable."""


class Undefined(EvenhandError):
    """A number that has no value here; the message is the reason."""
