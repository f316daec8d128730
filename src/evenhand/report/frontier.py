"""Bias against ability as charts: the strengths that a grid tried, and trials side by side."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.core.trial import Trial
from evenhand.report import numbers, scatter, words
from evenhand.report.charts import Figure
from evenhand.report.comparison import Comparison
from evenhand.report.scatter import Dot
from evenhand.report.visible import one_line


@dataclass(frozen=True, slots=True)
class Frontier:
    """One bias number against one guard over the strengths."""

    title: str
    figure: Figure


def named(number: str) -> str:
    """'stereoset.ss' as `StereoSet: Stereotype score (SS)`."""
    benchmark, _, metric = one_line(number).partition(".")
    return words.number(benchmark, metric, "")


def of_grid(trial: Trial) -> tuple[Frontier, ...]:
    """One chart for each bias number and guard that have at least two strengths with values."""
    biases = dict.fromkeys(name for point in trial.grid for name in point.bias)
    guards = dict.fromkeys(name for point in trial.grid for name in point.guards)
    out = []
    for bias in biases:
        for guard in guards:
            dots = [
                Dot(numbers.short(point.value), x, y, point.chosen)
                for point in trial.grid
                if (x := point.guards.get(guard)) is not None and (y := point.bias.get(bias)) is not None
            ]
            if len(dots) > 1:
                out.append(_frontier(trial, bias, guard, dots))
    return tuple(out)


def _frontier(trial: Trial, bias: str, guard: str, dots: list[Dot]) -> Frontier:
    ideal = next(
        (
            one.change.ideal
            for one in trial.outcomes
            if f"{one.change.benchmark}.{one.change.metric}" == bias and not one.change.by
        ),
        None,
    )
    title = f"{named(bias)} against {named(guard)}"
    about = f"{title}: {len(dots)} strengths. The table holds the same numbers."
    return Frontier(title, scatter.figure(dots, (named(guard), named(bias)), ideal, about, joined=True))


def of_trials(found: Comparison) -> tuple[Frontier, ...]:
    """Change of each bias number's distance from the ideal against the change of each guard, one dot per trial."""
    out = []
    for bias in found.bias:
        for guard in found.guards:
            dots = [
                Dot(line.label, x, y, line.claimed)
                for line, other in zip(bias.lines, guard.lines, strict=True)
                if line.row is not None
                and other.row is not None
                and (y := line.row.outcome.effect.value) is not None
                and (x := other.row.change.value) is not None
            ]
            if len(dots) > 1:
                title = f"{bias.title} against {guard.title}"
                titles = (f"change of {guard.title}", "change of the distance from the ideal")
                about = f"{title}: {len(dots)} trials. The tables hold the same numbers."
                out.append(Frontier(title, scatter.figure(dots, titles, 0.0, about, joined=False)))
    return tuple(out)
