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

Entry = Mapping[str, Any]


def probers(_: str) -> str:
    """Macro-F1 of probers on new concepts."""
    found = next((one for one in stored() if one["row"] == "probers"), None)
    if found is None:
        return NOTHING
    rows = []
    for attribute, of in found.items():
        if attribute in ("row", "machine"):
            continue
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
    return [
        f"### {entry['row']}",
        f"**{verdict}.** {text(entry['why'])}",
        _arms(entry["arms"]),
        "Emission of each attribute, KL from uniform (nats):",
        _by_attribute(entry["arms"]),
        "Attributes that were not targeted:",
        table(
            ("attribute", "before", "after"),
            [(name, f"{of['before']:.3f}", f"{of['after']:.3f}") for name, of in entry["others"].items()],
        ),
        " ".join(f"Guard `{one['rule']}` ({one['arm']}): {one['state']}." for one in entry["guards"]),
    ]


def _arms(arms: Sequence[Entry]) -> str:
    """One row per number, the arms side by side."""
    rows = []
    for name, digits in WHOLE:
        held = [next((n for n in arm["numbers"] if n["name"] == name and not n["by"]), None) for arm in arms]
        if any(held):
            rows.append([f"`{name}`", *(_cell(one, digits) for one in held)])
    rows.append(["seconds to fit", *(f"{arm['seconds_fit']:.0f}" for arm in arms)])
    return table(("number", *(text(arm["name"]) for arm in arms)), rows)


def _by_attribute(arms: Sequence[Entry]) -> str:
    name = "emission.emission_kl"
    found = [n["by"] for n in arms[0]["numbers"] if n["name"] == name and list(n["by"]) == ["attribute"]]
    rows = []
    for by in found:
        held = [next((n for n in arm["numbers"] if n["name"] == name and n["by"] == by), None) for arm in arms]
        rows.append([by["attribute"], *(_cell(one, 3) for one in held)])
    return table(("attribute", *(text(arm["name"]) for arm in arms)), rows)


def _cell(one: Entry | None, digits: int) -> str:
    """Before, after, and the change with its interval."""
    if one is None or one["after"] is None or one["change"] is None:
        return ""
    change = f"{one['change']:+.{digits}f}".replace("-", numbers.MINUS)
    if one["low"] is not None and one["high"] is not None:
        ends = f"({one['low']:+.{digits}f} to {one['high']:+.{digits}f})".replace("-", numbers.MINUS)
        change = f"{change} {ends}"
    return f"{one['before']:.{digits}f} to {one['after']:.{digits}f}<br>{change}"
