"""A grid over a method's strength: bias against ability on the fold 'choose'; one strength is taken to the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from evenhand.core import registry
from evenhand.core.errors import UsageError
from evenhand.core.record import Record
from evenhand.core.trial import GridPoint
from evenhand.mitigate._mitigation import Mitigation
from evenhand.prove import _arms
from evenhand.prove._arms import BEFORE, Settings
from evenhand.prove._tests import Tests

if TYPE_CHECKING:
    from evenhand.model import Model, Patch


class Fits(Protocol):
    """Fits one strength."""

    def fit(self, name: str, method: Mitigation, seed: int, sham: str) -> Patch:
        """One fit."""
        ...


def choose(
    model: Model, method: Mitigation, work: Fits, tests: Tests, settings: Settings, out: Path
) -> tuple[Mitigation, tuple[GridPoint, ...], tuple[str, ...]]:
    """The method at the strength that is nearest to the ideal among those that keep the guards, with the whole grid.

    All on the fold 'choose': the test fold is not looked at. Guards are judged by their points here, since the fold is
    small; where none keeps them, the weakest strength is taken and said so.

    Raises:
        UsageError: the method has no strength to vary, or its numbers cannot be measured on a fold of their own.
    """
    if not method.strength or not method.grid:
        raise UsageError(f"{method.name} has no strength to vary; leave --grid out.")
    chosen = tests.on("choose")
    measured = {one.name for one in chosen.benchmarks}
    bias = [number for number in tests.primary if number.partition(".")[0] in measured]
    if not bias:
        raise UsageError(
            f"The primary numbers of {method.name} ({', '.join(tests.primary)}) have no fold to choose on, and "
            "choosing on the test would be cheating. Leave --grid out."
        )
    before = _numbers(_arms.run(model, f"choose {BEFORE}", None, chosen, settings, out).record)
    guards = [guard for guard in tests.guards if guard.number in before]
    points: list[GridPoint] = []
    kept: list[tuple[float, float]] = []
    for value in method.grid:
        stronger = type(method)(**{**method.model_dump(), method.strength: value})
        name = f"{method.strength} {value:g}"
        patch = work.fit(name, stronger, settings.seed, "")
        found = _numbers(_arms.run(model, f"choose {name}", patch, chosen, settings, out).record)
        points.append(
            GridPoint(
                value=value,
                bias={number: found[number] for number in bias},
                guards={guard.number: found[guard.number] for guard in guards},
            )
        )
        inside = all(_keeps(guard.inside, found[guard.number], before[guard.number]) for guard in guards)
        if inside:
            kept.append((_distance(found, bias), value))
    taken = min(kept)[1] if kept else method.grid[0]
    points = [point.model_copy(update={"chosen": point.value == taken}) for point in points]
    tried = ", ".join(f"{value:g}" for value in method.grid)
    why = "nearest to the ideal among those that keep the guards" if kept else "none keeps the guards there"
    notes = (f"{method.strength} = {taken:g} was chosen on the fold 'choose' out of {tried}: {why}.",)
    return type(method)(**{**method.model_dump(), method.strength: taken}), tuple(points), notes


def _numbers(record: Record) -> Mapping[str, float | None]:
    return {f"{one.benchmark}.{one.metric}": one.value for one in record.estimates if not one.by}


def _keeps(inside: object, after: float | None, before: float | None) -> bool:
    return after is not None and before is not None and callable(inside) and bool(inside(after - before, before))


def _distance(found: Mapping[str, float | None], numbers: Sequence[str]) -> float:
    """Mean distance from the ideal of the primary numbers; infinite where one is undefined."""
    distances = []
    for number in numbers:
        value, ideal = found[number], registry.get("metrics", number.partition(".")[2]).ideal
        distances.append(float("inf") if value is None or ideal is None else abs(value - ideal))
    return sum(distances) / len(distances)
