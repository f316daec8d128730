"""What the report's tests share: a page of a quick suite, rendered once."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evenhand.core.record import RunNote
from evenhand.report import html

from .chromium import Chromium
from .corpus import ATTACKS
from .records import estimate, quick, record
from .rows_of_items import items


@dataclass(frozen=True)
class Rendered:
    """A report on disk, its text and how many seconds of processor time it took."""

    path: Path
    text: str
    seconds: float


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The report of a whole quick suite."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    found, rows = quick(), items()
    start = time.process_time()
    html.render(found, rows, path)
    return Rendered(path, path.read_text(encoding="utf-8"), time.process_time() - start)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A report in which every text that comes from outside is an attack."""
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    everything = os.linesep.join(ATTACKS)
    estimates = [estimate(60, 55, 65, unit=ATTACKS[0]), estimate(60, 55, 65, metric=everything, benchmark=everything)]
    estimates += [estimate(60, 55, 65, by={attack: attack}, reason=attack) for attack in ATTACKS[:2]]
    estimates += [estimate(60, 55, 65, by={"category": attack}, reason=attack) for attack in ATTACKS]
    base = record(estimates, name=everything)
    found = base.model_copy(
        update={
            "created": ATTACKS[0],
            "suite": everything,
            "patch": {attack: attack for attack in ATTACKS},
            "model": base.model.model_copy(update={"source": everything, "licence": everything}),
            "environment": base.environment.model_copy(update={"evenhand": ATTACKS[1], "device": everything}),
            "data": tuple(use.model_copy(update={"name": everything, "citation": everything}) for use in base.data),
            "benchmarks": tuple(
                run.model_copy(update={"settings": {everything: everything}}) for run in base.benchmarks
            ),
            "notes": tuple(
                RunNote(benchmark=attack, kind=kind, text=attack)
                for attack in ATTACKS
                for kind in ("convention", "warning", "excluded", "not measured")
            ),
        }
    )
    rows = [
        row.model_copy(
            update={
                "id": attack,
                "cluster": attack,
                "origin": attack,
                "groups": {attack: attack},
                "texts": {"stereotype": attack, "anti-stereotype": everything, attack: attack},
            }
        )
        for row, attack in zip(items(len(ATTACKS), 0, 0, 0), ATTACKS, strict=True)
    ]
    html.render(found, rows, path)
    return Rendered(path, path.read_text(encoding="utf-8"), 0.0)


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """One browser for all tests."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on PATH: the report is not opened in a browser")
    with Chromium(executable) as found:
        yield found
