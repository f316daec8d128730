"""What was measured of NASA: tables from docs/results/nasa.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cards import table, text

from evenhand.core.trial import Verdict
from evenhand.report import numbers, words
from evenhand.report.verdicts import VERDICTS

STORED = Path(__file__).parents[2] / "docs" / "results" / "nasa.json"
NOTHING = (
    "!!! note\n    Nothing is stored yet. `python benchmarks/nasa.py` measures, and with `--publish` it writes what "
    "this page shows."
)
GROUPS = ("nasa_balanced", "nasa", "random heads", "logit_offset")
SHAM = "random heads"
ROWS = tuple(f"{name}, seed {seed}" for seed in (0, 1, 2) for name in GROUPS[:3])
"""Arms that are fitted with several seeds."""
SHOWN = (
    "yes_no.yes_rate",
    "yes_no.yes_rate_gap",
    "yes_no.order_kappa",
    "yes_no.yes_precision",
    "yes_no.yes_recall",
    "yes_no.yes_f1",
    "yes_no.precision_recall_gap",
    "yes_no.ece_width",
    "yes_no.ece_mass",
    "yes_no.auc",
    "yes_no.accuracy",
    "yes_no.negative_confidence",
    "yes_no.answer_mass",
    "arc.accuracy_norm",
    "mmlu.accuracy",
)
KAPPA, GAP, ECE, AUC = "yes_no.order_kappa", "yes_no.yes_rate_gap", "yes_no.ece_width", "yes_no.auc"
ABILITY = ("arc.accuracy_norm", "mmlu.accuracy")
STATES = {True: "met", False: "missed", None: "undecided: the sample is too small to exclude it"}
WHERE = {"yes_first": "'Yes or No'", "no_first": "'No or Yes'", "strategyqa": "StrategyQA", "boolq": "BoolQ"}

Entry = Mapping[str, Any]


def targets(_: str) -> str:
    """What was aimed at, and whether each group of arms met it."""
    found = together()
    if found is None:
        return NOTHING
    groups = dict(found["groups"])
    larger = next((one for one in stored() if one["row"] == "ability"), None)
    if larger is not None:
        own = [one for one in groups[GROUPS[0]] if one["name"] not in ABILITY]
        groups[GROUPS[0]] = [*own, *larger["numbers"]]
    rows = [
        (
            name,
            *(f"{value}<br>**{STATES[met]}**" for value, met in (judge(of) for of in groups.values())),
        )
        for name, judge in _TARGETS.items()
    ]
    verdict = VERDICTS[Verdict(found["proof"]["verdict"])].title
    missing = [row for row in ROWS if row not in found["heads"]]
    left = [f"Not measured yet: {', '.join(missing)}. Means are of the seeds that are."] if missing else []
    return "\n\n".join(
        [
            *left,
            table(("target", *(f"`{name}`" if name != SHAM else name for name in groups)), rows),
            _asked(found, larger),
            _against_random(groups),
            f"Verdict on `nasa_balanced`, all its seeds together: **{verdict}.** {text(found['proof']['why'])}",
        ]
    )


def whole(_: str) -> str:
    """Every number over all questions: the mean of the seeds, each seed, the change."""
    found = together()
    if found is None:
        return ""
    rows = []
    for name in SHOWN:
        held = [_number(of, name, {}) for of in found["groups"].values()]
        if any(held):
            first = next(filter(None, held))
            rows.append([_name(first), _plain(first["before"], first), *(_cell(one, seeds=True) for one in held)])
    return table(("number", "untouched", *found["groups"]), rows)


def parts(_: str) -> str:
    """The main numbers by order and by question set."""
    found = together()
    if found is None:
        return ""
    rows = []
    for name in ("yes_no.yes_rate", *SHOWN[2:6], SHOWN[6], ECE, AUC):
        for place, shown in WHERE.items():
            by = {"order" if "first" in place else "category": place}
            held = [_number(of, name, by) for of in found["groups"].values()]
            if any(held):
                first = next(filter(None, held))
                rows.append([_name(first), shown, _plain(first["before"], first), *map(_cell, held)])
    base = ", ".join(f"{WHERE[name]} {100 * share:.1f} %" for name, share in found["base"].items())
    return f"The answer is Yes in: {base}.\n\n" + table(("number", "where", "untouched", *found["groups"]), rows)


def reliability(_: str) -> str:
    """Confidence and share of right answers, by bin."""
    found = together()
    if found is None:
        return ""
    rows = []
    for order in ("yes_first", "no_first"):
        for name, of in found["curves"].items():
            points = "; ".join(f"{conf:.2f}: {right:.2f} ({n:,})" for n, conf, right in of[order] if n >= 10)
            rows.append((WHERE[order], name, points))
    return table(("order", "arm", "mean confidence: share right (answers)"), rows)


def heads(_: str) -> str:
    """Which heads were tried and kept, and how long that took."""
    found = together()
    if found is None:
        return ""
    rows = []
    for entry in stored():
        of = found["heads"].get(entry["row"])
        if of is not None:
            kept, others = ([f"L{layer}.{head}" for layer, head in part] for part in _split(of))
            told = [", ".join(kept) or "none", ", ".join(others) or "none", f"{entry['seconds_fit']:.0f}"]
            rows.append([entry["row"], *told, _each(entry["notes"])])
    return table(
        ("arm", "kept (layer.head)", "rolled back", "seconds to fit", "monitor after, seconds for a head"), rows
    )


def stored() -> list[Entry]:
    """The published results; none if there is no file."""
    return json.loads(STORED.read_text("utf-8")) if STORED.exists() else []


def together() -> Entry | None:
    """The comparison of all arms, if it is stored."""
    return next((one for one in stored() if one["row"] == "together"), None)


def _judge_gap(of: Sequence[Entry]) -> tuple[str, bool]:
    one = _must(of, GAP)
    return _ranged(one, "after"), abs(one["after"]) <= 4


def _judge_kappa(of: Sequence[Entry]) -> tuple[str, bool]:
    one = _must(of, KAPPA)
    return _ranged(one, "after"), one["after"] >= 0.45


def _judge_ece(of: Sequence[Entry]) -> tuple[str, bool]:
    one = _must(of, ECE)
    return _ranged(one, "after"), one["after"] <= 0.10


def _judge_auc(of: Sequence[Entry]) -> tuple[str, bool]:
    one = _must(of, AUC)
    return _change(one), round(one["change"], 3) >= 0


def _judge_ability(of: Sequence[Entry]) -> tuple[str, bool | None]:
    """Met if the intervals leave out such a loss, missed if a change itself is one, else undecided."""
    both = [_must(of, name) for name in ABILITY]
    changes = [one["change"] for one in both]
    shown = "<br>".join(map(_change, both))
    if any(change < -1 for change in changes):
        return shown, False
    return shown, True if all(one["low"] is not None and one["low"] >= -1 for one in both) else None


_TARGETS = {
    "Yes-rate minus base rate, mean of the orders: within 4 points": _judge_gap,
    "kappa between the orders: at least .45": _judge_kappa,
    "ECE (ten bins of equal width): at most .10": _judge_ece,
    "AUC: not below the untouched model's (change)": _judge_auc,
    "ARC and MMLU: not lower by more than 1 point (change)": _judge_ability,
}


def _asked(found: Entry, larger: Entry | None) -> str:
    """How many questions of ability there were."""
    few = found["items"]
    told = f"Ability: {few['arc']:,} questions of ARC and {few['mmlu']:,} of MMLU"
    if larger is None:
        return f"{told}."
    many = larger["items"]
    return f"{told}; for `{GROUPS[0]}` {many['arc']:,} and {many['mmlu']:,}."


def _against_random(groups: Mapping[str, Sequence[Entry]]) -> str:
    """Whether each group beats random heads on kappa."""
    said = []
    for name, of in groups.items():
        beyond = _must(of, KAPPA)["beyond"]
        if name != SHAM and beyond is not None and beyond[0] is not None:
            value, low, high = beyond
            ends = "" if low is None else f" ({_signed(-high, 3)} to {_signed(-low, 3)})"
            how = "more" if high is not None and high < 0 else "less" if low is not None and low > 0 else "not more"
            said.append(f"`{name}` brings kappa {_signed(-value, 3)}{ends} nearer to 1 than random heads do: {how}.")
    return " ".join(said)


def _split(of: Entry) -> tuple[list[list[int]], list[list[int]]]:
    return of["kept"], [one for one in of["tried"] if one not in of["kept"]]


def _each(notes: Sequence[str]) -> str:
    """The last note says what the monitor shows and how long a head took."""
    return text(next((note for note in reversed(notes) if note.startswith("Monitor after")), ""))


def _number(of: Sequence[Entry], name: str, by: Mapping[str, str]) -> Entry | None:
    return next((one for one in of if one["name"] == name and one["by"] == by), None)


def _must(of: Sequence[Entry], name: str) -> Entry:
    found = _number(of, name, {})
    if found is None:
        raise LookupError(f"{name} is not stored")
    return found


def _digits(one: Entry) -> int:
    return words.metric(one["name"].partition(".")[2], one["unit"]).digits


def _name(one: Entry) -> str:
    benchmark, _, metric = one["name"].partition(".")
    return text(words.number(benchmark, metric, one["unit"]))


def _plain(value: float | None, one: Entry) -> str:
    return "no number" if value is None else numbers.number(value, _digits(one))


def _signed(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}".replace("-", numbers.MINUS)


def _change(one: Entry) -> str:
    """The change with its interval."""
    if one["change"] is None:
        return ""
    digits = _digits(one)
    if one["low"] is None or one["high"] is None:
        return _signed(one["change"], digits)
    return f"{_signed(one['change'], digits)} ({_signed(one['low'], digits)} to {_signed(one['high'], digits)})"


def _ranged(one: Entry, key: str) -> str:
    """A value and those of the seeds."""
    each = [value for value in one["each"] if value is not None]
    seeds = f" ({', '.join(_plain(value, one) for value in each)})" if len(each) > 1 else ""
    return _plain(one[key], one) + seeds


def _cell(one: Entry | None, *, seeds: bool = False) -> str:
    """After and the change; with `seeds` each seed's value too."""
    if one is None:
        return ""
    return "<br>".join(filter(None, [_ranged(one, "after") if seeds else _plain(one["after"], one), _change(one)]))
