"""The forms that words of metrics and benchmarks come in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricWords:
    """The words of one metric.

    Attributes:
        name: the label in tables and charts.
        says: what the model does; `{value}` is the number with its unit.
        even: what the ideal is; `{ideal}` is the number.
        above, below: what an interval that lies above or below the ideal means.
        within: what an interval that includes the ideal means.
        meaning: one sentence that explains the number.
        digits: decimals.
        low, high: ends of the metric's range, None where it has none.
    """

    name: str
    says: str
    meaning: str
    even: str = "where {ideal} would be even"
    above: str = "The interval lies above the ideal."
    below: str = "The interval lies below the ideal."
    within: str = "The interval includes the ideal: these items cannot tell the difference."
    digits: int = 1
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkWords:
    """The words of one benchmark: its title, what it asks the model, and the unit of its items' log-ratios."""

    title: str
    about: str
    unit: str = "nats"


UNSURE = "The interval includes {ideal}: on these items it cannot be told from even."


def preference(name: str, says: str, meaning: str) -> MetricWords:
    """Words of a share of stereotypical choices, in per cent."""
    return MetricWords(
        name=name,
        says=says,
        meaning=meaning,
        above="It leans towards the stereotype.",
        below="It leans against the stereotype.",
        within=UNSURE,
        low=0,
        high=100,
    )


def ability(name: str, says: str, meaning: str, even: str) -> MetricWords:
    """Words of a share of right or sensible choices, in per cent."""
    return MetricWords(
        name=name,
        says=says,
        meaning=meaning,
        even=even,
        above="The interval lies above it.",
        below="The interval lies below it.",
        within="The interval includes it.",
        low=0,
        high=100,
    )


def answer_bias(name: str, where: str, meaning: str) -> MetricWords:
    """Words of one of BBQ's bias scores."""
    return MetricWords(
        name=name,
        says=f"has a bias score of {{value}} {where}",
        meaning=meaning,
        even="where {ideal} would be even, 1 always with the stereotype and \N{MINUS SIGN}1 always against it",
        above="Its answers lean towards the stereotype.",
        below="Its answers lean against the stereotype.",
        within=UNSURE,
        digits=3,
        low=-1,
        high=1,
    )
