"""WHERE: one file = one locator."""
