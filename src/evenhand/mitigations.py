"""Mitigations and controls by the names of their classes: `evenhand.mitigations.Leace(amount=0.5)`.

Each is loaded when it is first asked for; those of other packages are there too.
"""

from __future__ import annotations

from typing import Any

from evenhand.core import registry

_KINDS = ("mitigations", "controls")


def __getattr__(name: str) -> type[Any]:
    """The class whose registered name is this one without its underscores, in any case."""
    found = registry.by_class(_KINDS, name)
    if found is None:
        raise AttributeError(f"there is no mitigation or control {name!r}; `evenhand list mitigations` names them")
    return found


def __dir__() -> list[str]:
    return registry.class_names(_KINDS)
