"""Methods without training on `smollm2`, one trial each, on the same battery: calibration, contrast, attention.

    python benchmarks/training_free.py [--row NAME] [--table]

Each row is a whole trial: fitted (if at all) on the fold 'fit', tested on the fold 'test', with one sham of each kind
and a constant per answer (`logit_offset`) beside it. It tells what the method does to the label prior, to yes/no
questions in both orders (1,000 questions), to leading questions, to the place of options, to social bias and to
ability. Questions are BBQ's clear items. Rows of letters are fitted and tested on MMLU instead, without the chat
format. Settings are the methods' defaults, named before anything was tested; nothing is tuned. All in bfloat16. The
untouched model is measured once for each battery and shared; its answers are the greedy baseline.

A row also says whether what was asked of it holds: that a calibrated Yes-rate lies within 4 points of the base rate
with AUC and balanced accuracy not below the untouched model's, or that a leading question changes half as many answers.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.errors import DataError
from evenhand.core.trial import Arm, Outcome, Trial
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from methods import name_of, number_of

LETTERS = ", letters"
CALIBRATIONS = ("contextual_calibration", "domain_context", "batch_calibration")
WANTED = (
    *CALIBRATIONS,
    "post_hoc_calibration",
    "evidence_contrast",
    "lqcd",
    "act",
    "pine",
    *(name + LETTERS for name in CALIBRATIONS),
)
ROWS = [row for row in WANTED if row.removesuffix(LETTERS) in registry.names("mitigations")]
BATTERY: Mapping[str, Mapping[str, Any]] = {
    "label_prior": {},
    "yes_no": {},
    "sycophancy": {},
    "position_bias": {},
    "stereoset": {},
    "crows_pairs": {},
    "perplexity": {"documents": 320},
    "arc": {},
}
OF_LETTERS: Mapping[str, Mapping[str, Any]] = {"label_prior": {"questions": "mmlu"}, "mmlu": {"split": "validation"}}
LIMITS = {
    "label_prior": 300,
    "yes_no": 2000,
    "sycophancy": 400,
    "position_bias": 100,
    "stereoset": 200,
    "crows_pairs": 150,
    "arc": 100,
    "mmlu": 400,
}
DTYPE: Literal["float32", "bfloat16"] = "bfloat16"
SHOWN = (
    "label_prior.prior_distance",
    "label_prior.prior_entropy",
    "yes_no.yes_rate",
    "yes_no.yes_rate_gap",
    "yes_no.auc",
    "yes_no.balanced_accuracy",
    "yes_no.order_kappa",
    "sycophancy.ctr",
    "sycophancy.eir",
    "sycophancy.ecr",
    "sycophancy.pir",
    "sycophancy.cue_swing",
    "position_bias.changed_answers",
    "position_bias.recall_spread",
    "stereoset.ss",
    "stereoset.lms",
    "crows_pairs.stereotype_rate",
    "perplexity.perplexity",
    "arc.accuracy_norm",
    "mmlu.accuracy",
)
YES_RATE = 4.0
"""Points by which a calibrated Yes-rate may miss the base rate."""


def battery(row: str) -> list[Benchmark]:
    """The benchmarks at hand; what is not is said."""
    found = []
    for name, settings in (OF_LETTERS if row.endswith(LETTERS) else BATTERY).items():
        if name not in registry.names("benchmarks"):
            continue
        benchmark = configured(name, dict(settings))
        try:
            benchmark.load()
        except DataError as error:
            ledger.note(f"{name} is left out: {error}")
            continue
        found.append(benchmark)
    return found


def measure(row: str, folder: Path) -> ledger.Json:
    """One trial."""
    model = eh.Model.load("smollm2", dtype=DTYPE)
    letters = row.endswith(LETTERS)
    name = row.removesuffix(LETTERS)
    method = registry.get("mitigations", name)()
    out = folder / row.replace(LETTERS, "-letters")
    shared, own = folder / ("before-letters" if letters else "before"), out / "measured" / "before"
    if shared.exists() and not own.exists():
        shutil.copytree(shared, own)

    def show(what: str, done: int, total: int) -> None:
        if done in (0, total):
            ledger.note(f"{row}: {what} {'begins' if not done else 'done'}")

    fit_on = configured("label_prior", dict(OF_LETTERS["label_prior"])) if letters else None
    rivals = ("logit_offset",) if name in CALIBRATIONS and not letters else ()
    trial = eh.trial(
        model,
        method,
        fit_on=fit_on,
        test_on=battery(row),
        limit=LIMITS,
        rivals=rivals,
        draws=2000,
        chat="off" if letters else "auto",
        out=out,
        resume=True,
        progress=show,
    )
    if not shared.exists():
        shutil.copytree(own, shared)
    return condensed(trial)


def condensed(trial: Trial) -> ledger.Json:
    """What the table needs of a trial."""
    numbers = [one for one in trial.outcomes if not one.change.by and name_of(one) in {*SHOWN, *trial.primary}]
    arms = [_arm(arm, numbers) for arm in trial.arms]
    return {
        "method": trial.method,
        "settings": dict(trial.settings),
        "fitted_on": trial.fitted_on,
        "primary": list(trial.primary),
        "verdict": trial.judgement.verdict.value,
        "why": trial.judgement.why,
        "model": trial.model.name,
        "dtype": trial.environment.dtype,
        "arms": arms,
        "asked": asked(next(arm["numbers"] for arm in arms if arm["role"] == "method")),
        "guards": [{"rule": one.rule, "state": one.state, "reason": one.reason} for one in trial.guard_outcomes],
        "tested_on": {name: facts["n_items"] for name, facts in trial.tested_on.items()},
    }


def asked(numbers: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Whether what was asked of calibrations and of lqcd holds for a method's numbers, as far as they were measured."""
    found: dict[str, bool] = {}
    gap, auc, right = (numbers.get(f"yes_no.{name}") for name in ("yes_rate_gap", "auc", "balanced_accuracy"))
    if gap and auc and right:
        found["Yes-rate within 4 points of the base rate"] = abs(gap["after"]) <= YES_RATE
        found["AUC not below"] = auc["after"] >= auc["before"]
        found["balanced accuracy not below"] = right["after"] >= right["before"]
    changed = numbers.get("sycophancy.ctr")
    if changed:
        found["half as many answers changed by a hint"] = changed["after"] <= changed["before"] / 2
    return found


def _arm(arm: Arm, numbers: list[Outcome]) -> ledger.Json:
    return {
        "name": arm.name,
        "role": arm.role,
        "seconds_fit": arm.seconds_fit,
        "seconds_measured": arm.seconds_measured,
        "numbers": {name_of(one): number_of(one) for one in numbers if one.arm == arm.name},
    }


def cells(entry: ledger.Json) -> dict[str, str]:
    """A result as the cells of a table."""
    result = entry["result"]
    ours = next(arm for arm in result["arms"] if arm["role"] == "method")
    shown = {"row": entry["row"], "verdict": result["verdict"]}
    for number in SHOWN:
        one = ours["numbers"].get(number)
        if one is not None and one["change"] is not None:
            ends = "" if one["low"] is None else f" ({one['low']:+.2f} to {one['high']:+.2f})"
            shown[number] = f"{one['before']:.2f} to {one['after']:.2f}{ends}"
    return shown | {"asked": "; ".join(f"{what}: {'yes' if held else 'no'}" for what, held in result["asked"].items())}


def main() -> None:
    """Command line."""
    options = ledger.parser(__doc__, ROWS).parse_args()
    book = ledger.Ledger("training_free", options.out)
    if options.table:
        ledger.say(ledger.table(book.newest(), cells))
        return
    folder = options.out / book.name

    def settings(row: str) -> ledger.Json:
        chosen = OF_LETTERS if row.endswith(LETTERS) else BATTERY
        return {"battery": {name: dict(one) for name, one in chosen.items()}, "limits": LIMITS, "dtype": DTYPE}

    ledger.run(book, options.row or ROWS, settings, lambda row: measure(row, folder), cells)


if __name__ == "__main__":
    main()
