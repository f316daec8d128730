"""CHANGE: one file = one method; `controls/` holds what methods are compared with."""
