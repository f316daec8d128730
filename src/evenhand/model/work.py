"""Work that is prepared but not done: requests as jobs, with what they cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evenhand.core.journal import Journal
from evenhand.core.requests import Response
from evenhand.model import jobs
from evenhand.model.encode import Counts


@dataclass(slots=True)
class Work:
    """Requests, prepared: what will be run and what it costs. `run` may be called on a journal that is partly filled.

    Attributes:
        digest: hash of the texts and of how they are cut into jobs.
        tokens: tokens that go through the model.
        asked: tokens that answering one by one would send through it, equal requests once.
        road: how texts are scored, with the reason if it is not the packed road.
        counts: requests that had to be merged or cut.
        assemble: results of the jobs to responses, in the order of the requests.
        release: called when the work is done or given up.
    """

    work: list[jobs.Job]
    digest: str
    tokens: int
    asked: int
    road: str
    counts: Counts
    assemble: Callable[[list[Any]], list[Response]]
    release: Callable[[], None] = lambda: None

    def run(self, journal: Journal | None = None, progress: jobs.Progress | None = None) -> list[Response]:
        """Responses in the order of the requests; each job is committed to the journal when it is done."""
        try:
            return self.assemble(jobs.run_jobs(self.work, journal, progress))
        finally:
            self.release()
