"""What a page and a terminal say about the sites that a locator scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.core.record import Sites, SiteScore
from evenhand.core.sites import Part, Site
from evenhand.report import numbers
from evenhand.report.outcomes import facts, p_value
from evenhand.report.visible import one_line

ALPHA = 0.05
SHOWN = 20
"""Sites in the table of the largest values."""

PARTS = {
    Part.RESIDUAL: "output of the layer",
    Part.ATTENTION: "output of attention",
    Part.HEADS: "attention heads",
    Part.MLP: "output of the feed-forward part",
    Part.NEURONS: "neurons",
    Part.FINAL: "last hidden state",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """One cell of a map.

    Attributes:
        layer, unit: its row and column.
        share: distance from the null as a share of the largest one, with its sign; None where there is no value.
        found: whether it is beyond chance after correction.
    """

    layer: int
    unit: int
    share: float | None
    found: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One layer of a line: its value with interval, and mean and ends of the null; None where they are not known."""

    layer: int
    value: float | None
    low: float | None
    high: float | None
    null: float | None
    null_low: float | None
    null_high: float | None
    found: bool


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One site of a table."""

    site: str
    where: Site
    score: SiteScore
    digits: int

    @property
    def found(self) -> bool:
        """Whether it is beyond chance after correction."""
        return self.score.p_corrected is not None and self.score.p_corrected <= ALPHA

    @property
    def value(self) -> str:
        """The value, `none` where it is undefined."""
        return _number(self.score.value, self.digits)

    @property
    def interval(self) -> str:
        """The interval of the value."""
        low, high = self.score.low, self.score.high
        if low is None or high is None:
            return "none"
        return f"{_number(low, self.digits)} to {_number(high, self.digits)}"

    @property
    def null(self) -> str:
        """Mean of the null."""
        return _number(self.score.null, self.digits)

    @property
    def p(self) -> str:
        """Not corrected."""
        return p_value(self.score.p)

    @property
    def p_corrected(self) -> str:
        """Corrected for the number of sites."""
        return p_value(self.score.p_corrected)

    @property
    def details(self) -> str:
        """Further numbers of the site."""
        return "; ".join(f"{one_line(key)} {_number(value, self.digits)}" for key, value in self.score.details.items())


@dataclass(frozen=True, slots=True)
class Group:
    """The sites of one part: heads by layer, or one value for each layer."""

    part: Part
    rows: tuple[SiteRow, ...]

    @property
    def title(self) -> str:
        """What the part is called."""
        return PARTS[self.part]

    @property
    def by_unit(self) -> bool:
        """Whether its sites are units of a layer, such as heads."""
        return any(row.where.unit is not None for row in self.rows)

    @property
    def largest(self) -> float:
        """The largest distance from the null."""
        return max((abs(distance(row.score)) for row in self.rows if row.score.value is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class View:
    """A locator's record, ready to be shown."""

    sites: Sites
    groups: tuple[Group, ...]
    top: tuple[SiteRow, ...]

    @property
    def rows(self) -> tuple[SiteRow, ...]:
        """All sites."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def found(self) -> tuple[SiteRow, ...]:
        """The sites beyond chance."""
        return tuple(row for row in self.rows if row.found)

    @property
    def tested(self) -> int:
        """How many sites have a corrected p value."""
        return sum(row.score.p_corrected is not None for row in self.rows)

    @property
    def short(self) -> str:
        """`2 sites found`, in as few words."""
        if not self.tested:
            return "Not tested"
        found = len(self.found)
        return "Nothing found" if not found else "1 site found" if found == 1 else f"{numbers.count(found)} sites found"

    @property
    def headline(self) -> str:
        """`12 of 270 sites are beyond chance`, or that there are none."""
        total = numbers.count(len(self.rows))
        if not self.tested:
            return f"None of the {total} sites was tested against the null: these are values, not findings."
        if not self.found:
            return f"Nothing was found: none of {total} sites is beyond chance after correction for their number."
        few = len(self.found) == 1
        return (
            f"{numbers.count(len(self.found))} of {total} sites {'is' if few else 'are'} beyond chance after "
            "correction for their number."
        )

    @property
    def meaning(self) -> str:
        """What such a finding can and cannot say."""
        if self.sites.causal:
            return (
                "The model was changed at each site and the effect was watched, so a site that was found takes part in "
                "the behaviour on these items."
            )
        return (
            "The model was only read. A site that was found goes with the behaviour on these items; whether it brings "
            "it about is another question, which changing the site can answer."
        )

    @property
    def hand_on(self) -> tuple[str, ...]:
        """Commands that use what was found."""
        if not any(row.where.part is Part.HEADS and row.where.unit is not None for row in self.found):
            return ()
        return (f"evenhand mitigate {self.sites.model.name} --with head_mask --set heads=@FOLDER/sites.json:10",)

    @property
    def settings(self) -> dict[str, str]:
        """The locator's settings."""
        return facts(self.sites.settings)


def view(found: Sites) -> View:
    """Sites put into groups, and the largest of them; sites whose names cannot be read are in no group."""
    digits = _digits([score.value for score in found.scores if score.value is not None])
    rows = [SiteRow(one_line(score.site), Site.parse(score.site), score, digits) for score in found.scores]
    parts = dict.fromkeys(row.where.part for row in rows)
    groups = tuple(Group(part, tuple(row for row in rows if row.where.part is part)) for part in parts)
    ranked = sorted(rows, key=lambda row: (not row.found, row.score.value is None, -(row.score.value or 0.0)))
    return View(found, groups, tuple(ranked[:SHOWN]))


def points(group: Group) -> tuple[list[Point], str]:
    """One point for each layer, and what is drawn: the value, or the raw number of which it is the excess.

    A locator whose value is the excess of a number over its null keeps number, null and the null's 95 % point in the
    details: `f1`, `f1_shuffled`, `f1_shuffled_95`. Then these are drawn.
    """
    first = group.rows[0].score.details
    raw = next((key for key in first if f"{key}_shuffled" in first), "")
    return [_point(row, raw) for row in group.rows], raw


def _point(row: SiteRow, raw: str) -> Point:
    score, details = row.score, row.score.details
    null = details.get(f"{raw}_shuffled") if raw else score.null
    value = details.get(raw) if raw else score.value
    shift = (value or 0.0) - (score.value or 0.0)
    low, high = (None if end is None else end + shift for end in (score.low, score.high))
    top = details.get(f"{raw}_shuffled_95") if raw else details.get("null_high")
    bottom = null if raw else details.get("null_low")
    return Point(row.where.layer, value, low, high, null, bottom, top, row.found)


def spots(group: Group) -> list[Spot]:
    """One cell for each unit of each layer."""
    largest = group.largest or 1.0
    return [
        Spot(
            row.where.layer,
            row.where.unit or 0,
            None if row.score.value is None else distance(row.score) / largest,
            row.found,
        )
        for row in group.rows
    ]


def distance(score: SiteScore) -> float:
    """Value minus the mean of the null (0 where that is not known)."""
    return (score.value or 0.0) - (score.null or 0.0)


def _digits(values: Sequence[float]) -> int:
    """Decimals that tell the values apart."""
    largest = max(map(abs, values), default=1.0)
    return 1 if largest >= 100 else 2 if largest >= 10 else 3 if largest >= 0.1 else 4


def _number(value: float | None, digits: int) -> str:
    return "none" if value is None else numbers.number(value, digits)
