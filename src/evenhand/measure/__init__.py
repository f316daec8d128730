"""HOW MUCH: one file = one benchmark. Calling the package is calling `_run.measure`."""

from evenhand.core.packages import passes_calls

passes_calls(__name__, f"{__name__}._run", "measure")
