"""The model, its scoring engine, its patches and its identity: the only home of hooks and transformers internals."""

from evenhand.model.model import Model
from evenhand.model.patch import Patch
from evenhand.model.work import Work

__all__ = ["Model", "Patch", "Work"]
