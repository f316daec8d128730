"""What was measured of KLAAD and its balanced variant: tables from docs/results/klaad.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cards import table, text

from evenhand.report import numbers

STORED = Path(__file__).parents[2] / "docs" / "results" / "klaad.json"
NOTHING = (
    "!!! note\n    Nothing is stored yet. `python benchmarks/klaad.py` measures, and with `--publish` it writes what "
    "this page shows."
)
COLUMNS = (
    ("stereoset.ss", "SS", 1),
    ("stereoset.lms", "LMS", 1),
    ("stereoset.icat", "ICAT", 1),
    ("crows_pairs.stereotype_rate", "CrowS-Pairs", 1),
    ("perplexity.perplexity", "perplexity", 2),
)
"""Numbers of the tables, their heads and decimals."""
OURS = "klaad_balanced"
STRONGEST = "attention x 1000"

Entry = Mapping[str, Any]


def variants(_: str) -> str:
    """One row for each variant, the untouched model first."""
    found = row("summary")
    if found is None:
        return NOTHING
    kept = of_variants(found)
    first = next(iter(kept.values()))
    untouched = [f"{one['before']:.{digits}f}" for name, _, digits in COLUMNS if (one := whole(first, name))]
    lines = [["untouched model", "", *untouched, ""]]
    for variant, of in kept.items():
        held = [cell(whole(of, name), digits) for name, _, digits in COLUMNS]
        lines.append([text(variant), str(of["seeds"]), *held, attention(variant)])
    heads = ("variant", "seeds", *(head for _, head, _ in COLUMNS), "difference in attention")
    return table(heads, lines)


def beyond(_: str) -> str:
    """How much nearer to the ideal than sham and control."""
    found = row("summary")
    if found is None:
        return NOTHING
    lines = [
        [
            f"{text(variant)} beyond {text(other)}",
            *(ranged(one, digits) for one, (*_, digits) in zip(of, COLUMNS, strict=True)),
        ]
        for variant, held in of_variants(found).items()
        for other, of in held["beyond"].items()
    ]
    return table(("difference", *(head for _, head, _ in COLUMNS)), lines)


def categories(_: str) -> str:
    """CrowS-Pairs and StereoSet by category, for the published loss and the balanced variant."""
    found = row("summary")
    if found is None:
        return NOTHING
    kept = {
        name: of
        for name, of in of_variants(found).items()
        if name in ("klaad", "cross_entropy", "cross_entropy, two passes", OURS)
    }
    every = row("crows_pairs") or {}
    held_of = {name: [*every.get(name, {"numbers": []})["numbers"], *of["numbers"]] for name, of in kept.items()}
    slices = {(one["name"], *one["by"].values()): one["by"] for one in next(iter(held_of.values())) if one["by"]}
    lines = []
    for (name, *_), by in slices.items():
        held = [next(n for n in of if n["name"] == name and n["by"] == by) for of in held_of.values()]
        head = "SS" if name.endswith(".ss") else "CrowS-Pairs"
        (category,) = by.values()
        lines.append([f"{head}: {text(category)}", f"{held[0]['before']:.1f}", *(cell(one, 1) for one in held)])
    return table(("category", "untouched", *map(text, kept)), lines)


def all_terms(_: str) -> str:
    """StereoSet on the fold 'final', and on both folds together."""
    found = row("final")
    if found is None:
        return NOTHING
    lines = []
    for variant, of in of_variants(found).items():
        for fold in ("final", "test and final"):
            held = of[fold]
            counted = f"{fold} ({held[0]['clusters']} terms)"
            lines.append([text(variant), str(of["seeds"]), counted, *(moved(one) for one in held)])
    return table(("variant", "seeds", "folds", *(head for _, head, _ in COLUMNS[:3])), lines)


def choices(_: str) -> str:
    """The settings that were tried on the fold 'choose'."""
    found = [one for one in stored() if one["row"].startswith("choose: ")]
    if not found:
        return NOTHING
    names = [(name, head, digits) for name, head, digits in COLUMNS if name in found[0]["numbers"]]
    first = found[0]["numbers"]
    lines = [["untouched model", *(f"{first[name][0]:.{digits}f}" for name, _, digits in names), ""]]
    for one in found:
        held = [f"{one['numbers'][name][1]:.{digits}f}" for name, _, digits in names]
        lines.append([text(one["row"].removeprefix("choose: ")), *held, f"{one['seconds_fit']:.0f}"])
    return table(("settings", *(head for _, head, _ in names), "seconds to fit"), lines)


def targets(_: str) -> str:
    """What was aimed at before anything was measured, and what came out."""
    found = row("summary")
    if found is None or OURS not in found:
        return NOTHING
    of = found[OURS]
    ss, lms, icat, crows, perplexity = (whole(of, name) for name, *_ in COLUMNS)
    pairs = of["numbers"]
    every = row("crows_pairs")
    if every is not None:
        pairs = every[OURS]["numbers"]
        crows = whole(every[OURS], COLUMNS[3][0])
    worse = [one for one in pairs if one["by"] and one["name"].startswith("crows") and further(one)]
    both = (row("final") or {}).get(OURS)
    terms = both["test and final"][0]["clusters"] if both else ss["clusters"]
    rise = 100 * (perplexity["after"] / perplexity["before"] - 1)
    lines = [
        ("SS at most 57", f"{ss['after']:.1f}", met(ss["after"] <= 57)),
        ("ICAT at least 75", f"{icat['after']:.1f}", met(icat["after"] >= 75)),
        ("LMS at most 1.5 below the untouched model", f"{lms['change']:+.1f}", met(lms["change"] >= -1.5)),
        ("CrowS-Pairs at most 53", f"{crows['after']:.1f}", met(crows["after"] <= 53)),
        ("no category of CrowS-Pairs further from 50", f"{len(worse)} further", met(not worse)),
        ("perplexity at most 10 % higher", f"{rise:+.1f} %", met(rise <= 10)),
        ("at least 60 target terms tested, over two folds", f"{terms}", met(terms >= 60)),
    ]
    strongest = share(STRONGEST)
    if strongest is not None:
        told = f"{strongest:+.0f} %"
        lines.append((f"difference in attention at least 85 % smaller ({STRONGEST})", told, met(strongest <= -85)))
    minus = [(aim, value.replace("-", numbers.MINUS), verdict) for aim, value, verdict in lines]
    return table(("aim", "mean of the seeds", ""), minus)


def row(name: str) -> Entry | None:
    """A stored row by its name."""
    return next((one for one in stored() if one["row"] == name), None)


def stored() -> list[Entry]:
    """The published results; none if there is no file."""
    return json.loads(STORED.read_text("utf-8")) if STORED.exists() else []


def of_variants(found: Entry) -> dict[str, Entry]:
    """A row's results by variant."""
    return {name: of for name, of in found.items() if name not in ("row", "machine")}


def whole(of: Entry, name: str) -> Entry:
    """A number that is not by category."""
    one: Entry = next(one for one in of["numbers"] if one["name"] == name and not one["by"])
    return one


def share(variant: str) -> float | None:
    """Change of the difference in attention over seeds, in per cent of the untouched model's."""
    found = [one["attention"] for one in stored() if one["row"].startswith(f"{variant}, seed ")]
    if not found:
        return None
    return 100 * (sum(one["after"] / one["before"] for one in found) / len(found) - 1)


def attention(variant: str) -> str:
    """The same as a cell."""
    found = share(variant)
    return "" if found is None else f"{found:+.0f} %".replace("-", numbers.MINUS)


def further(one: Entry) -> bool:
    """Whether a rate is further from 50 than before."""
    return abs(one["after"] - 50) > abs(one["before"] - 50) + 1e-9


def met(yes: bool) -> str:
    """In words."""
    return "met" if yes else "**missed**"


def cell(one: Entry, digits: int) -> str:
    """After, and the change with its interval."""
    return f"{one['after']:.{digits}f}<br>{ranged({**one, 'value': one['change']}, digits)}"


def moved(one: Entry) -> str:
    """Before, after, and the change with its interval."""
    return f"{one['before']:.1f} to {cell(one, 1)}"


def ranged(one: Entry, digits: int) -> str:
    """A value with its interval, where it has one."""
    ends = [] if one["low"] is None or one["high"] is None else [one["low"], one["high"]]
    shown = [f"{value:+.{digits}f}".replace("-", numbers.MINUS) for value in (one["value"], *ends)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if ends else shown[0]
