"""What verdicts, roles and states are called, and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenhand.core.trial import Verdict


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """The words of one verdict: its name, and what it means."""

    title: str
    means: str


VERDICTS: Mapping[Verdict, VerdictWords] = {
    Verdict.IMPROVED: VerdictWords(
        "Improved",
        "Nearer to the ideal than before, beyond chance and beyond the sham, and no guard failed. That holds for these "
        "benchmarks and this model; it does not say that no bias is left.",
    ),
    Verdict.NO_EFFECT: VerdictWords(
        "No effect",
        "Nothing moved beyond chance, and the sample was large enough to have seen a change worth having.",
    ),
    Verdict.NOT_BEYOND_SHAM: VerdictWords(
        "Not beyond the sham",
        "Nearer to the ideal, but a sham without the claimed mechanism does as much.",
    ),
    Verdict.HARMED: VerdictWords("Harmed", "A number that was to become better moved away from its ideal."),
    Verdict.GUARD_FAILED: VerdictWords(
        "Guard failed", "Nearer to the ideal, but something else became worse than was allowed."
    ),
    Verdict.UNDECIDED: VerdictWords(
        "Undecided",
        "The sample is too small to tell, or what it would have to be compared with was not measured.",
    ),
}

ROLES: Mapping[str, str] = {
    "primary": "Primary numbers",
    "transfer": "Transfer: benchmarks that it does not claim to better",
    "other": "Other numbers of the primary benchmarks",
}
"""Role of an outcome -> heading."""

ARMS: Mapping[str, str] = {"method": "method", "sham": "sham", "rival": "rival"}
"""Role of an arm -> word."""
