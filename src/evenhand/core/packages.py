"""Packages that can be called: `evenhand.measure` is a folder of benchmarks, and what users call to measure.

Importing a module of a package binds the package to its parent, where users expect the function of the same name. So
the package itself passes calls on.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Called(ModuleType):
    """A package whose calls go to where `CALLS` says."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Arguments, result and errors as for the function."""
        home, function = self.__dict__["CALLS"]
        return getattr(import_module(home), function)(*args, **kwargs)


def passes_calls(package: str, home: str, function: str) -> None:
    """Let calls of a package go to `home.function`, which is imported at the first call."""
    module = sys.modules[package]
    module.__dict__["CALLS"] = (home, function)
    module.__class__ = _Called
