"""Measure bias in language models, find where it comes from, change it, and prove that the change helped.

Public names are loaded when they are first used, so that `import evenhand` is quick and leaves torch alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenhand.locate._run import locate
    from evenhand.measure._diff import diff
    from evenhand.measure._items import items
    from evenhand.measure._run import measure
    from evenhand.mitigate._fit import fit
    from evenhand.model import Model, Patch
    from evenhand.prove._export import export
    from evenhand.prove._prove import prove
    from evenhand.prove._trial import trial
    from evenhand.report.load import read

__version__ = "0.1.0"
__all__ = ["Model", "Patch", "diff", "export", "fit", "items", "locate", "measure", "prove", "read", "trial"]

_HOMES = {
    "Model": "evenhand.model",
    "Patch": "evenhand.model",
    "diff": "evenhand.measure._diff",
    "export": "evenhand.prove._export",
    "fit": "evenhand.mitigate._fit",
    "items": "evenhand.measure._items",
    "locate": "evenhand.locate._run",
    "measure": "evenhand.measure._run",
    "prove": "evenhand.prove._prove",
    "trial": "evenhand.prove._trial",
    "read": "evenhand.report.load",
}


_MODULES = ("locators", "mitigations")


def __getattr__(name: str) -> object:
    """Load a public name from its home."""
    if name in _MODULES:
        return import_module(f"evenhand.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'evenhand' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_MODULES, "__version__"]
