"""The most telling items: those that the model is surest about, in both directions.

Which items they are follows from the names of their values, not from the benchmark: `difference` (log-ratio of the
stereotypical to the other text) and `margin` (log-ratio of the stereotyped to the other person's answer).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from evenhand.core.record import ItemRow
from evenhand.report import numbers, words
from evenhand.report.visible import one_line

SHOWN = 4
"""Items per direction."""

_PAIR = ("stereotype", "anti-stereotype")


@dataclass(frozen=True, slots=True)
class Line:
    """One text of an item: its label, and its words in runs that are marked where they differ from the other text."""

    label: str
    runs: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One item as it is shown."""

    id: str
    origin: str
    groups: str
    measure: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Items that lean the same way, the surest first."""

    title: str
    items: tuple[Shown, ...]


def groups(benchmark: str, items: Iterable[ItemRow]) -> tuple[Group, ...]:
    """The most telling items of one benchmark, at most one per cluster; empty if no item has a value to go by."""
    scored = [item for item in items if item.status == "scored" and item.texts]
    pairs = [item for item in scored if _value(item, "difference") and all(label in item.texts for label in _PAIR)]
    ambiguous = [item for item in scored if _value(item, "margin") and _value(item, "ambiguous") == 1]
    stereotyped = [item for item in ambiguous if _value(item, "biased") == 1]
    other = [item for item in ambiguous if _value(item, "biased") == 0 and _value(item, "unknown") == 0]
    unit = words.benchmark(benchmark).unit
    found = (
        Group("Strongest towards the stereotype", _surest(pairs, "difference", 1, unit)),
        Group("Strongest against the stereotype", _surest(pairs, "difference", -1, unit)),
        Group(
            "Surest stereotyped answers, in contexts that do not hold the answer",
            _surest(stereotyped, "margin", 1, unit),
        ),
        Group("Surest answers against the stereotype, in the same kind of context", _surest(other, "margin", -1, unit)),
    )
    return tuple(group for group in found if group.items)


def _value(item: ItemRow, name: str) -> float | None:
    return item.values.get(name)


def _surest(items: Sequence[ItemRow], name: str, sign: int, unit: str) -> tuple[Shown, ...]:
    """The items whose value has this sign and the largest size, one per cluster; ties by id."""
    ranked = sorted((-sign * (_value(item, name) or 0.0), item.id, i) for i, item in enumerate(items))
    best: dict[str, Shown] = {}
    for size, _, i in ranked:
        if size >= 0 or len(best) == SHOWN:
            break
        if items[i].cluster not in best:
            best[items[i].cluster] = _shown(items[i], -sign * size, unit)
    return tuple(best.values())


def _shown(item: ItemRow, value: float, unit: str) -> Shown:
    return Shown(
        id=one_line(item.id),
        origin=one_line(item.origin),
        groups=", ".join(
            f"{words.column(one_line(key))}: {one_line(text)}" for key, text in item.groups.items() if text
        ),
        measure=_measure(value, unit),
        lines=lines(item.texts, item.values),
    )


def _measure(value: float, unit: str) -> str:
    sign = "+" if value > 0 else ""
    text = f"log-ratio {sign}{numbers.number(value, 2)} {unit}"
    if unit != "nats":
        return text
    likelier = "stereotypical" if value > 0 else "other"
    return f"{text}: the {likelier} one is {numbers.times(value)} as likely"


def lines(texts: Mapping[str, str], values: Mapping[str, float | None]) -> tuple[Line, ...]:
    """The texts in the item's order; the two of a pair with their differences marked, listed answers on one line."""
    pair = [one_line(texts[label]) for label in _PAIR if label in texts]
    marked = dict(zip(_PAIR, differences(*pair), strict=True)) if len(pair) == 2 else {}
    found = [
        Line(one_line(label), marked.get(label, ((one_line(text), False),)))
        for label, text in texts.items()
        if text and label != "unrelated" and not _is_answer(label)
    ]
    answers = [_answer(label, text, values) for label, text in texts.items() if _is_answer(label)]
    if answers:
        place = next((i for i, line in enumerate(found) if line.label.endswith("answer")), len(found))
        found.insert(place, Line("answers", ((" / ".join(answers), False),)))
    return tuple(found)


def _answer(label: str, text: str, values: Mapping[str, float | None]) -> str:
    """One listed answer, with its probability where the item has it."""
    probability = values.get(f"p_{label.replace(' ', '_')}")
    return one_line(text) if probability is None else f"{one_line(text)} ({100 * probability:.0f} %)"


def _is_answer(label: str) -> bool:
    return label.removeprefix("answer ").isdigit()


def differences(first: str, second: str) -> tuple[tuple[tuple[str, bool], ...], tuple[tuple[str, bool], ...]]:
    """Both texts in runs of words; True marks the runs that the other text does not have."""
    left, right = first.split(), second.split()
    out: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for runs, text in ((out[0], left[a:b]), (out[1], right[c:d])):
            if text:
                runs.append((" ".join(text), kind != "equal"))
    return tuple(out[0]), tuple(out[1])
