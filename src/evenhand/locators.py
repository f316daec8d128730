"""Locators by the names of their classes: `evenhand.locators.HeadPatching(confirm=20)`.

Each is loaded when it is first asked for; those of other packages are there too.
"""

from __future__ import annotations

from typing import Any

from evenhand.core import registry

_KINDS = ("locators",)


def __getattr__(name: str) -> type[Any]:
    """The class whose registered name is this one without its underscores, in any case."""
    found = registry.by_class(_KINDS, name)
    if found is None:
        raise AttributeError(f"there is no locator {name!r}; `evenhand list locators` names them")
    return found


def __dir__() -> list[str]:
    return registry.class_names(_KINDS)
