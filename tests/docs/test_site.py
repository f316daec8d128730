"""The documentation as it is built: nothing is missing, nothing is fetched from elsewhere, nothing has rotted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evenhand.core import registry
from evenhand.data import source

from . import pages

LOADS = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make check` builds it."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install --group docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(command, cwd=pages.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_benchmark_has_a_page_with_its_metrics_and_settings(site: Path) -> None:
    for name, cls in registry.entries("benchmarks"):
        page = (site / "benchmarks" / f"{name}.html").read_text(encoding="utf-8")
        wanted = [*cls.metrics, *(f"{name}.{field}" for field in cls.model_fields)]
        assert [word for word in wanted if word not in page] == []


def test_every_method_and_locator_has_a_page_with_its_settings(site: Path) -> None:
    for kind, folder in (("mitigations", "mitigations"), ("controls", "mitigations"), ("locators", "locators")):
        for name, cls in registry.entries(kind):
            page = (site / folder / f"{name}.html").read_text(encoding="utf-8")
            assert [field for field in cls.model_fields if f"<code>{field}</code>" not in page] == []
            assert "Source and differences" in page


def test_every_metric_has_a_section_that_links_can_reach(site: Path) -> None:
    page = (site / "metrics.html").read_text(encoding="utf-8")
    assert [name for name in registry.names("metrics") if f'id="{name}"' not in page] == []


def test_every_place_for_generated_text_is_filled(site: Path) -> None:
    asked = [page for page in pages.PAGES if "<!-- generate:" in page.read_text(encoding="utf-8")]
    assert len(asked) > 5
    left = [page.name for page in site.rglob("*.html") if "<!-- generate:" in page.read_text(encoding="utf-8")]
    assert left == []


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = {
        address
        for page in site.rglob("*.html")
        for tag in LOADS.finditer(page.read_text(encoding="utf-8"))
        if "canonical" not in tag[0]
        for address in [tag[1]]
    }
    found |= {
        address
        for sheet in site.rglob("*.css")
        for address in re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text("utf-8"))
    }
    assert found == set()


def test_the_search_knows_the_pages(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"index.html", "statistics.html", "metrics.html", "benchmarks/bbq.html"} <= found


def test_the_picture_of_a_report_is_small_enough_to_keep() -> None:
    picture = pages.ROOT / "docs" / "images" / "report.png"
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20]) >= 1000  # pixels wide
    assert len(content) < 300_000


@pytest.mark.parametrize(
    ("benchmark", "settings"),
    [
        ("crows_pairs", {}),
        ("stereoset", {}),
        ("stereoset", {"task": "intrasentence"}),
        ("perplexity", {"documents": 1}),
    ],
)
@pytest.mark.usefixtures("generate")
def test_the_suites_page_knows_how_many_items_there_are(benchmark: str, settings: dict[str, object]) -> None:
    import tables

    data = {"perplexity": "gap"}.get(benchmark, benchmark)
    if source.get(data).state() == "to fetch":
        pytest.skip(f"the data of {data!r} are not at hand: set EVENHAND_DATA or run 'make audit'")
    stated = tables.ALL[benchmark, str(settings.get("task", ""))]
    loaded = registry.get("benchmarks", benchmark)(**settings).load()
    if benchmark == "perplexity":
        # It keeps the wanted number of documents and says of how many.
        assert f"of {stated:,} documents" in loaded.notes[0].text
    else:
        assert len(loaded.items) == stated


@pytest.mark.usefixtures("generate")
def test_the_suites_page_knows_how_many_rows_bbq_has() -> None:
    import tables

    if source.get("bbq").state() == "to fetch":
        pytest.skip("the data of 'bbq' are not at hand: set EVENHAND_DATA or run 'make audit'")
    files = [path for name, path in source.get("bbq").paths().items() if name.endswith(".jsonl")]
    rows = sum(path.read_bytes().count(b"\n") for path in files)
    assert tables.ALL["bbq", ""] == tables.ALL["bbq_letters", ""] == rows
