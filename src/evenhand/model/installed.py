"""The stack of what is installed on a model: last in, first out, and whatever happens the model is itself again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from evenhand.core.edits import BranchEdit, BranchingEdit, Edit
from evenhand.core.errors import OutOfOrder, PatchError
from evenhand.model.anatomy import Anatomy
from evenhand.model.edits import install
from evenhand.model.patch import Patch


class Handle:
    """Edits that are in place; a context manager, or `remove()`.

    Attributes:
        edits: what was installed.
        patch: the patch that they came from, None for bare edits.
    """

    def __init__(
        self, edits: Sequence[Edit], patch: Patch | None, undo: ExitStack, leave: Callable[[Handle], None]
    ) -> None:
        self.edits = tuple(edits)
        self.patch = patch
        self._undo: ExitStack | None = undo
        self._leave = leave

    @property
    def active(self) -> bool:
        """Whether it is still in place."""
        return self._undo is not None

    def remove(self) -> None:
        """Take it away; again is no error.

        Raises:
            OutOfOrder: something that was installed later is still in place.
        """
        if self._undo is None:
            return
        self._leave(self)
        undo, self._undo = self._undo, None
        undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class Stack:
    """What is installed on one model, in order."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []

    @property
    def edits(self) -> list[Edit]:
        """All edits in place, in the order in which they were installed."""
        return [edit for handle in self.handles for edit in handle.edits]

    def push(self, anatomy: Anatomy, edits: Sequence[Edit], patch: Patch | None, changed: Callable[[], None]) -> Handle:
        """Install edits one after the other; if one fails, those before it are taken away again.

        Args:
            anatomy: of the model.
            edits: what to install.
            patch: where they came from.
            changed: called after installation and after removal.

        Raises:
            PatchError: an edit does not fit, or there would be two that ask further prompts.
        """
        if sum(isinstance(edit, BranchingEdit) for edit in (*self.edits, *edits)) > 1:
            raise PatchError(
                "Two edits that ask further prompts cannot be installed at once: remove the other patch first."
            )
        with ExitStack() as undo:
            for edit in sorted(edits, key=lambda edit: isinstance(edit, BranchEdit)):  # their references come last
                install(anatomy.hf, anatomy, edit, undo)
            kept = undo.pop_all()

        def leave(handle: Handle) -> None:
            if self.handles[-1] is not handle:
                raise OutOfOrder(
                    "Something that was installed later is still in place. Patches are a stack: remove the last one "
                    "first."
                )
            self.handles.pop()
            changed()

        handle = Handle(edits, patch, kept, leave)
        self.handles.append(handle)
        changed()
        return handle
