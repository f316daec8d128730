"""`evenhand doctor`: what is installed, what is missing, how to get it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from importlib import metadata

from evenhand import __version__
from evenhand.cli import _options as options

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "numpy", "scipy", "altair")
SPARE = 2e9


def doctor(json: options.Json = False) -> None:
    """Check versions, devices, cache, data and optional tools; says how to get what is missing.

    Example:

      evenhand doctor
    """
    checks = [*_versions(), *_devices(), *_cache(), *_data(), *_optional()]
    if json:
        import json as coder

        print(coder.dumps([{"what": w, "state": s, "detail": d} for w, s, d in checks], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "detail"):
        table.add_column(column, overflow="fold", no_wrap=column == "state")
    for row in checks:
        table.add_row(*row)
    Console().print(table)


Check = tuple[str, str, str]


def _versions() -> list[Check]:
    found = [("evenhand", "ok", __version__), ("python", "ok", sys.version.split()[0])]
    return found + [(name, "ok", metadata.version(name)) for name in LIBRARIES]


def _devices() -> list[Check]:
    from evenhand.model import devices

    found = devices.accelerator()
    cores = f"{devices.threads()} threads on {os.cpu_count()} cores (set OMP_NUM_THREADS to change)"
    native = devices.native_bfloat16()
    half = "native: --dtype bfloat16 is faster" if native else "not native: float32 is the best"
    return [
        ("accelerator", "ok" if found else "-", found or "none; models run on the CPU"),
        ("threads", "ok", cores),
        ("bfloat16", "ok" if native else "-", half),
    ]


def _cache() -> list[Check]:
    from evenhand.data import cache

    folder = cache.folder()
    there = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    free = shutil.disk_usage(there).free
    writable = os.access(there, os.W_OK) and there.is_dir()
    state = "ok" if writable and free > SPARE else "problem"
    advice = "" if state == "ok" else "; set EVENHAND_CACHE to a folder on a larger or writable disk"
    return [("cache", state, f"{folder}, {free / 1e9:,.1f} GB free{'' if writable else ', not writable'}{advice}")]


def _data() -> list[Check]:
    from evenhand.data import source

    out: list[Check] = []
    local = source.local_folder()
    match local:
        case None:
            out.append(("EVENHAND_DATA", "-", "not set; files are fetched when needed"))
        case folder if folder.is_dir():
            out.append(("EVENHAND_DATA", "ok", str(folder)))
        case folder:
            out.append(("EVENHAND_DATA", "problem", f"{folder} is not a folder; mend or unset it"))
    for name in source.names():
        one = source.get(name)
        state = one.state()
        detail = "" if state != "to fetch" else "is fetched when it is first used"
        if state == "to fetch" and not one.fetchable:
            detail = "cannot be fetched; put it into the folder that EVENHAND_DATA names"
        out.append((name, state, detail))
    return out


def _optional() -> list[Check]:
    pip = importlib.util.find_spec("pip") is not None
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    referee = importlib.util.find_spec("lm_eval") is not None
    return [
        ("pip", "ok" if pip else "missing", "fetches models and data" if pip else "python -m ensurepip --upgrade"),
        ("lm-eval", "ok" if referee else "-", "referee for parity" if referee else "pip install 'evenhand[referee]'"),
        ("chromium", "ok" if browser else "-", browser or "only needed by the tests of the report"),
    ]
