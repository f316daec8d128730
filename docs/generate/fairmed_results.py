"""What was measured of FairMed and its causal variant: tables from docs/results/fairmed.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cards import table, text

from evenhand.core.trial import Verdict
from evenhand.report import numbers
from evenhand.report.verdicts import VERDICTS

STORED = Path(__file__).parents[2] / "docs" / "results" / "fairmed.json"
NOTHING = (
    "!!! note\n    Nothing is stored yet. `python benchmarks/fairmed.py` measures, and with `--publish` it writes what "
    "this page shows."
)
WHOLE = (
    ("emission.emission_kl", 3),
    ("emission.emission_kl_offset_free", 3),
    ("perplexity.perplexity", 2),
    ("stereoset.ss", 1),
    ("stereoset.lms", 1),
    ("crows_pairs.stereotype_rate", 1),
    ("gas.gas", 3),
    ("gas.gld", 3),
    ("arc.accuracy_norm", 1),
)
"""Numbers of the tables, with decimals."""
KL, PERPLEXITY = "emission.emission_kl", "perplexity.perplexity"
F1, LOWER, DEARER = 0.70, -50.0, 2.0
"""The targets: macro-F1 in three layers, change of KL in per cent, change of perplexity in per cent."""

Entry = Mapping[str, Any]


def targets(_: str) -> str:
    """What was asked for before anything was measured, and what came out."""
    entries = {entry["row"]: entry for entry in stored()}
    if not entries:
        return NOTHING
    rows = [*_f1(entries.get("probers"))]
    for method in ("fairmed_causal", "fairmed"):
        for name, entry in entries.items():
            if name.startswith(f"{method}, "):
                rows += _asked(name, entry, wanted=method == "fairmed_causal")
    return table(("asked", "of", "found", "met"), rows)


def _f1(entry: Entry | None) -> list[tuple[str, ...]]:
    """The weakest of the three chosen layers with each seed."""
    if entry is None:
        return []
    rows = []
    for attribute, of in _attributes(entry):
        least = [min(seed["test of chosen"]) for seed in of["seeds"]]
        shown = ", ".join(f"{value:.2f}" for value in least)
        rows.append((f"macro-F1 at least {F1:.2f} in three layers", attribute, shown, _met(min(least) >= F1)))
    return rows


def _asked(name: str, entry: Entry, *, wanted: bool) -> list[tuple[str, ...]]:
    """KL and perplexity of the method's arms, beyond its shams, and beside the rival."""
    of = text(name)
    ours = [arm for arm in entry["arms"] if arm["role"] == "method"]
    fell, cost = ([_percent(_whole(arm, number)) for arm in ours] for number in (KL, PERPLEXITY))
    kept = _met(max(fell) <= LOWER) if wanted else "no target"
    rows = [
        (f"KL from uniform at least {LOWER:.0f} %".replace("-", numbers.MINUS), of, _each(fell), kept),
        (
            f"perplexity at most {DEARER:+.0f} %",
            of,
            _each(cost),
            _met(max(cost) <= DEARER) if wanted else "no target",
        ),
    ]
    beyond = entry["primary"][0]["beyond"]
    if beyond is not None and beyond[0] is not None:
        found = f"{beyond[0]:+.3f} ({beyond[1]:+.3f} to {beyond[2]:+.3f}) nats".replace("-", numbers.MINUS)
        rows.append(("nearer to uniform than the shams", of, found, _met(beyond[2] < 0)))
    if name.endswith(", final"):  # one concept of each attribute: only their phrases can be resampled
        shown = [entry["attributes"][arm["name"]]["all"]["phrases"] for arm in ours]
        found = "; ".join(f"{one['change']:+.3f} {_interval(one, 3)}".replace("-", numbers.MINUS) for one in shown)
        lower = _met(max(one["high"] for one in shown) < 0)
        rows.append(("nearer to uniform, over the phrases of its four concepts (nats)", of, found, lower))
    rival = next((arm for arm in entry["arms"] if arm["role"] == "rival"), None)
    if rival is not None:
        other = _percent(_whole(rival, KL))
        found = f"{_each(fell)} against {_each([other])}"
        rows.append(("nearer to uniform than one constant per group", of, found, _met(max(fell) < other)))
    return rows


def probers(_: str) -> str:
    """Macro-F1 of probers on new concepts."""
    found = next((one for one in stored() if one["row"] == "probers"), None)
    if found is None:
        return NOTHING
    rows = []
    for attribute, of in _attributes(found):
        for number, seed in enumerate(of["seeds"]):
            within = [f"{layer}: {seed['within'][layer]:.2f}" for layer in seed["chosen"]]
            test = [f"{layer}: {seed['test'][layer]:.2f}" for layer in seed["chosen"]]
            rows.append((attribute, str(number), ", ".join(within), ", ".join(test), f"{of['majority']:.2f}"))
    heads = ("attribute", "seed", "chosen layers: F1 within fit", "the same layers: F1 on test", "always one group")
    return table(heads, rows)


def trials(_: str) -> str:
    """A section for each trial: what the arms changed, by number and by attribute."""
    entries = [one for one in stored() if one["row"] != "probers"]
    return "\n\n".join(part for entry in entries for part in _section(entry)) if entries else NOTHING


def stored() -> list[Entry]:
    """The published results; none if there is no file."""
    return json.loads(STORED.read_text("utf-8")) if STORED.exists() else []


def _section(entry: Entry) -> list[str]:
    """One trial."""
    verdict = VERDICTS[Verdict(entry["verdict"])].title
    parts = [f"### {entry['row']}", f"**{verdict}.** {text(entry['why'])}", _arms(entry["arms"])]
    if "attributes" in entry:
        parts += ["Emission of each attribute, KL from uniform (nats):", _by_attribute(entry["attributes"])]
    parts += ["Emission of each concept:", _by_concept(entry["arms"])]
    if "others" in entry:
        parts += ["Attributes that were not targeted:", _by_attribute({"the method": entry["others"]})]
    guards = " ".join(f"Guard `{one['rule']}` ({text(one['arm'])}): {one['state']}." for one in entry["guards"])
    return [*parts, guards] if guards else parts


def _arms(arms: Sequence[Entry]) -> str:
    """One row per number, the arms side by side."""
    rows = []
    for name, digits in WHOLE:
        held = [next((n for n in arm["numbers"] if n["name"] == name and not n["by"]), None) for arm in arms]
        if any(held):
            rows.append([f"`{name}`", *(_cell(one, digits) for one in held)])
    rows.append(["seconds to fit", *(f"{arm['seconds_fit']:.0f}" for arm in arms)])
    return table(("number", *(text(arm["name"]) for arm in arms)), rows)


def _by_attribute(arms: Mapping[str, Any]) -> str:
    """The interval over concepts where there is one, and that over the phrases that name them."""
    names = [name for name in next(iter(arms.values())) if name != "all"]
    rows = []
    for name in names:
        cells = []
        for of in arms.values():
            one, phrases = of[name]["concepts"], of[name]["phrases"]
            within = _interval(phrases, 3)
            cells.append(_cell(one, 3) + (f"<br>over phrases {within}" if within else ""))
        rows.append([name, *cells])
    return table(("attribute", *map(text, arms)), rows)


def _by_concept(arms: Sequence[Entry]) -> str:
    found = [n["by"] for n in arms[0]["numbers"] if n["name"] == KL and list(n["by"]) == ["concept"]]
    rows = []
    for by in found:
        held = [next((n for n in arm["numbers"] if n["name"] == KL and n["by"] == by), None) for arm in arms]
        first = next(filter(None, held))
        after = [f"{one['after']:.3f}" if one is not None and one["after"] is not None else "" for one in held]
        rows.append([text(by["concept"]), f"{first['before']:.3f}", *after])
    return table(("concept", "before", *(text(arm["name"]) for arm in arms)), rows)


def _attributes(entry: Entry) -> list[tuple[str, Entry]]:
    return [(name, of) for name, of in entry.items() if isinstance(of, dict) and "seeds" in of]


def _whole(arm: Entry, name: str) -> Entry:
    found: Entry = next(one for one in arm["numbers"] if one["name"] == name and not one["by"])
    return found


def _percent(one: Entry) -> float:
    return 100 * (float(one["after"]) / float(one["before"]) - 1)


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.1f} %" for value in values).replace("-", numbers.MINUS)


def _met(so: bool) -> str:
    return "yes" if so else "**no**"


def _cell(one: Entry | None, digits: int) -> str:
    """Before, after, and the change with its interval."""
    if one is None or one["after"] is None or one["change"] is None:
        return ""
    change = f"{one['change']:+.{digits}f}".replace("-", numbers.MINUS)
    within = _interval(one, digits)
    return f"{one['before']:.{digits}f} to {one['after']:.{digits}f}<br>{change}{f' {within}' if within else ''}"


def _interval(one: Entry, digits: int) -> str:
    if one["low"] is None or one["high"] is None:
        return ""
    return f"({one['low']:+.{digits}f} to {one['high']:+.{digits}f})".replace("-", numbers.MINUS)
