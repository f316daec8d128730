"""Trials: what a mitigation did, against shams and rivals, on items it was not fitted on. `trial.json`, schema 1."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, Field

from evenhand.core.record import SCHEMA, Card, Change, DataUse, Environment, Finding, Frozen, ModelIdentity

Role = Literal["method", "sham", "rival"]


class Verdict(StrEnum):
    """What a trial shows about the primary numbers.

    improved: nearer to the ideal, after correction, beyond the shams, and every guard passed.
    no_effect: no primary number moved beyond chance, and the sample would have found a change worth having.
    not_beyond_sham: nearer to the ideal, but a sham does as much.
    harmed: a primary number moved away from the ideal.
    guard_failed: nearer to the ideal, but something else got worse than its limit.
    undecided: the sample is too small to tell, or a guard is.
    """

    IMPROVED = "improved"
    NO_EFFECT = "no_effect"
    NOT_BEYOND_SHAM = "not_beyond_sham"
    HARMED = "harmed"
    GUARD_FAILED = "guard_failed"
    UNDECIDED = "undecided"


class Arm(Frozen):
    """One patch that was measured."""

    name: str = Field(description="Unique in the trial, e.g. 'leace', 'leace (seed 1)', 'sham: shuffled labels'.")
    role: Role
    method: str
    settings: Mapping[str, Any]
    sham: str = ""
    seed: int
    fingerprint: str
    folder: str = Field(description="Of its record and items, relative to the trial's folder; '' if kept in memory.")
    patch: str = Field(default="", description="Folder of the patch, relative to the trial's folder.")
    seconds_fit: float
    seconds_measured: float
    tensors: int = Field(description="Numbers that the patch holds.")
    mergeable: bool = Field(description="Whether every edit can become part of the weights.")
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = Field(default=(), description="What fitting found, as curves, maps and tables.")


class Effect(Frozen):
    """A change of the distance from the ideal, negative = nearer; without an ideal, plain after minus before."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None = None
    p_holm: float | None = Field(default=None, description="Corrected over the primary numbers of the trial.")
    detectable: float | None = None
    reason: str = ""


class Outcome(Frozen):
    """One number of one arm, paired with the untouched model."""

    arm: str
    role: Literal["primary", "transfer", "collateral", "other"]
    change: Change
    effect: Effect
    beyond_sham: Effect | None = Field(
        default=None, description="Effect minus the mean effect of the shams (method arms only)."
    )
    crossed: bool = Field(default=False, description="The number lies on the other side of the ideal now.")


class GuardOutcome(Frozen):
    """A number that must not get worse than a limit, of one arm."""

    arm: str
    benchmark: str
    metric: str
    rule: str = Field(description="As it was asked for, e.g. 'perplexity.perplexity<=+5%'.")
    limit: float = Field(description="Largest allowed change, in the metric's unit, with its sign.")
    change: Change
    state: Literal["passed", "failed", "undecided"]
    reason: str = ""


class Judgement(Frozen):
    """The verdict on the method, over all seeds or for one of them."""

    seed: int | None = Field(description="None = all seeds together.")
    verdict: Verdict
    why: str = Field(description="In plain words.")
    primary: tuple[Outcome, ...] = Field(description="The primary numbers that it rests on.")


class GridPoint(Frozen):
    """One strength that was tried on the choose-fold."""

    value: float
    bias: Mapping[str, float | None] = Field(description="'benchmark.metric' of the primary numbers -> value.")
    guards: Mapping[str, float | None] = Field(description="'benchmark.metric' of the guards -> value.")
    chosen: bool = False


class Example(Frozen):
    """An item before and after, for the reader: texts and values."""

    benchmark: str
    id: str
    texts: Mapping[str, str]
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]


class Continuation(Frozen):
    """What the model writes after a prompt, untouched and with each arm."""

    prompt: str
    before: str
    after: Mapping[str, str] = Field(description="Name of the arm -> text.")


class Trial(Frozen):
    """`trial.json`."""

    schema_: int = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    created: str = Field(description="UTC, ISO 8601.")
    command: str = ""
    model: ModelIdentity
    environment: Environment
    method: str
    card: Card
    settings: Mapping[str, Any]
    fitted_on: str = Field(description="Benchmark, fold and number of items, in words; '' if it needs no data.")
    transductive: bool = False
    tested_on: Mapping[str, Mapping[str, Any]] = Field(description="Benchmark -> settings, fold, limit, n_items.")
    primary: tuple[str, ...] = Field(description="'benchmark.metric', named before fitting.")
    guards: tuple[str, ...] = Field(description="Rules, named before fitting.")
    level: float
    draws: int
    seed: int
    before: str = Field(description="Folder of the untouched model's record, relative to the trial's folder.")
    arms: tuple[Arm, ...]
    outcomes: tuple[Outcome, ...]
    guard_outcomes: tuple[GuardOutcome, ...]
    judgement: Judgement
    by_seed: tuple[Judgement, ...]
    grid: tuple[GridPoint, ...] = ()
    examples: tuple[Example, ...] = ()
    continuations: tuple[Continuation, ...] = ()
    findings: tuple[Finding, ...] = Field(default=(), description="What measuring found besides numbers, all arms.")
    data: tuple[DataUse, ...] = ()
    no_sham: str = Field(default="", description="Why there is no sham, where there is none.")
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), populate_by_name=True
    )
