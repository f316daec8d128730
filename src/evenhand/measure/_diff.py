"""Two runs compared, paired by item: two models, or one model before and after a change."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core import registry
from evenhand.core.errors import UsageError
from evenhand.core.items import ScoreTable, Status
from evenhand.core.record import Change, ItemRow, Record
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._numbers import changes
from evenhand.measure._plan import configured


def diff(
    before: tuple[Record, Sequence[ItemRow]], after: tuple[Record, Sequence[ItemRow]], *, level: float = 0.95
) -> tuple[list[Change], list[str]]:
    """Changes of every metric of the benchmarks that both runs hold, and remarks on what could not be paired.

    Items are paired by benchmark and id; those that only one run scored are left out and counted in the remarks.

    Raises:
        UsageError: the runs share no benchmark, or a benchmark was run in another version, with other settings or on
            other texts.
    """
    names = [run.name for run in before[0].benchmarks if run.name in {other.name for other in after[0].benchmarks}]
    if not names:
        raise UsageError("The two runs have no benchmark in common, so there is nothing to compare.")
    remarks: list[str] = []
    found: list[Change] = []
    for name in names:
        benchmark = _agreed(name, before[0], after[0])
        first, second = _rows(name, before[1]), _rows(name, after[1])
        common = [key for key in first if key in second]
        _check_texts(name, [(first[key], second[key]) for key in common])
        lost = len(first) + len(second) - 2 * len(common)
        if lost:
            remarks.append(f"{name}: {lost} items were scored in only one of the runs and are left out.")
        if not common:
            remarks.append(f"{name}: the runs share no item.")
            continue
        first_seed = before[0].environment.seed
        draws = max((number.draws for number in before[0].estimates if number.benchmark == name), default=10_000)
        found += changes(
            type(benchmark),
            benchmark.select(),
            table_of([first[key] for key in common]),
            table_of([second[key] for key in common]),
            level=level,
            draws=max(draws, 1000),
            seed=first_seed,
        )
    return found, remarks


def _agreed(name: str, before: Record, after: Record) -> Benchmark:
    """The benchmark as both runs had it."""
    runs = [next(run for run in record.benchmarks if run.name == name) for record in (before, after)]
    cls = registry.get("benchmarks", name)
    fields = set(cls.model_fields)
    settings = [{key: value for key, value in run.settings.items() if key in fields} for run in runs]
    compared = [{key: value for key, value in chosen.items() if key != "file"} for chosen in settings]
    if runs[0].version != runs[1].version or compared[0] != compared[1]:
        raise UsageError(
            f"{name} was run differently: version {runs[0].version} with {compared[0]} and version {runs[1].version} "
            f"with {compared[1]}. Only equal versions and settings can be compared."
        )
    plain = {key: value for key, value in settings[0].items() if not isinstance(cls.model_fields[key].default, tuple)}
    return configured(name, plain)


def _check_texts(name: str, pairs: Sequence[tuple[ItemRow, ItemRow]]) -> None:
    """A file of the user's own may have changed, or be another one with the same ids."""
    other = [first.id for first, second in pairs if first.texts != second.texts]
    if other:
        raise UsageError(
            f"{name}: {len(other)} of {len(pairs)} common items have other texts in the two runs, e.g. {other[0]!r}. "
            "They were measured on different data and cannot be compared."
        )


def _rows(name: str, rows: Sequence[ItemRow]) -> dict[str, ItemRow]:
    return {row.id: row for row in rows if row.benchmark == name and row.status == Status.SCORED}


def table_of(rows: Sequence[ItemRow]) -> ScoreTable:
    """Scores of rows as columns."""
    return ScoreTable.from_columns(
        [row.values for row in rows],
        [row.groups for row in rows],
        [row.cluster for row in rows],
        [row.stratum for row in rows],
    )
