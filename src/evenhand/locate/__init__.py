"""WHERE: one file = one locator. Calling the package is calling `_run.locate`."""

from evenhand.core.packages import passes_calls

passes_calls(__name__, f"{__name__}._run", "locate")
