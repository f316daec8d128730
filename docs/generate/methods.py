"""Pages of mitigations, controls and locators, made from their cards and classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cards import formula, settings_table, table, text

from evenhand.core import registry

if TYPE_CHECKING:
    from evenhand.locate._locator import Locator
    from evenhand.mitigate._mitigation import Mitigation

KINDS = ("mitigations", "controls")
"""Kinds whose pages lie in docs/mitigations."""

_SEE = {True: "it changes the model at a site and watches the effect", False: "it only reads the model"}


def method_names() -> list[str]:
    """Names of all mitigations, then of all controls."""
    return [name for kind in KINDS for name in registry.names(kind)]


def locator_names() -> list[str]:
    """Names of all locators."""
    return registry.names("locators")


def method_index(kind: str) -> str:
    """Table of all mitigations, or of all controls, with links to their pages."""
    rows = [
        (f"[`{name}`]({name}.md)", text(cls.card.title), text(cls.card.needs), _items(cls.fit_on))
        for name, cls in registry.entries(kind)
    ]
    return table(("name", "does", "needs", "fitted on"), rows)


def locator_index(_: str) -> str:
    """Table of all locators with links to their pages."""
    rows = [
        (f"[`{name}`]({name}.md)", text(cls.card.title), "yes" if cls.causal else "no", _items(cls.locate_on))
        for name, cls in registry.entries("locators")
    ]
    return table(("name", "finds", "causal", "reads"), rows)


def method_page(name: str) -> str:
    """The page of one mitigation or control."""
    kind = registry.kind_of(name)
    cls: type[Mitigation] = registry.get(kind, name)
    needed = " --set heads=@audits/smollm2-head_patching/sites.json:10" if name == "head_mask" else ""
    parts = [
        f"# `{name}`",
        f"**{text(cls.card.title)}**",
        f"```console\nevenhand mitigate smollm2 --with {name}{needed}\n```",
        _method_facts(cls, kind),
        "## What it does",
        formula(cls.card),
        "## Settings",
        settings_table(cls, ""),
        "## Sham",
        _sham(cls, kind),
        *_rest(cls),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def locator_page(name: str) -> str:
    """The page of one locator."""
    cls: type[Locator] = registry.get("locators", name)
    facts = [
        ("kinds of model", ", ".join(cls.tasks)),
        ("needs", text(cls.card.needs)),
        ("reads by default", _items(cls.locate_on)),
        ("causal", "yes: " + _SEE[True] if cls.causal else "no: " + _SEE[False]),
        ("null", text(cls.null)),
        ("correction for many sites", text(cls.correction)),
    ]
    parts = [
        f"# `{name}`",
        f"**{text(cls.card.title)}**",
        f"```console\nevenhand locate smollm2 --by {name}\n```",
        table(("property", "value"), facts),
        "## How a site is scored",
        formula(cls.card),
        "## Settings",
        settings_table(cls, ""),
        *_rest(cls),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _rest(cls: Any) -> list[str]:
    return [
        "## Cautions",
        text(cls.card.cautions) or "None are known.",
        "## Source and differences",
        text(cls.card.source),
        f"*Differs from it:* {text(cls.card.differs)}",
    ]


def _method_facts(cls: type[Mitigation], kind: str) -> str:
    strengths = ", ".join(f"{value:g}" for value in cls.grid)
    rivals = ", ".join(f"[`{name}`]({name}.md)" for name in cls.rivals)
    rows = [
        ("kind", "mitigation" if kind == "mitigations" else "control: what mitigations are compared with"),
        ("kinds of model", ", ".join(cls.tasks)),
        ("needs", text(cls.card.needs)),
        ("fitted on by default", _items(cls.fit_on)),
        ("texts of each item", ", ".join(f"`{key}`" for key in cls.reads) or "any"),
        ("claims to better", ", ".join(f"`{number}`" for number in cls.primary) or "nothing"),
        ("also measured on", ", ".join(f"[`{name}`](../benchmarks/{name}.md)" for name in cls.test_on) or "nothing"),
        ("must not get worse", ", ".join(f"`{rule}`" for rule in cls.guards) or "nothing"),
        ("rivals in its table", rivals or "none"),
        ("strength", f"`{cls.strength}`; `--grid` tries {strengths}" if cls.grid else "none to vary"),
        ("reads the test's inputs", "yes" if cls.transductive else "no"),
    ]
    return table(("property", "value"), rows)


def _sham(cls: type[Mitigation], kind: str) -> str:
    if cls.no_sham:
        return f"It has none: {text(cls.no_sham)}"
    if kind == "controls" and cls.shams.__qualname__.startswith("Mitigation."):
        return "It is a control: it stands beside methods and claims no mechanism of its own."
    said = (cls.shams.__doc__ or "").strip().partition("\n")[0]
    return f"What is fitted beside it, without the claimed mechanism and at equal size: {text(said)}"


def _items(on: Any) -> str:
    """A benchmark with settings, as a link."""
    if on is None:
        return "nothing"
    settings: Mapping[str, object] = on.settings
    given = ", ".join(f"{key} = {value}" for key, value in settings.items())
    return f"[`{on.benchmark}`](../benchmarks/{on.benchmark}.md)" + (f" ({given})" if given else "")
