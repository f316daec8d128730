"""From outcomes to a verdict, in an order that never lets a good number hide a bad one."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.statistics import holm
from evenhand.core.trial import Effect, GuardOutcome, Judgement, Outcome, Verdict

WORTH = 0.5
"""A change is worth finding if it is at least this share of the distance from the ideal."""


def corrected(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Primary outcomes with p values corrected by Holm over all of them."""
    known = [(n, one.effect.p) for n, one in enumerate(outcomes) if one.effect.p is not None]
    adjusted = dict(zip((n for n, _ in known), holm([p for _, p in known]), strict=True))
    return [
        one.model_copy(update={"effect": one.effect.model_copy(update={"p_holm": adjusted.get(n)})})
        for n, one in enumerate(outcomes)
    ]


def judge(
    primary: Sequence[Outcome],
    guards: Sequence[GuardOutcome],
    *,
    seed: int | None,
    level: float,
    no_sham: str,
) -> Judgement:
    """The verdict on primary outcomes whose p values are corrected, and on the guards of the same arms.

    Args:
        primary: the primary numbers.
        guards: of the method's arms.
        seed: whose verdict it is, None for all seeds together.
        level: of the intervals; 1 - level is the error rate of the tests.
        no_sham: why the method has no sham, "" if it has one.
    """
    verdict, why = _verdict(primary, guards, level, no_sham)
    return Judgement(seed=seed, verdict=verdict, why=why, primary=tuple(primary))


def _verdict(
    primary: Sequence[Outcome], guards: Sequence[GuardOutcome], level: float, no_sham: str
) -> tuple[Verdict, str]:
    worse = [one for one in primary if _significant(one.effect, level) and (one.effect.low or 0) > 0]
    if worse:
        return Verdict.HARMED, f"{_named(worse)} moved away from the ideal."
    better = [one for one in primary if _significant(one.effect, level) and (one.effect.high or 0) < 0]
    if not better:
        verdict, why = _nothing(primary)
        return verdict, why + _by_interval_alone(primary)
    unknown = [one for one in primary if _may_be_worse(one)]
    if unknown:
        return (
            Verdict.UNDECIDED,
            f"{_named(better)} moved towards the ideal, but {_named(unknown)} moved away from it, or was lost, and "
            f"has no interval ({unknown[0].effect.reason}), so harm cannot be excluded.",
        )
    if any(one.beyond_sham is not None for one in better):
        beyond = [one for one in better if one.beyond_sham is not None and _below(one.beyond_sham)]
        if not beyond:
            return (
                Verdict.NOT_BEYOND_SHAM,
                f"{_named(better)} moved towards the ideal, but the sham does as much: the interval of the difference "
                "includes 0, so the claimed mechanism is not shown to matter.",
            )
        better = beyond
    elif not no_sham:
        return Verdict.UNDECIDED, f"{_named(better)} moved towards the ideal, but no sham was measured to compare with."
    failed = [one for one in guards if one.state == "failed"]
    if failed:
        return Verdict.GUARD_FAILED, f"{_named(better)} moved towards the ideal, but {_guards(failed)}."
    open_ = [one for one in guards if one.state == "undecided"]
    if open_:
        return (
            Verdict.UNDECIDED,
            f"{_named(better)} moved towards the ideal, but guards are undecided: {_guards(open_)}.",
        )
    compared = f"There is no sham for this method: {no_sham}" if no_sham else "It does more than the sham."
    guarded = "All guards passed." if guards else "No guard was set."
    return Verdict.IMPROVED, f"{_named(better)} moved towards the ideal. {compared} {guarded}"


def _nothing(primary: Sequence[Outcome]) -> tuple[Verdict, str]:
    """No primary number moved beyond chance: nothing is there, or the sample could not have shown it."""
    blind = []
    for one in primary:
        before, ideal = one.change.before, one.change.ideal
        if one.effect.value is None:
            blind.append(f"{_name(one)} is undefined ({one.effect.reason})")
        elif one.effect.detectable is None and one.effect.value != 0:
            blind.append(f"{_name(one)} has no interval ({one.effect.reason})")
        elif one.effect.detectable is None or before is None or ideal is None:
            continue
        elif one.effect.detectable > WORTH * abs(before - ideal):
            blind.append(
                f"{_name(one)} is {abs(before - ideal):.3g} from its ideal and this sample finds changes from "
                f"{one.effect.detectable:.3g} on"
            )
    if blind:
        return Verdict.UNDECIDED, f"No primary number moved beyond chance, but the sample is small: {'; '.join(blind)}."
    return (
        Verdict.NO_EFFECT,
        "No primary number moved beyond chance, and a change of half the bias would have been seen.",
    )


def _by_interval_alone(primary: Sequence[Outcome]) -> str:
    """A sentence on numbers whose interval leaves out 0 while the test, which decides, finds nothing."""
    apart = [
        f"{_name(one)} (p = {one.effect.p_holm:.2g})"
        for one in primary
        if one.effect.p_holm is not None and ((one.effect.low or 0) > 0 or (one.effect.high or 0) < 0)
    ]
    if not apart:
        return ""
    corrected = f", corrected for {len(primary)} numbers," if len(primary) > 1 else ""
    return f" Intervals alone leave out 0 for {', '.join(apart)}; the test{corrected} decides, and does not agree."


def _significant(effect: Effect, level: float) -> bool:
    return effect.p_holm is not None and effect.p_holm <= 1 - level


def _may_be_worse(one: Outcome) -> bool:
    """Whether a number moved away from its ideal, or was lost, and nothing tells how sure that is."""
    if one.effect.value is None:
        return one.change.before is not None
    return one.effect.value > 0 and one.effect.low is None


def _below(effect: Effect) -> bool:
    return effect.high is not None and effect.high < 0


def _name(outcome: Outcome) -> str:
    return f"{outcome.change.benchmark}.{outcome.change.metric}"


def _named(outcomes: Sequence[Outcome]) -> str:
    return " and ".join(_name(one) for one in outcomes)


def _guards(outcomes: Sequence[GuardOutcome]) -> str:
    return "; ".join(f"{one.rule} ({one.arm}): {one.reason}" for one in outcomes)
