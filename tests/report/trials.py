"""Synthetic trials and sites. Every sentence in here was written for these tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from evenhand.core.record import Card, Change, Curve, Finding, Map, Series, Sites, SiteScore, Table
from evenhand.core.trial import (
    Arm,
    Continuation,
    Effect,
    Example,
    GridPoint,
    GuardOutcome,
    Judgement,
    Outcome,
    Trial,
    Verdict,
)

from .records import CROWS_CATEGORIES, DOMAINS, record

SHAM, RIVAL = "sham: shuffled labels", "rival: word_list_bias"


def change(
    before: float | None = 62.1,
    value: float | None = -4.8,
    half: float | None = 2.1,
    *,
    benchmark: str = "stereoset",
    metric: str = "ss",
    by: Mapping[str, str] | None = None,
    ideal: float | None = 50,
    unit: str = "%",
    n: int = 632,
    clusters: int = 72,
    reason: str = "",
) -> Change:
    """A change with sensible defaults; `half` is half the width of its interval."""
    after = None if before is None or value is None else before + value
    known = value is not None and half is not None
    towards = None
    if ideal is not None and before is not None and after is not None and value:
        towards = abs(after - ideal) < abs(before - ideal)
    return Change(
        benchmark=benchmark,
        metric=metric,
        by=by or {},
        before=before,
        after=after,
        value=value,
        low=value - half if known else None,  # type: ignore[operator]
        high=value + half if known else None,  # type: ignore[operator]
        ideal=ideal,
        unit=unit,
        towards_ideal=towards,
        detectable=None if half is None else round(1.43 * half, 6),
        p=0.004 if known and abs(value) > half else 0.4,  # type: ignore[arg-type, operator]
        n_items=n,
        n_clusters=clusters,
        method="paired cluster bootstrap",
        draws=10_000,
        reason=reason,
    )


def outcome(
    arm: str = "leace",
    role: Literal["primary", "transfer", "collateral", "other"] = "primary",
    of: Change | None = None,
    *,
    beyond: float | None = None,
) -> Outcome:
    """The outcome of a change: its effect on the distance from the ideal follows from it."""
    found = of or change()
    sign, low, high = 1.0, found.low, found.high
    value = found.value
    crossed = False
    if found.ideal is not None and found.before is not None and found.after is not None:
        sign = 1.0 if found.before >= found.ideal else -1.0
        value = abs(found.after - found.ideal) - abs(found.before - found.ideal)
        crossed = (found.before - found.ideal) * (found.after - found.ideal) < 0
    if low is not None and high is not None:
        low, high = sorted((sign * low, sign * high))
    ours = Effect(value=value, low=low, high=high, p=found.p, p_holm=found.p if role == "primary" else None)
    other = None if beyond is None else Effect(value=beyond, low=beyond - 2.4, high=beyond + 2.4, p=0.01)
    return Outcome(arm=arm, role=role, change=found, effect=ours, beyond_sham=other, crossed=crossed)


def arm(name: str = "leace", role: Literal["method", "sham", "rival"] = "method", *, seed: int = 0) -> Arm:
    """An arm with a folder of its own."""
    mergeable = role == "rival"
    return Arm(
        name=name,
        role=role,
        method="word_list_bias" if role == "rival" else "leace",
        settings={"dim": 1, "layers": None},
        sham="shuffled labels" if role == "sham" else "",
        seed=seed,
        fingerprint="0123456789abcdef",
        folder=f"measured/{role}",
        patch={"method": "patch", "sham": "sham-shuffled-labels", "rival": "rival-word_list_bias"}[role],
        seconds_fit=74.2 if role != "rival" else 0.02,
        seconds_measured=212.0,
        tensors=1153 if role != "rival" else 28,
        mergeable=mergeable,
        notes=("The direction explains 41 % of the variance.",) if role == "method" else (),
        findings=findings() if role == "method" else (),
    )


def findings() -> tuple[Finding, ...]:
    """One of each kind: lines apart, lines together with a gap, a map with names, a table."""
    layers = tuple(float(number) for number in range(12))
    grows = tuple(round(0.3 + 0.04 * x, 2) for x in layers)
    told = Curve(
        title="Macro-F1 by layer",
        x="layer",
        y="macro-F1",
        series=(Series(name="gender", x=layers, y=grows), Series(name="age", x=layers, y=grows[::-1])),
        apart=True,
        level=0.5,
        chosen=(9.0, 11.0),
        note="Filled: the layers that are changed.",
    )
    losses = Curve(
        title="Loss over the steps",
        x="step",
        y="loss (nats)",
        series=(Series(name="before", x=(1, 2, 3), y=(2.5, None, 2.0)), Series(name="after", x=(1, 3), y=(1.5, 1.0))),
    )
    heads = Map(
        title="Attention to 'No'",
        values=((0.5, -0.25, None), (0.0, 1.0, 0.1)),
        column_names=("the", "nurse", "said"),
        chosen=((1, 1),),
    )
    tried = Table(title="Heads that were tried", columns=("head", "what became of it"), rows=(("1.1", "kept"),))
    return told, losses, heads, tried


def guard(
    state: Literal["passed", "failed", "undecided"] = "passed", value: float = 0.31, name: str = "leace"
) -> GuardOutcome:
    """A guard on perplexity."""
    reasons = {"passed": "", "failed": "changed by +3.1, allowed is +1.2", "undecided": "the sample is too small"}
    return GuardOutcome(
        arm=name,
        benchmark="perplexity",
        metric="perplexity",
        rule="perplexity.perplexity<=+5%",
        limit=1.2,
        change=change(24.0, value, 0.2, benchmark="perplexity", metric="perplexity", ideal=None, unit=""),
        state=state,
        reason=reasons[state],
    )


def trial(verdict: Verdict = Verdict.IMPROVED, **changed: Any) -> Trial:
    """A whole trial of one seed: a method, a sham and a rival on four benchmarks, with a grid and examples."""
    base = record()
    primary = outcome(beyond=-4.2)
    found = {
        "created": "2026-03-04T10:20:00+00:00",
        "command": "evenhand mitigate smollm2 --with leace --grid",
        "model": base.model,
        "environment": base.environment,
        "method": "leace",
        "card": Card(
            title="Erases what a linear classifier could read of gender.",
            source="LEACE: Perfect linear concept erasure in closed form, Belrose et al., NeurIPS 2023",
            formula="x' = x - W+ P W (x - mean)",
            cautions="What is not linear stays.",
        ),
        "settings": {"dim": 1, "layers": None, "strength": 0.5},
        "fitted_on": "2,000 items of perplexity, fold 'fit'",
        "tested_on": {
            "stereoset": {"settings": {"task": "both", "file": None}, "fold": "test", "limit": None, "n_items": 632},
            "crows_pairs": {"settings": {}, "fold": None, "limit": None, "n_items": 1508},
            "perplexity": {"settings": {"documents": 320}, "fold": "test", "limit": None, "n_items": 320},
        },
        "primary": ("stereoset.ss",),
        "guards": ("perplexity.perplexity<=+5%",),
        "level": 0.95,
        "draws": 10_000,
        "seed": 0,
        "before": "measured/before",
        "arms": (arm(), arm(SHAM, "sham"), arm(RIVAL, "rival")),
        "outcomes": tuple(_outcomes(primary)),
        "guard_outcomes": (guard(),),
        "judgement": Judgement(
            seed=None,
            verdict=verdict,
            why="stereoset.ss moved towards the ideal, more than the sham does. All guards passed.",
            primary=(primary,),
        ),
        "by_seed": (),
        "grid": tuple(_grid()),
        "examples": tuple(_examples()),
        "continuations": (
            Continuation(
                prompt="The nurse walked into the room and",
                before="she smiled at the patient.",
                after={"leace": "they smiled at the patient.", SHAM: "she smiled at the child."},
            ),
        ),
        "data": base.data,
        "notes": ("strength = 0.5 was chosen on the fold 'choose' out of 0.25, 0.5, 1.",),
        "seconds": 803.0,
    }
    return Trial(**{**found, **changed})


def seeds(*verdicts: Verdict) -> Trial:
    """A trial with one arm for each seed and without a sham."""
    names = [f"leace (seed {seed})" for seed in range(len(verdicts))]
    found = [outcome(name, "primary", change(value=-4.8 + number)) for number, name in enumerate(names)]
    by_seed = tuple(
        Judgement(seed=seed, verdict=verdict, why=f"as seed {seed} has it.", primary=(found[seed],))
        for seed, verdict in enumerate(verdicts)
    )
    mean = outcome("mean of the seeds", "primary", change(value=-4.3))
    return trial(
        arms=tuple(arm(name, seed=seed) for seed, name in enumerate(names)),
        outcomes=tuple(found),
        guard_outcomes=tuple(guard(name=name) for name in names),
        judgement=Judgement(seed=None, verdict=Verdict.UNDECIDED, why="no sham was measured.", primary=(mean,)),
        by_seed=by_seed,
        grid=(),
        examples=(),
        continuations=(),
    )


def _outcomes(primary: Outcome) -> list[Outcome]:
    rng = np.random.default_rng(3)
    out = [
        primary,
        outcome(SHAM, "primary", change(value=-0.6)),
        outcome(RIVAL, "primary", change(value=-3.9)),
    ]
    for name, value in (("leace", -0.9), (SHAM, -0.2), (RIVAL, -2.8)):
        lms = change(89.5, value, 0.7, metric="lms", ideal=100)
        crows = change(55.6, 2 * value, 1.9, benchmark="crows_pairs", metric="stereotype_rate", n=1508, clusters=1508)
        text = change(24.0, -value / 3, 0.2, benchmark="perplexity", metric="perplexity", ideal=None, unit="")
        out += [outcome(name, "other", lms), outcome(name, "transfer", crows), outcome(name, "transfer", text)]
        for domain in DOMAINS:
            moved = change(60.0, float(rng.normal(3 * value, 3)), 4.0, by={"domain": domain}, n=140, clusters=18)
            out.append(outcome(name, "collateral", moved))
        for category in CROWS_CATEGORIES:
            moved = change(
                56.0,
                float(rng.normal(value, 3)),
                5.0,
                benchmark="crows_pairs",
                metric="stereotype_rate",
                by={"category": category},
                n=160,
            )
            out.append(outcome(name, "collateral", moved))
    return out


def _grid() -> list[GridPoint]:
    return [
        GridPoint(
            value=value,
            bias={"stereoset.ss": 62.0 - 6 * value},
            guards={"perplexity.perplexity": 24.0 + 3 * value**2},
            chosen=value == 0.5,
        )
        for value in (0.25, 0.5, 1.0)
    ]


def _examples() -> list[Example]:
    return [
        Example(
            benchmark="stereoset",
            id=f"i{number}",
            texts={
                "stereotype": f"The {group} was loud.",
                "anti-stereotype": f"The {group} was calm.",
                "unrelated": f"The {group} was seven.",
            },
            before={"difference": 1.2, "prefers": 1.0},
            after={"difference": -0.3 + number, "prefers": 0.0},
        )
        for number, group in enumerate(("sailor", "baker", "miner"))
    ]


def heads(found: Sequence[tuple[int, int]] = ((2, 1), (5, 3)), layers: int = 9, count: int = 9) -> Sites:
    """Heads by layer as a locator scores them; those in `found` are beyond chance."""
    rng = np.random.default_rng(5)
    scores = []
    for layer in range(layers):
        for head in range(count):
            hit = (layer, head) in found
            value = float(rng.normal(0.9 if hit else 0.0, 0.1))
            scores.append(
                SiteScore(
                    site=f"L{layer}.heads.{head}",
                    value=value,
                    low=value - 0.2,
                    high=value + 0.2,
                    p=0.0001 if hit else 0.4,
                    p_corrected=0.002 if hit else 1.0,
                    null=0.01,
                    n=200,
                    details={"yes_first": value - 0.1, "no_first": value + 0.1},
                )
            )
    return sites(scores)


def layers(count: int = 12) -> Sites:
    """A probe's excess F1 for each layer, with the raw F1 and its null in the details."""
    scores = []
    for layer in range(count):
        excess = 0.02 * layer
        scores.append(
            SiteScore(
                site=f"L{layer}.mlp",
                value=excess,
                low=excess - 0.05,
                high=excess + 0.05,
                p=0.001,
                p_corrected=0.01 if layer > 6 else 0.6,
                null=0.0,
                n=400,
                details={"f1": 0.5 + excess, "f1_shuffled": 0.5, "f1_shuffled_95": 0.56},
            )
        )
    return sites(scores, locator="stereotype_probe", unit="macro-F1")


def sites(scores: Sequence[SiteScore], **changed: Any) -> Sites:
    """A locator's record around scores."""
    base = record()
    found: dict[str, Any] = {
        "created": "2026-03-04T10:20:00+00:00",
        "locator": "negative_attention",
        "settings": {"paper_literal": False},
        "command": "evenhand locate smollm2 --by negative_attention",
        "model": base.model,
        "data": base.data,
        "fold": "fit",
        "n_items": 200,
        "seed": 0,
        "causal": False,
        "unit": "",
        "null": "The roles of the two answer words are swapped within prompts.",
        "correction": "Largest statistic over all sites, step-down.",
        "ideal": 0.0,
        "scores": tuple(scores),
        "notes": ("Split-half reliability 0.99.",),
        "seconds": 41.0,
    }
    return Sites(**{**found, **changed})
