"""The hook of mkdocs: adds the pages of the catalogue and fills the places that pages leave for generated text.

A place is a comment on a line of its own, `<!-- generate: WHAT [ARGUMENT] -->`. Nothing generated is kept in the
repository, so a page cannot say anything else than the code does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cards
import crawd_results
import fairmed_results
import klaad_results
import nasa_results
import options
import published
import signatures
import tables

import methods

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]

MAKERS: Mapping[str, Callable[[str], str]] = {
    "benchmarks": cards.benchmark_index,
    "catalogue-size": cards.sizes,
    "methods": methods.method_index,
    "locators": methods.locator_index,
    "models": tables.models,
    "data": tables.data,
    "wheels": tables.wheels,
    "suites": tables.suites,
    "settings": cards.settings_of,
    "record": tables.record,
    "trials": published.trials,
    "each-trial": published.each_trial,
    "crawd-targets": crawd_results.targets,
    "crawd-arms": crawd_results.whole,
    "crawd-curve": crawd_results.curve,
    "crawd-beyond": crawd_results.beyond,
    "crawd-associations": crawd_results.associations,
    "crawd-sweeps": crawd_results.sweeps,
    "fairmed-targets": fairmed_results.targets,
    "fairmed-probers": fairmed_results.probers,
    "fairmed-trials": fairmed_results.trials,
    "klaad-targets": klaad_results.targets,
    "klaad-variants": klaad_results.variants,
    "klaad-beyond": klaad_results.beyond,
    "klaad-categories": klaad_results.categories,
    "klaad-all-terms": klaad_results.all_terms,
    "klaad-choices": klaad_results.choices,
    "nasa-targets": nasa_results.targets,
    "nasa-numbers": nasa_results.whole,
    "nasa-parts": nasa_results.parts,
    "nasa-reliability": nasa_results.reliability,
    "nasa-heads": nasa_results.heads,
    "options": options.of_command,
    "signature": signatures.of,
    "file": lambda name: (ROOT / name).read_text("utf-8"),
}
"""What a place may ask for -> what makes its markdown from the argument."""

_PLACE = re.compile(r"^<!-- generate: (\S+)(?: (.*?))? -->$", re.MULTILINE)
_SECTION = "Benchmarks and metrics"


def filled(markdown: str) -> str:
    """The markdown with every place filled.

    Raises:
        KeyError: a place asks for something that nothing makes.
    """
    return _PLACE.sub(lambda found: MAKERS[found[1]](found[2] or ""), markdown)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each benchmark, locator, mitigation and control, and one for all metrics, into the navigation."""
    nav: list[dict[str, Any]] = config.nav or []
    pages = {
        _SECTION: [f"benchmarks/{name}.md" for name in cards.benchmark_names()] + ["metrics.md"],
        "Locators": [f"locators/{name}.md" for name in methods.locator_names()],
        "Mitigations and controls": [f"mitigations/{name}.md" for name in methods.method_names()],
    }
    for title, addresses in pages.items():
        next(entry for entry in nav if title in entry)[title] += addresses
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {f"benchmarks/{name}.md": cards.benchmark_page(name) for name in cards.benchmark_names()}
    pages |= {f"locators/{name}.md": methods.locator_page(name) for name in methods.locator_names()}
    pages |= {f"mitigations/{name}.md": methods.method_page(name) for name in methods.method_names()}
    for address, text in (pages | {"metrics.md": cards.metrics_page()}).items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill the places of a page."""
    return filled(markdown)
