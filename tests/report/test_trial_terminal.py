"""Trials, sites and comparisons on a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from evenhand.core.trial import Verdict
from evenhand.report import compare_terminal, comparison, sites_terminal, trial_terminal
from evenhand.report.verdicts import VERDICTS

from . import trials
from .corpus import ATTACKS

FOLDER = Path("trials/smollm2-leace")


def printed(write: Callable[[Console], None], width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    write(Console(file=file, width=width))
    return raw.getvalue().decode(encoding)


def of_trial(console: Console) -> None:
    trial_terminal.render(trials.trial(), console, FOLDER)


def of_seeds(console: Console) -> None:
    trial_terminal.render(trials.seeds(Verdict.IMPROVED, Verdict.NO_EFFECT), console, FOLDER)


def of_heads(console: Console) -> None:
    sites_terminal.render(trials.heads(), console)


def of_layers(console: Console) -> None:
    sites_terminal.render(trials.layers(), console)


def of_two(console: Console) -> None:
    several = trials.seeds(Verdict.IMPROVED, Verdict.NO_EFFECT)
    compare_terminal.render(comparison.of([(Path("a"), trials.trial()), (Path("b"), several)]), console)


ALL = [of_trial, of_seeds, of_heads, of_layers, of_two]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("write", ALL)
def test_no_line_is_wider_than_the_console(write: Callable[[Console], None], width: int) -> None:
    assert max(map(cell_len, printed(write, width).splitlines())) <= width


@pytest.mark.parametrize("write", ALL)
def test_a_console_without_unicode_gets_ascii_only(write: Callable[[Console], None]) -> None:
    assert printed(write, encoding="ascii").isascii()


@pytest.mark.parametrize("verdict", Verdict)
def test_the_verdict_comes_first_in_plain_words(verdict: Verdict) -> None:
    text = printed(lambda console: trial_terminal.render(trials.trial(verdict), console, FOLDER))
    assert text.splitlines()[1] == f"leace on smollm2: {VERDICTS[verdict].title.lower()}"
    assert VERDICTS[verdict].means in " ".join(text.split())


def test_each_arm_has_value_change_interval_and_a_bar() -> None:
    lines = printed(of_trial).splitlines()
    (row,) = [line for line in lines if line.startswith("leace   ") and "−6.9 to −2.7" in line]
    assert row.split()[:3] == ["leace", "57.3", "−4.8"]
    assert set("┃├●┤") <= set(row)


def test_guards_costs_categories_and_use_are_shown() -> None:
    text = " ".join(printed(of_trial).split())
    assert "Perplexity +0.31 +0.11 to +0.51 +1.20 passed" in text
    assert "leace 74 s 1,153 no" in text
    assert "race-color: +9.1 (+4.1 to +14.1), further" in text
    assert "evenhand audit smollm2 --with trials/smollm2-leace/patch" in text


def test_a_missing_sham_and_each_seed_are_said() -> None:
    text = " ".join(printed(of_seeds).split())
    assert "No sham was measured" in text
    assert "seed 0: improved. as seed 0 has it." in text
    assert "seed 1: no effect. as seed 1 has it." in text


def test_found_heads_are_starred_on_the_map_and_listed() -> None:
    text = printed(of_heads)
    assert text.count("*") == 3
    assert text.index("L5.heads.3") < text.index("L2.heads.1")


def test_nothing_found_is_said_and_the_largest_are_still_shown() -> None:
    text = " ".join(printed(lambda console: sites_terminal.render(trials.heads(found=()), console)).split())
    assert "Nothing was found: none of 81 sites" in text
    assert "The largest values, none of them beyond chance" in text


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_no_text_of_a_trial_or_site_steers_the_terminal(attack: str) -> None:
    base = trials.trial()
    arms = tuple(arm.model_copy(update={"name": f"{attack}{n}"}) for n, arm in enumerate(base.arms))
    names = {old.name: new.name for old, new in zip(base.arms, arms, strict=True)}
    outcomes = tuple(one.model_copy(update={"arm": names[one.arm]}) for one in base.outcomes)
    said = {"method": attack, "notes": (f"[bold]{attack}[/bold]",), "arms": arms, "outcomes": outcomes}
    text = printed(lambda console: trial_terminal.render(base.model_copy(update=said), console, Path("out")), 200)
    sites = trials.sites(trials.heads().scores, notes=(f"[bold]{attack}[/bold]",), locator=attack, unit=attack)
    text += printed(lambda console: sites_terminal.render(sites, console), 200)
    assert not set(text) & {"\x1b", "\x00", "\x07", "\r", "\x9b", "\u202e"}
    assert text.count("[bold]") == 2
