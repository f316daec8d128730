"""`kill -9` and Ctrl-C at any moment of `evenhand measure`; `--resume` gives the results of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.fork_server import KILLED, Command, ForkServer

from .conftest import Results, committed, measure


def wait_for(reached: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "nothing happened for too long"
        time.sleep(0.0005)


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_a_random_moment_and_resumed_it_gives_the_same_results(
    here: Path, forks: ForkServer, command: Callable[..., Command], undisturbed: Results, seed: int
) -> None:
    moment = np.random.default_rng(seed).uniform(0.02, 0.8) * undisturbed.committed
    child = forks.start(command(measure("out"), pause=0.1))
    wait_for(lambda: committed(here / "out") >= moment)
    child.signal(signal.SIGKILL)
    assert child.wait().code == KILLED
    assert not (here / "out" / "items.jsonl").exists()
    resumed = forks.run(command(measure("out", "--resume")))
    assert resumed.code == 0
    assert "went on with an unfinished run" in " ".join(resumed.out.split())
    assert Results.of(here / "out") == undisturbed


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(
    here: Path, forks: ForkServer, command: Callable[..., Command], undisturbed: Results
) -> None:
    child = forks.start(command(measure("out"), pause=0.5))
    wait_for(lambda: committed(here / "out") > undisturbed.committed / 10)
    child.signal(signal.SIGINT)
    stopped = child.wait()
    assert stopped.code == 130
    assert stopped.err.endswith("\nStopped. What was done is kept in out: repeat the command with --resume to go on.\n")
    assert "Traceback" not in stopped.err
    assert committed(here / "out") > 0
    assert forks.run(command(measure("out"))).code == 2, "without --resume"
    assert forks.run(command(measure("out", "--resume", "-q"))).code == 0
    assert Results.of(here / "out") == undisturbed


@pytest.mark.slow
def test_the_installed_program_survives_a_kill(here: Path, undisturbed: Results) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EVENHAND_CACHE": str(here / "cache"), "HF_HUB_OFFLINE": "1"}

    def start(*more: str) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "evenhand", *measure("out", "-q", *more)]
        return subprocess.Popen(program, cwd=here, env=environment)

    with start() as process:
        wait_for(lambda: committed(here / "out") > undisturbed.committed / 10)
        process.kill()
    assert process.returncode == KILLED
    with start("--resume") as process:
        assert process.wait(300) == 0
    assert "<svg" in (here / "out" / "report.html").read_text("utf-8")
    assert Results.of(here / "out") == undisturbed
