"""WHERE: one file = one locator. The package can be called: `evenhand.locate(...)` is `_run.locate`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evenhand.core.record import Sites


class _Callable(ModuleType):
    """Importing any locator binds `evenhand.locate` to this package, where users expect the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Sites:
        """Look into a model; arguments and errors as for `evenhand.locate._run.locate`."""
        from evenhand.locate._run import locate

        return locate(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
