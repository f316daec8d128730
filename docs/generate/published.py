"""Trials that were measured and published: tables from docs/results/NAME.json, which benchmarks/NAME.py writes."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cards import table, text

from evenhand.core import registry
from evenhand.core.trial import Verdict
from evenhand.report import numbers, words
from evenhand.report.verdicts import VERDICTS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"

Entry = Mapping[str, Any]
"""A trial as `benchmarks/methods.py` condenses it."""


def trials(name: str) -> str:
    """Where the results come from, and the table of all trials."""
    entries = stored(name)
    if not entries:
        return nothing(name)
    rows = {entry["row"] for entry in entries}
    missing = [f"`{row}`" for row in constant(name, "ROWS") if row not in rows]
    left = [f"Not measured yet: {', '.join(missing)}."] if missing else []
    return "\n\n".join([_origin(entries), *left, _overview(entries, columns(name))])


def each_trial(name: str) -> str:
    """A section for each trial: verdict, arms, guards, cost."""
    return "\n\n".join(part for entry in stored(name) for part in _section(entry, columns(name)))


def nothing(name: str) -> str:
    """What stands where nothing is stored."""
    return (
        f"!!! note\n    Nothing is stored yet. `python benchmarks/{name}.py` measures, and with `--publish` it writes "
        "what this page shows."
    )


def stored(name: str) -> list[Entry]:
    """The published results; none if there is no file."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else []


def columns(name: str) -> tuple[str, ...]:
    """The numbers that the script wants shown."""
    return constant(name, "SHOWN")


def constant(name: str, constant: str) -> tuple[str, ...]:
    """A list of names in the script, read from its source: importing it would load torch."""
    script = ROOT / "benchmarks" / f"{name}.py"
    for node in ast.parse(script.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [constant]:
            return tuple(ast.literal_eval(node.value))
    raise LookupError(f"{script.name} has no {constant}")


def cell(one: Mapping[str, Any] | None, number: str) -> str:
    """A number after, its change with the interval, and which way it went if the interval leaves out 0."""
    if one is None:
        return ""
    if one["after"] is None or one["change"] is None:
        return "no number"
    digits = _digits(one, number)
    change = _ranged(one["change"], one["low"], one["high"], digits)
    lines = [numbers.number(one["after"], digits), change, direction(one)]
    return "<br>".join(filter(None, lines))


def direction(one: Mapping[str, Any]) -> str:
    """Nearer to the ideal, farther from it, or up and down where there is none; "" if the interval holds 0."""
    low, high, ideal = one["low"], one["high"], one["ideal"]
    if low is None or high is None or low <= 0 <= high:
        return ""
    if ideal is None:
        return "**up**" if one["change"] > 0 else "**down**"
    before, after = one["before"] - ideal, one["after"] - ideal
    nearer = "**nearer**" if abs(after) < abs(before) else "**farther**"
    return f"{nearer}, other side" if before * after < 0 else nearer


def _origin(entries: Sequence[Entry]) -> str:
    """Model, items, time and machine, as stored."""
    models = dict.fromkeys(
        f"{entry['model']} in {entry['dtype']} (weights {entry['weights'][:12]})" for entry in entries
    )
    tested = {name: count for entry in entries for name, count in entry["tested_on"].items()}
    listed = ", ".join(f"{words.benchmark(name).title} ({numbers.count(n)})" for name, n in tested.items())
    days = sorted({entry["created"][:10] for entry in entries})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    machines = dict.fromkeys(f"{one['processor']}, {one['cores']} cores" for one in (e["machine"] for e in entries))
    return text(f"Model: {', '.join(models)}. Items tested: {listed}. Measured {when} on {'; '.join(machines)}.")


def _overview(entries: Sequence[Entry], shown: Sequence[str]) -> str:
    """One row per method, the untouched model first."""
    heads = ["method", "fitted on", "verdict", *(_head(entries, number) for number in shown)]
    rows = [["untouched model", "", "", *(_untouched(entries, number) for number in shown)]]
    for entry in entries:
        held = _arm(entry)["numbers"]
        name = f"[`{entry['row']}`](#{_anchor(entry)})"
        fitted = text(entry["fitted_on"]) or "nothing"
        rows.append([name, fitted, _verdict(entry), *(cell(held.get(number), number) for number in shown)])
    return table(heads, rows)


def _section(entry: Entry, shown: Sequence[str]) -> list[str]:
    """One method."""
    shams = any(arm["role"] == "sham" for arm in entry["arms"])
    return [
        f"### `{entry['row']}` {{ #{_anchor(entry)} }}",
        f"{text(entry['title'])} [Its page](mitigations/{entry['method']}.md) has source and formula.",
        f"**{_verdict(entry)}.** {text(entry['why'])}",
        f"Fitted on: {text(entry['fitted_on']) or 'nothing'}. {_settings(entry)}"
        + ("" if shams else " It has no sham, so nothing can show that it does more than one."),
        _arms(entry, list(dict.fromkeys([*entry["primary"], *shown])), shams=shams),
        _cost(entry["arms"]),
        _guards(entry["guards"]),
        _asked(entry.get("asked", {})),
    ]


def _arms(entry: Entry, wanted: Sequence[str], *, shams: bool) -> str:
    """One row per number, the arms side by side."""
    heads = ["number", *(text(arm["name"]) for arm in entry["arms"]), *(["beyond the shams"] if shams else [])]
    rows = []
    for number in wanted:
        held = [arm["numbers"].get(number) for arm in entry["arms"]]
        if any(held):
            name = _name(number, next(filter(None, held))["unit"])
            row = [name + (" (primary)" if number in entry["primary"] else ""), *(cell(one, number) for one in held)]
            rows.append(row + ([_beyond(_arm(entry)["numbers"].get(number), number)] if shams else []))
    return table(heads, rows)


def _cost(arms: Sequence[Entry]) -> str:
    rows = [
        (
            text(arm["name"]),
            f"{arm['seconds_fit']:.1f}",
            f"{arm['seconds_measured']:.0f}",
            numbers.count(arm["tensors"]),
            "yes" if arm["mergeable"] else "no",
        )
        for arm in arms
    ]
    return table(("arm", "seconds to fit", "seconds to measure", "numbers held", "can become weights"), rows)


def _guards(guards: Sequence[Entry]) -> str:
    if not guards:
        return "No guard was set."
    return table(("guard", "state", "why"), [(f"`{g['rule']}`", g["state"], text(g["reason"])) for g in guards])


def _asked(held: Mapping[str, bool]) -> str:
    return (
        table(
            ("what was asked of it", ""), [(text(what), "met" if met else "**missed**") for what, met in held.items()]
        )
        if held
        else ""
    )


def _anchor(entry: Entry) -> str:
    return "-".join(entry["row"].replace(",", "").split())


def _settings(entry: Entry) -> str:
    """The settings that are no defaults."""
    fields = registry.get(registry.kind_of(entry["method"]), entry["method"]).model_fields
    usual = {key: json.dumps(field.default) for key, field in fields.items() if not field.is_required()}
    given = {key: json.dumps(value) for key, value in entry["settings"].items()}
    other = [f"`{key} = {value}`" for key, value in given.items() if value != usual.get(key)]
    return f"Settings that are no defaults: {', '.join(other)}." if other else "Settings: the defaults."


def _beyond(one: Mapping[str, Any] | None, number: str) -> str:
    """Effect on the distance from the ideal minus the mean effect of the shams."""
    if one is None or one["beyond"] is None or one["beyond"][0] is None:
        return ""
    value, low, high = one["beyond"]
    return _ranged(value, low, high, _digits(one, number))


def _head(entries: Sequence[Entry], number: str) -> str:
    units = [arm["numbers"][number]["unit"] for entry in entries for arm in entry["arms"] if number in arm["numbers"]]
    unit = units[0] if units else ""
    return f"[{_name(number, unit)}](metrics.md#{number.partition('.')[2]})" + (f" ({unit})" if unit else "")


def _untouched(entries: Sequence[Entry], number: str) -> str:
    """The value before, and the ideal; several values if the rows do not agree."""
    found = [held for entry in entries if (held := _arm(entry)["numbers"].get(number)) is not None]
    if not found:
        return ""
    shown = dict.fromkeys(
        "no number" if one["before"] is None else numbers.number(one["before"], _digits(one, number)) for one in found
    )
    ideal = found[0]["ideal"]
    return " or ".join(shown) + f"<br>ideal: {'none' if ideal is None else numbers.short(ideal)}"


def _arm(entry: Entry) -> Entry:
    """The method itself."""
    found: Entry = next(arm for arm in entry["arms"] if arm["role"] == "method")
    return found


def _verdict(entry: Entry) -> str:
    return VERDICTS[Verdict(entry["verdict"])].title


def _name(number: str, unit: str) -> str:
    benchmark, _, metric = number.partition(".")
    return text(words.number(benchmark, metric, unit))


def _digits(one: Mapping[str, Any], number: str) -> int:
    return words.metric(number.partition(".")[2], one["unit"]).digits


def _ranged(value: float, low: float | None, high: float | None, digits: int) -> str:
    """A change with its interval; one decimal more where one of them would be written as 0."""
    found = [value] if low is None or high is None else [value, low, high]
    if any(one != 0 and round(one, digits) == 0 for one in found):
        digits += 1
    shown = [f"{one:+,.{digits}f}".replace("-", numbers.MINUS) for one in found]
    return shown[0] if len(shown) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"
