"""Self-contained pages of runs, sites, trials and comparisons: no script, no font, no picture, no outside request.

Everything that comes from the record is escaped by Jinja's autoescape after `visible` has written out characters that
steer the display. A content security policy allows this page's own style sheet (by its hash) and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from evenhand import __version__
from evenhand.core.errors import StorageError
from evenhand.core.record import ItemRow, Record, Sites
from evenhand.core.trial import Trial
from evenhand.report import (
    arm_charts,
    category_charts,
    finding_charts,
    frontier,
    maps,
    numbers,
    provenance,
    sections,
    sites_view,
    trial_view,
    verdicts,
)
from evenhand.report.comparison import Comparison
from evenhand.report.visible import visible


def render(record: Record, items: Iterable[ItemRow], path: Path) -> None:
    """Write the report of a record and its items to one file, in one step: never half a report.

    Raises:
        StorageError: the folder is missing or not writable, or the disk is full.
    """
    _write(page(record, items), path)


def render_sites(found: Sites, path: Path) -> None:
    """Write the report of a locator; same errors as `render`."""
    _write(sites_page(found), path)


def render_trial(found: Trial, path: Path) -> None:
    """Write the report of a trial; same errors as `render`."""
    _write(trial_page(found, str(path.parent)), path)


def render_comparison(found: Comparison, path: Path) -> None:
    """Write trials side by side; same errors as `render`."""
    _write(comparison_page(found), path)


def page(record: Record, items: Iterable[ItemRow]) -> str:
    """The report of a record as one HTML document."""
    return _page(
        "report.html.j2",
        f"Bias report: {record.model.name}",
        record.environment.evenhand,
        record=record,
        sections=sections.sections(record, items),
        notes={kind: sections.notes(record, kind) for kind in sections.NOTES},
        headings=sections.NOTES,
        facts=provenance.facts(record),
        command=provenance.command(record),
    )


def sites_page(found: Sites) -> str:
    """What a locator found as one HTML document."""
    view = sites_view.view(found)
    return _page(
        "sites.html.j2",
        f"{found.locator} on {found.model.name}",
        __version__,
        view=view,
        maps=[(group, maps.of_group(group)) for group in view.groups],
        facts=provenance.site_facts(found),
    )


def trial_page(found: Trial, folder: str) -> str:
    """A trial that lies in a folder as one HTML document."""
    view = trial_view.view(found)
    measures = (*view.primary, *view.transfer)
    return _page(
        "trial.html.j2",
        f"{found.method} on {found.model.name}",
        found.environment.evenhand,
        view=view,
        trial=found,
        figures={(one.benchmark, one.metric): arm_charts.figure(one) for one in measures},
        categories={number: category_charts.figure(one) for number, one in enumerate(view.matrices)},
        found_by=[(arm.name, finding_charts.drawn(arm.findings)) for arm in view.ours if arm.findings],
        found_measuring=finding_charts.drawn(found.findings),
        frontiers=frontier.of_grid(found),
        named=frontier.named,
        attach=trial_view.attach(found, folder),
        roles=verdicts.ROLES,
        facts=provenance.trial_facts(found),
    )


def comparison_page(found: Comparison) -> str:
    """Trials side by side as one HTML document."""
    frontiers = frontier.of_trials(found)
    return _page("compare.html.j2", "Trials compared", __version__, view=found, frontiers=frontiers)


def _page(template: str, title: str, version: str, **context: object) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    given = {"title": title, "version": version, "style": Markup(style), "digest": digest}
    return _environment().get_template(template).render(**given, **context)


def _write(text: str, path: Path) -> None:
    try:
        _replace(path, text)
    except OSError as error:
        raise StorageError(
            f"The report cannot be written to {path} ({error}). Make room or name another folder with --out."
        ) from error


def _style() -> str:
    text = files("evenhand.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evenhand.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "duration": numbers.duration,
        "joined": numbers.joined,
        "moment": numbers.moment,
        "percent": numbers.percent,
        "short": numbers.short,
    }
    return environment


def _shown(value: object) -> object:
    """Text as `visible` has it; what is already markup, and numbers, as they are."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _replace(path: Path, text: str) -> None:
    """Write beside the file, flush to disk, and put it in place; nothing is left behind on an error."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
