"""DID IT HELP: before, after and sham on the same items, paired; guards, transfer, collateral, a verdict."""

from evenhand.core.packages import passes_calls

passes_calls(__name__, f"{__name__}._prove", "prove")
