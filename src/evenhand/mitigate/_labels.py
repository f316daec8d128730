"""Choices among labels: which forms of words are one label, how they are listed, and shares that move between them.

A list of options, and the label that the prompt names first where it lists them ("Yes or No"), make a kind of choice:
what a model likes anyway depends on both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from evenhand.core.items import Item
from evenhand.core.requests import Choose

Kind = tuple[tuple[str, ...], str]
"""The options of a request, and the label that its prompt lists first ("" where it lists none)."""


def labels(options: Sequence[str]) -> list[str]:
    """The label that each option is a form of: the option without spaces round it, in lower case."""
    return [option.strip().lower() for option in options]


def kind(request: Choose) -> Kind:
    """The kind of choice that a request asks for."""
    return request.options, first_listed(request.prompt, tuple(dict.fromkeys(labels(request.options))))


def choice(item: Item) -> Choose | None:
    """The item's first request, if that is a choice among different labels after a prompt."""
    request = item.requests[0] if item.requests else None
    if isinstance(request, Choose) and request.prompt.strip() and len(set(labels(request.options))) > 1:
        return request
    return None


@lru_cache(maxsize=4096)
def first_listed(prompt: str, named: tuple[str, ...]) -> str:
    """The first of the labels where a prompt lists all of them side by side, in any case ("No or Yes" -> "no")."""
    one = "|".join(re.escape(label) for label in sorted(named, key=len, reverse=True))
    listed = re.compile(rf"(?<!\w)(?:{one})(?:\W+(?:(?:or|and)\W+)?(?:{one})(?!\w))+", re.IGNORECASE)
    for run in listed.finditer(prompt):
        found: list[str] = [label.lower() for label in re.findall(rf"(?<!\w)(?:{one})(?!\w)", run[0], re.IGNORECASE)]
        if set(found) == set(named):
            return found[0]
    return ""


def shares(totals: Sequence[float], named: Sequence[str]) -> dict[str, float]:
    """Probability of each label among the labels, each summed over its forms, from log-probabilities (nats)."""
    highest = max(totals)
    sums = dict.fromkeys(named, 0.0)
    for total, label in zip(totals, named, strict=True):
        sums[label] += math.exp(total - highest)
    whole = math.fsum(sums.values())
    return {label: value / whole for label, value in sums.items()}


def moved(totals: Sequence[float], named: Sequence[str], added: dict[str, float]) -> tuple[float, ...]:
    """Nats added to every form of a label; afterwards the options have as much probability together as before."""
    made = [total + added[label] for total, label in zip(totals, named, strict=True)]
    back = _log_sum(totals) - _log_sum(made)
    return tuple(value + back for value in made)


def _log_sum(logs: Sequence[float]) -> float:
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(log - highest) for log in logs))
