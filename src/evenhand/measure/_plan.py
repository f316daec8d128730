"""What a run will do, without running it: its benchmarks, their items, and a hash of all that decides the numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationError

from evenhand import __version__
from evenhand.core import registry
from evenhand.core.errors import UnknownName, UnsupportedRequest, UsageError
from evenhand.core.items import Item
from evenhand.core.record import Environment, RunNote
from evenhand.data.splits import Fold
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._fold import in_fold
from evenhand.measure._sample import sample
from evenhand.measure._suites import SUITES, Suite

if TYPE_CHECKING:
    from evenhand.model import Model, Work

Chat = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark of a run, prepared."""

    benchmark: Benchmark
    loaded: Loaded
    items: list[Item]
    work: Work
    chat: bool
    limit: int | None
    fold: Fold | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A planned run.

    Attributes:
        facts: everything that decides the numbers, as plain data.
        plan: its hash.
        skipped: benchmarks that this kind of model cannot answer, as notes.
    """

    parts: list[Part]
    facts: dict[str, Any]
    plan: str
    skipped: list[RunNote]

    @property
    def tokens(self) -> int:
        """Tokens that will go through the model."""
        return sum(part.work.tokens for part in self.parts)


def plan(
    model: Model,
    benchmarks: Sequence[str | Benchmark] | Suite,
    *,
    limit: int | Mapping[str, int] | None = None,
    chat: Chat = "auto",
    seed: int = 0,
    level: float = 0.95,
    draws: int = 10_000,
    fold: Fold | Mapping[str, Fold] | None = None,
) -> Run:
    """Everything that `measure` would run, without running it. Arguments and errors as for `measure`."""
    from evenhand.metrics._estimate import FEWEST_DRAWS  # only here: naming benchmarks needs no scipy

    if seed < 0 or draws < FEWEST_DRAWS or not 0 < level < 1:
        raise UsageError(
            f"seed={seed}, draws={draws}, level={level}: expected a seed of 0 or more, at least {FEWEST_DRAWS} draws, "
            "and a level between 0 and 1."
        )
    parts: list[Part] = []
    skipped: list[RunNote] = []
    for benchmark, own_limit in _configured(benchmarks):
        if model.task not in benchmark.tasks:
            why = f"needs a model of kind {' or '.join(benchmark.tasks)}; {model.name} is of kind {model.task}."
            skipped.append(RunNote(benchmark=benchmark.name, kind="not measured", text=why))
            continue
        named = limit.get(benchmark.name) if isinstance(limit, Mapping) else limit
        wanted = named if named is not None else own_limit
        loaded = benchmark.load()
        part = fold.get(benchmark.name) if isinstance(fold, Mapping) else fold
        items = sample(in_fold(benchmark, loaded.items, part), wanted, seed=seed, name=benchmark.name)
        talk = in_chat(benchmark, chat, model)
        work = model.prepare([request for item in items for request in item.requests], chat=talk)
        parts.append(Part(benchmark, loaded, items, work, talk, wanted, part))
    if not parts:
        raise UnsupportedRequest(
            "Nothing can be measured: " + " ".join(f"{note.benchmark} {note.text}" for note in skipped)
        )
    facts = _facts(model, parts, seed=seed, level=level, draws=draws) | (
        {"fold": dict(fold) if isinstance(fold, Mapping) else fold} if fold else {}
    )
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return Run(parts, facts, digest, skipped)


def in_chat(benchmark: Benchmark, chat: Chat, model: Model) -> bool:
    """Whether a benchmark's prompts are put into the chat format."""
    return chat == "on" or (chat == "auto" and benchmark.chat and model.has_chat_template)


def configured(name: str, settings: Mapping[str, object]) -> Benchmark:
    """A benchmark by its registered name with settings, checked.

    Raises:
        UnknownName: there is no such benchmark or setting.
        UsageError: a setting does not fit, or is missing.
    """
    cls: type[Benchmark] = registry.get("benchmarks", name)
    try:
        return cls(**settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        match first["type"]:
            case "extra_forbidden":
                raise UnknownName(f"setting of {name}", field, cls.model_fields) from error
            case "missing":
                how = f"--on {name}:FILE" if field == "file" else f"--set {name}.{field}=..."
                raise UsageError(f"{name} needs the setting {field!r}, e.g. {how}") from error
            case _:
                found = f"{first['msg'][:1].lower()}{first['msg'][1:]}, found {first['input']!r}"
                raise UsageError(f"{name}: setting {field!r}: {found}.") from error


def _configured(benchmarks: Sequence[str | Benchmark] | Suite) -> Iterator[tuple[Benchmark, int | None]]:
    if isinstance(benchmarks, str):
        for entry in SUITES[known_suite(benchmarks)]:
            yield configured(entry.benchmark, entry.settings), entry.limit
        return
    chosen = [configured(one, {}) if isinstance(one, str) else one for one in benchmarks]
    if not chosen:
        raise UsageError("No benchmark was named, so there is nothing to measure. Known: " + _known_benchmarks())
    names = [benchmark.name for benchmark in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{', '.join(twice)} is asked for twice in one run; make two runs with two folders.")
    yield from ((benchmark, None) for benchmark in chosen)


def known_suite(name: str) -> Suite:
    """The name of a suite, checked.

    Raises:
        UsageError: there is no such suite, or it is the name of a benchmark.
    """
    if name in registry.names("benchmarks"):
        raise UsageError(
            f"{name!r} is a benchmark, not a suite: `evenhand measure --on {name}`, or in Python the list [{name!r}]."
        )
    if name not in SUITES:
        raise UnknownName("suite", name, SUITES)
    return cast("Suite", name)


def _known_benchmarks() -> str:
    return ", ".join(registry.names("benchmarks")) + "."


def _facts(model: Model, parts: Sequence[Part], *, seed: int, level: float, draws: int) -> dict[str, Any]:
    ran_on = environment(model, parts, seed).model_dump(exclude={"evenhand", "platform", "seed"})
    patched = {"patches": [patch.fingerprint for patch in model.patches]} if model.patches else {}
    return patched | {
        "model": model.identity.model_dump(include={"weights", "config", "tokenizer", "architecture"}),
        "environment": ran_on,
        "batch": asdict(model.budget),
        "numbers": {"seed": seed, "level": level, "draws": draws},
        "order": [part.benchmark.name for part in parts],
        "benchmarks": {
            part.benchmark.name: {
                "version": part.benchmark.version,
                "settings": part.benchmark.model_dump(mode="json"),
                "limit": part.limit,
                "items": len(part.items),
                "work": part.work.digest,
                "data": [use.sha256 for use in part.loaded.data],
            }
            for part in parts
        },
    }


def environment(model: Model, parts: Sequence[Part], seed: int) -> Environment:
    """What the run works with."""
    import platform

    import numpy

    roads = list(dict.fromkeys(part.work.road for part in parts if part.work.road))
    chats = {part.benchmark.name: "on" if part.chat else "off" for part in parts}
    same = len(set(chats.values())) == 1
    return Environment(
        evenhand=__version__,
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        numpy=numpy.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        device=model.device,
        dtype=model.dtype,
        threads=model.threads,
        seed=seed,
        road="; ".join(roads),
        chat=next(iter(chats.values())) if same else ", ".join(f"{name} {state}" for name, state in chats.items()),
        special_tokens=model.special_tokens() if model.task == "decoder" else "",
    )
