"""Who may import whom, and where torch and its internals may be touched."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from . import tree

BELOW = {
    "core": set(),
    "data": {"core"},
    "metrics": {"core"},
    "model": {"core", "data"},
    "measure": {"core", "data", "metrics", "model"},
    "locate": {"core", "data", "model"},
    "mitigate": {"core", "data", "model"},
    "prove": {"core", "data", "metrics", "model", "measure", "mitigate"},
    "report": {"core"},
}
"""Folder -> what it may import besides itself. The package itself and `cli` may import everything."""

HEAVY = {"torch", "transformers", "tokenizers", "safetensors", "gguf", "accelerate", "sentencepiece"}
HOOKS = {
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "AttentionInterface",
    "ALL_ATTENTION_FUNCTIONS",
}


def test_every_folder_of_the_package_has_a_place_in_the_layers() -> None:
    folders = {tree.folder(file) for file in tree.sources()}
    assert folders <= {"", "cli", *BELOW}


@pytest.mark.parametrize("folder", list(BELOW))
def test_imports_go_down_only(folder: str) -> None:
    allowed = {folder, *BELOW[folder]}
    found = [
        tree.at(file, line, f"{folder}/ may not import {name}")
        for file in tree.sources(folder)
        for line, name in tree.imports(file)
        if name.startswith("evenhand.") and name.split(".")[1] in {"cli", *BELOW} - allowed
    ]
    assert not found, "\n".join(found)


def test_torch_and_what_comes_with_it_are_imported_where_models_are_touched_only() -> None:
    """`locate` and `mitigate` compute with tensors, inside functions; a type may be named anywhere."""
    found = [
        tree.at(file, line, f"imports {name}")
        for file in tree.sources()
        if tree.folder(file) not in {"model", "locate", "mitigate"}
        for line, name in tree.imports(file, types=False)
        if name.split(".")[0] in HEAVY
    ]
    assert not found, "\n".join(found)


def test_hooks_and_attention_functions_are_named_in_model_only() -> None:
    found = [
        tree.at(file, node.lineno, f"names {name}")
        for file in tree.sources()
        if tree.folder(file) != "model"
        for node in ast.walk(tree.parsed(file))
        if isinstance(node, ast.Name | ast.Attribute) and (name := tree.dotted(node).rpartition(".")[2]) in HOOKS
    ]
    assert not found, "\n".join(found)


def test_importing_every_catalogue_entry_leaves_torch_unloaded() -> None:
    script = f"""
import sys, evenhand
from evenhand.core import registry
count = sum(len(list(registry.entries(kind))) for kind in registry.FOLDERS)
print(count, *(name for name in {sorted(HEAVY)} if name in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, *loaded = run.stdout.split()
    assert int(count) > 0
    assert loaded == []
