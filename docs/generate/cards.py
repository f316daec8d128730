"""Pages of the catalogue, made from the cards and classes of benchmarks and metrics."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.core import registry
from evenhand.core.requests import Choose, Compare, NextToken, Request
from evenhand.report import words

if TYPE_CHECKING:
    from evenhand.core.record import Card
    from evenhand.measure._benchmark import Benchmark
    from evenhand.metrics._metric import Metric

EXAMPLES = Path(__file__).parent.parent / "examples"
"""`NAME.csv`, `NAME.json` or `NAME.jsonl`: rows in the layout of a benchmark, written for these pages."""


def benchmark_names() -> list[str]:
    """Names of all benchmarks, sorted."""
    return registry.names("benchmarks")


def sizes(_: str) -> str:
    """How many benchmarks and metrics there are, in a sentence."""
    counts = {kind: len(registry.names(kind)) for kind in ("benchmarks", "metrics")}
    return f"There are {counts['benchmarks']} benchmarks and {counts['metrics']} metrics."


def benchmark_index(_: str) -> str:
    """Table of all benchmarks with links to their pages."""
    rows = [(f"[`{name}`]({name}.md)", cls.card.title, cls.card.needs) for name, cls in registry.entries("benchmarks")]
    return table(("name", "measures", "needs"), rows)


def benchmark_page(name: str) -> str:
    """The page of one benchmark."""
    cls: type[Benchmark] = registry.get("benchmarks", name)
    named = words.benchmark(name)
    parts = [
        f"# {named.title}",
        f"**{text(cls.card.title)}**",
        named.about,
        f"```console\nevenhand measure smollm2 --on {name}{':FILE' if _must_have_file(cls) else ''} --limit 200\n```",
        _facts(cls),
        "## How it is scored",
        formula(cls.card),
        _example(name),
        "## Metrics",
        "The first is the headline. The [page of metrics](../metrics.md) has their formulas.",
        _metrics(cls),
        "## Settings",
        settings_of(name),
        "## Cautions",
        text(cls.card.cautions) or "None are known.",
        "## Source and differences",
        text(cls.card.source),
        f"*Differs from it:* {text(cls.card.differs)}",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def text(plain: str) -> str:
    """Plain text as markdown that shows the same characters; addresses stay links."""
    return html.escape(plain, quote=False).replace("*", "\\*")


def formula(card: Card) -> str:
    """The formula as code, each part on a line of its own."""
    return "```text\n" + card.formula.replace("; ", "\n") + "\n```" if card.formula else ""


def _must_have_file(cls: type[Benchmark]) -> bool:
    return any(field.is_required() for field in cls.model_fields.values())


def _facts(cls: type[Benchmark]) -> str:
    rows = [
        ("kinds of model", ", ".join(cls.tasks)),
        ("needs", cls.card.needs),
        ("broken down by", ", ".join(f"`{column}`" for column in cls.by) or "nothing"),
        ("`--chat auto`", "the chat format, where the model has one" if cls.chat else "no chat format"),
        ("version", str(cls.version)),
    ]
    return table(("property", "value"), rows)


def _metrics(cls: type[Benchmark]) -> str:
    rows = []
    for name in cls.metrics:
        metric: type[Metric] = registry.get("metrics", name)
        rows.append((f"[`{name}`](../metrics.md#{name})", metric.card.title, _ideal(metric)))
    return table(("metric", "is", "ideal"), rows)


def _ideal(metric: type[Metric]) -> str:
    return "none" if metric.ideal is None else f"{metric.ideal:.4g} {metric.unit}".strip()


def settings_of(name: str) -> str:
    """Table of the settings of a benchmark: name, what it means, what it may be, default."""
    return settings_table(registry.get("benchmarks", name), f"{name}.")


def settings_table(cls: type[Any], before: str) -> str:
    """Table of the fields of a class; `before` stands before each name."""
    schema = cls.model_json_schema().get("properties", {})
    if not schema:
        return "It has none."
    rows = []
    for field, about in schema.items():
        allowed = ", ".join(f"`{value}`" for value in about.get("enum", ()))
        default = about.get("default", "must be given")
        listed = ", ".join(map(str, default)) or "none" if before == "" and isinstance(default, list) else "all"
        shown = listed if isinstance(default, list) else "none" if default is None else default
        rows.append((f"`{before}{field}`", text(about.get("description", "")), allowed or "", str(shown)))
    return table(("setting", "means", "one of", "default"), rows)


def _example(name: str) -> str:
    """What the model is asked about the first row of the example file, and the conventions that are recorded."""
    found = next((file for file in sorted(EXAMPLES.iterdir()) if f"{name}_".startswith(f"{file.stem}_")), None)
    if found is None:
        return ""
    loaded = registry.get("benchmarks", name)(file=str(found)).load()
    item = loaded.items[0]
    parts = [
        f"A row that was written for this page (it is in `docs/examples/{found.name}`) becomes "
        + ("this request:" if len(item.requests) == 1 else f"{len(item.requests)} requests, of which the first is:"),
        f"```text\n{_request(item.requests[0])}\n```",
        "Conventions, as every record states them:",
        "\n".join(f"- {text(note.text)}" for note in loaded.notes if note.kind == "convention"),
    ]
    return "\n\n".join(parts)


def _request(request: Request) -> str:
    """A request with every space visible."""
    match request:
        case Compare(texts):
            return "Compare, as whole texts:\n" + "\n".join(f"  {text!r}" for text in texts)
        case Choose(prompt, options) | NextToken(prompt, options):
            listed = "\n".join(f"  {option!r}" for option in options)
            shown = repr(prompt).replace("\\n", "\\n\n   ")
            return f"After the prompt\n  {shown}\nscore each of\n{listed}"
        case _:
            return repr(request)


def metrics_page() -> str:
    """One section for each metric."""
    users: dict[str, list[str]] = {}
    for name, cls in registry.entries("benchmarks"):
        for metric in cls.metrics:
            users.setdefault(metric, []).append(name)
    parts = [
        "# Metrics",
        "A metric reduces the scores of items to one number. Its ideal is the value without bias: 50 for a rate of "
        "preference, 0 for a signed score, none where there is no such value. More is never simply better. How the "
        "intervals are made is on the page about [statistics](statistics.md).",
    ]
    for name, metric in registry.entries("metrics"):
        parts += [f"## `{name}` {{ #{name} }}", *_metric(metric, users.get(name, []))]
    return "\n\n".join(parts) + "\n"


def _metric(metric: type[Metric], users: list[str]) -> list[str]:
    card: Card = metric.card
    ends = "to".join(f" {end:g} " if end is not None else " no bound " for end in (metric.low, metric.high)).strip()
    pool = "one number per category, averaged" if metric.pool == "mean" else "all items together"
    used = ", ".join(f"[`{name}`](benchmarks/{name}.md)" for name in users) or "nothing yet"
    facts = [
        ("ideal", _ideal(metric)),
        ("range", ends),
        ("put together from", pool),
        ("undefined when", metric.undefined),
        ("used by", used),
        ("source", text(card.source)),
        ("differs", text(card.differs)),
    ]
    parts = [text(card.title), formula(card), table(("property", "value"), facts)]
    if card.cautions:
        parts.append(f"!!! warning\n    {text(card.cautions)}")
    return [part for part in parts if part]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; vertical bars and line ends in cells are made harmless."""
    lines = [heads, ["---"] * len(heads), *rows]
    clean = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in clean)
