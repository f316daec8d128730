"""What was measured of CrAWD and its variant: tables from docs/results/crawd.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import published
from cards import table, text

from evenhand.report import numbers

NAME = "crawd"
COLUMNS = (
    ("gas.gas", "GAS", 1),
    ("gas.gas_word_share", "GAS, share of words", 2),
    ("gas.gld", "GLD", 3),
    ("gas.perplexity_listed", "perplexity, listed words", 2),
    ("gas.perplexity_unlisted", "perplexity, other words", 2),
    ("stereoset.ss", "SS", 1),
    ("stereoset.lms", "LMS", 1),
)
"""Numbers of the tables, their heads and decimals."""
OURS = "crawd_balanced"
KINDS = ("crawd", "no decay", "other words", "fine_tuning")
"""What the paper's method is compared with; all else is of the variant or of the word list."""

Entry = Mapping[str, Any]


def whole(_: str) -> str:
    """The untouched model, the paper's method with its shams, the variant with its own, the word list."""
    found = row("summary")
    if found is None:
        return published.nothing(NAME)
    groups = of_groups(found)
    first = next(iter(groups.values()))["numbers"]
    untouched = [_plain(number(first, name)["before"], digits) for name, _, digits in COLUMNS]
    lines = [["untouched model", "", *untouched]]
    for name, of in groups.items():
        held = [_cell(number(of["numbers"], key), digits) for key, _, digits in COLUMNS]
        lines.append([text(name), str(of["seeds"]), *held])
    return table(("arm", "seeds", *(head for _, head, _ in COLUMNS)), lines)


def curve(_: str) -> str:
    """How far each arm lies from the word list's curve at the same GAS."""
    found = row("summary")
    if found is None:
        return published.nothing(NAME)
    lines = []
    for name, of in of_groups(found).items():
        if of["curve"] is not None:
            gas, listed = (number(of["numbers"], key) for key in ("gas.gas", "gas.perplexity_listed"))
            lines.append([text(name), _ranged(gas, "change", 1), f"{listed['after']:.2f}", *_place(of["curve"])])
    heads = ("arm", "change of GAS", "perplexity, listed words", "against the curve at the same GAS", "")
    return table(heads, lines)


def beyond(_: str) -> str:
    """How much nearer to the ideal, or lower, than the shams."""
    found = row("summary")
    if found is None:
        return published.nothing(NAME)
    lines = [
        [text(name), *(_ranged(one, "value", digits) for one, (*_, digits) in zip(of["beyond"], COLUMNS, strict=True))]
        for name, of in of_groups(found).items()
        if "beyond" in of
    ]
    return table(("arm", *(head for _, head, _ in COLUMNS)), lines)


def sweeps(_: str) -> str:
    """The settings of the paper's method, one row each."""
    lines = []
    for entry in published.stored(NAME):
        if entry["row"] == "before on choose" or entry["row"].startswith("sweep: "):
            shown = "untouched model" if entry["row"].startswith("before") else entry["row"].removeprefix("sweep: ")
            held = [_plain(_value(entry, name), digits) for name, _, digits in COLUMNS]
            lines.append([text(shown), *held, _seconds(entry)])
    if not lines:
        return "!!! note\n    The sweeps were not measured yet."
    return table(("setting", *(head for _, head, _ in COLUMNS), "seconds to fit"), lines)


def associations(_: str) -> str:
    """WEAT on the states, seed 0."""
    shown = ("before", *(f"{name}, seed 0" for name in (KINDS[0], OURS, *KINDS[1:])))
    entries = [entry for entry in published.stored(NAME) if entry["row"] in shown and entry["weat"]]
    if not entries:
        return published.nothing(NAME)
    tests = list(entries[0]["weat"])
    lines = [
        ["untouched model" if one["row"] == "before" else text(one["row"]), *(f"{one['weat'][t]:.2f}" for t in tests)]
        for one in entries
    ]
    return table(("arm", *tests), lines)


def targets(_: str) -> str:
    """What was aimed at, and what came out."""
    found = row("summary")
    if found is None:
        return published.nothing(NAME)
    groups = of_groups(found)
    lines = []
    for name in ("crawd", OURS):
        if name in groups:
            place, verdict = _place(groups[name]["curve"])
            verdict = "met" if verdict == "below" else "**missed**"
            lines.append((f"`{name}` below the word list's curve", place, verdict))
    timed = row("step")
    if timed is not None:
        met = "met" if timed["ratio"] <= 1.15 else "**missed**"
        lines.append(("a training step at most 1.15 of a plain one", f"{timed['ratio']:.2f}", met))
    return table(("aim", "measured", ""), lines)


def row(name: str) -> Entry | None:
    """A stored row by its name."""
    return next((one for one in published.stored(NAME) if one["row"] == name), None)


def of_groups(found: Entry) -> dict[str, Entry]:
    """The summary by arm: the paper's method and what stands beside it, ours and what stands beside it, the list."""
    groups = {name: of for name, of in found.items() if name not in ("row", "machine")}
    return dict(sorted(groups.items(), key=lambda one: _rank(one[0])))


def number(of: Sequence[Entry], name: str) -> Entry:
    """One number of an arm."""
    return next(one for one in of if one["name"] == name)


def _rank(name: str) -> int:
    return KINDS.index(name) if name in KINDS else 10 + name.startswith("word list")


def _place(of: Entry) -> tuple[str, str]:
    """Perplexity on listed words over that of the curve, and in words on which side."""
    if of["value"] is None:
        return "no point of the curve has this GAS", "not comparable"
    if of["low"] is None or of["high"] is None:
        return f"{_signed(100 * (exp(of['value']) - 1), 1)} %", "undecided"
    ends = [100 * (exp(of[key]) - 1) for key in ("value", "low", "high")]
    shown = [f"{_signed(end, 1)} %" for end in ends]
    verdict = "below" if of["high"] < 0 else "above" if of["low"] > 0 else "undecided"
    return f"{shown[0]} ({shown[1]} to {shown[2]})", verdict


def _cell(one: Entry, digits: int) -> str:
    """After, and the change with its interval."""
    return f"{_plain(one['after'], digits)}<br>{_ranged(one, 'change', digits)}"


def _ranged(one: Entry, key: str, digits: int) -> str:
    if one[key] is None:
        return "no number"
    if one["low"] is None or one["high"] is None:
        return _signed(one[key], digits)
    return f"{_signed(one[key], digits)} ({_signed(one['low'], digits)} to {_signed(one['high'], digits)})"


def _value(entry: Entry, name: str) -> float | None:
    return entry["numbers"][name]["value"] if name in entry["numbers"] else None


def _seconds(entry: Entry) -> str:
    return f"{entry['seconds_fit']:.0f}" if "seconds_fit" in entry else ""


def _plain(value: float | None, digits: int) -> str:
    return "no number" if value is None else numbers.number(value, digits)


def _signed(value: float | None, digits: int) -> str:
    return "?" if value is None else f"{value:+,.{digits}f}".replace("-", numbers.MINUS)
