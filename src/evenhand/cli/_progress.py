"""Progress on stderr: bars with rate and time left on a terminal, a line per benchmark elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


class _Share(ProgressColumn):
    """Percent done; nothing where the total is not known."""

    def render(self, task: Task) -> Text:
        """For example " 40 %"."""
        return Text("" if task.total is None else f"{task.percentage:>3.0f} %", style="progress.percentage")


class _Rate(ProgressColumn):
    """Units per second: over the last seconds, at the end over all."""

    def render(self, task: Task) -> Text:
        """For example "12,345 tokens/s" or "3.2 MB/s"."""
        whole = task.completed / task.finished_time if task.finished_time else None
        speed = whole or task.speed
        if not speed:
            return Text("")
        shown = f"{speed / 1e6:,.1f} MB/s" if task.fields["unit"] == "B" else f"{speed:,.0f} {task.fields['unit']}/s"
        return Text(shown, style="progress.data.speed")


class Bars:
    """Receives the progress of fetching and of measuring."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._shown = Progress(
            TextColumn("{task.description}", table_column=Column(max_width=32, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=20),
            _Share(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._since: dict[str, float] = {}
        self._waiting: TaskID | None = None

    def busy(self, what: str) -> None:
        """Show that something is done of which nobody knows how long it takes, until something else is shown."""
        self._idle()
        self._waiting = self._shown.add_task(what, total=None, unit="")

    def fetching(self, done: int, total: int, what: str) -> None:
        """Bytes of a file that is being fetched."""
        if not total:
            self.console.print(what)
            return
        self._update(what, done, total, "B")

    def measuring(self, benchmark: str, done: int, total: int) -> None:
        """Tokens of a benchmark that is being measured."""
        self._idle()
        self._update(benchmark, done, total, "tokens")
        if done >= total and not self.console.is_terminal:
            seconds = time.perf_counter() - self._since[benchmark]
            self.console.print(f"{benchmark}: {total:,} tokens in {seconds:,.0f} s")

    def proving(self, benchmark: str, done: int, total: int) -> None:
        """Fits ("fitting ARM"), of which nobody knows how long they take, and arms that are measured."""
        if not benchmark.startswith("fitting "):
            self.measuring(benchmark, done, total)
        elif done < total:
            self._since[benchmark] = time.perf_counter()
            self.busy(benchmark)
        else:
            self._idle()
            self.console.print(f"{benchmark}: {time.perf_counter() - self._since[benchmark]:,.0f} s")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No bars while the block asks the user something."""
        self._shown.stop()
        try:
            yield
        finally:
            self._shown.start()

    def _update(self, what: str, done: int, total: int, unit: str) -> None:
        if what not in self._tasks:
            self._since[what] = time.perf_counter()
            self._tasks[what] = self._shown.add_task(what, total=total, unit=unit)
        self._shown.update(self._tasks[what], completed=done)

    def _idle(self) -> None:
        if self._waiting is not None:
            self._shown.remove_task(self._waiting)
            self._waiting = None


@contextmanager
def bars(*, quiet: bool) -> Iterator[Bars]:
    """Progress while the block runs; nothing if quiet."""
    made = Bars(Console(stderr=True, quiet=quiet))
    with made._shown:
        yield made
        made._idle()
