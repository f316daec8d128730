"""An append-only ledger of trials: how often a test fold was looked at, by whom it was asked, and what came out.

One line of JSON per trial beside the trials' folders. Each line holds the hash of the line before, so that a line that
was changed or taken out is noticed. Looking again and again until something comes out is the oldest way to find an
effect; the count of looks is printed in every trial.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from evenhand.core.errors import StorageError
from evenhand.core.trial import Trial

NAME = "ledger.jsonl"


def add(folder: Path, trial: Trial) -> None:
    """Append a trial.

    Raises:
        StorageError: the ledger cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{NAME}.lock"):
            lines = _lines(path)
            entry = _entry(trial) | {"previous": _digest(lines[-1]) if lines else ""}
            with path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(json.dumps(entry, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"The ledger {path} cannot be written: {error.strerror or error}.") from error


def looks(folder: Path, tested: Mapping[str, str]) -> dict[str, int]:
    """How many earlier trials looked at these benchmarks and folds, by benchmark."""
    entries = [json.loads(line) for line in _lines(folder / NAME)]
    return {name: sum(entry.get("tested", {}).get(name) == fold for entry in entries) for name, fold in tested.items()}


def broken(folder: Path) -> int | None:
    """Number of the first line (from 1) that does not follow from the one before; None if all do."""
    before = ""
    for number, line in enumerate(_lines(folder / NAME), start=1):
        try:
            previous = json.loads(line).get("previous")
        except ValueError:
            return number
        if previous != before:
            return number
        before = _digest(line)
    return None


def _entry(trial: Trial) -> dict[str, Any]:
    return {
        "created": trial.created,
        "model": trial.model.fingerprint,
        "method": trial.method,
        "settings": dict(trial.settings),
        "tested": {name: str(facts.get("fold") or "all") for name, facts in trial.tested_on.items()},
        "primary": list(trial.primary),
        "verdict": trial.judgement.verdict.value,
        "arms": [arm.fingerprint for arm in trial.arms],
    }


def _lines(path: Path) -> list[str]:
    """Whole lines; one that was cut off by a crash does not count."""
    try:
        return [line for line in path.read_text("utf-8").split("\n")[:-1] if line]
    except FileNotFoundError:
        return []


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:16]
