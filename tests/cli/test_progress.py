"""Progress: bars on a terminal, lines elsewhere, nothing if quiet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from evenhand.cli._progress import Bars


@contextmanager
def shown(*, terminal: bool) -> Iterator[tuple[Bars, io.StringIO]]:
    text = io.StringIO()
    made = Bars(Console(file=text, force_terminal=terminal, width=80, color_system=None, legacy_windows=False))
    with made._shown:
        yield made, text


def drive(bars: Bars) -> None:
    bars.busy("loading m")
    bars.fetching(0, 2_000_000, "a wheel")
    bars.fetching(2_000_000, 2_000_000, "a wheel")
    bars.fetching(0, 0, "converting")
    bars.measuring("bbq", 0, 1000)
    bars.measuring("bbq", 500, 1000)
    bars.measuring("bbq", 1000, 1000)
    bars.busy("writing the report")


def test_elsewhere_than_on_a_terminal_there_is_a_line_for_each_finished_benchmark() -> None:
    with shown(terminal=False) as (bars, text):
        drive(bars)
    assert text.getvalue().split() == ["converting", "bbq:", "1,000", "tokens", "in", "0", "s"]


def test_on_a_terminal_there_are_bars_with_share_rate_and_time() -> None:
    with shown(terminal=True) as (bars, text):
        drive(bars)
        bars._idle()
    last = [line for line in text.getvalue().replace("\r", "\n").split("\n") if "bbq" in line][-1]
    assert "100 %" in last
    assert "tokens/s" in last
    assert "0:00:00" in last
    assert "MB/s" in text.getvalue()
    assert "1,000 tokens in" not in text.getvalue()


def test_what_takes_unknown_time_is_shown_only_until_something_else_is() -> None:
    with shown(terminal=True) as (bars, _):
        bars.busy("loading m")
        assert [task.description for task in bars._shown.tasks] == ["loading m"]
        bars.busy("reading")
        assert [task.description for task in bars._shown.tasks] == ["reading"]
        bars.measuring("bbq", 0, 10)
        assert [task.description for task in bars._shown.tasks] == ["bbq"]


def test_bars_stand_still_while_the_user_is_asked() -> None:
    with shown(terminal=True) as (bars, _):
        with bars.paused():
            assert not bars._shown.live.is_started
        assert bars._shown.live.is_started


def test_a_question_that_is_declined_leaves_the_bars_running() -> None:
    with shown(terminal=True) as (bars, _):
        with pytest.raises(KeyError), bars.paused():
            raise KeyError
        assert bars._shown.live.is_started


def test_a_fit_is_a_line_with_its_seconds_and_an_arm_is_measured_in_tokens() -> None:
    with shown(terminal=False) as (bars, text):
        bars.proving("fitting leace", 0, 1)
        bars.proving("fitting leace", 1, 1)
        bars.proving("leace: bbq", 0, 1000)
        bars.proving("leace: bbq", 1000, 1000)
    assert text.getvalue().splitlines() == ["fitting leace: 0 s", "leace: bbq: 1,000 tokens in 0 s"]
