"""DID IT HELP: before, after and sham on the same items, paired; guards, transfer, collateral, a verdict."""
