"""The report as a file: complete, self-contained, escaped, and never half written."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from evenhand.core.errors import StorageError
from evenhand.report import html

from .conftest import Rendered
from .corpus import ATTACKS
from .records import estimate, quick, record, run
from .rows_of_items import items

VOID = {"meta", "link", "br", "img", "base", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, headings, text, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(report: Rendered) -> Page:
    return Page(report.text)


@pytest.fixture(scope="module")
def hostile_page(hostile: Rendered) -> Page:
    return Page(hostile.text)


def test_a_quick_suite_stays_below_2_mb_and_10_seconds(report: Rendered) -> None:
    assert report.path.stat().st_size < 2_000_000
    assert report.seconds < 10


def test_the_page_is_well_formed_and_says_its_language(page: Page) -> None:
    assert page.crossed == []
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]


def test_headings_start_at_one_and_never_skip_a_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_link_leads_to_a_place_on_the_page(page: Page) -> None:
    places = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [link["href"] for link in page.all("a")]
    assert links
    assert {f"#{place}" for place in places} >= set(links)


def test_tables_have_captions_and_scoped_headers(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table")) > 10
    assert {header.get("scope") for header in page.all("th")} == {"col", "row"}


def test_every_chart_has_a_role_and_a_name_in_both_widths(page: Page) -> None:
    charts = page.all("svg")
    assert charts
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert len(charts) == 2 * len(page.all("figure"))


def test_nothing_points_outside_and_nothing_runs(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base", "audio", "video", "image", "use"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")], tag
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]


def test_the_policy_allows_this_style_sheet_and_nothing_else(report: Rendered) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", report.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', report.text)
    assert f"style-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize(
    "said",
    [
        "Bias report: smollm2",
        "The model prefers the stereotypical sentence in 61.9 % of cases (95 % interval 59.4 to 64.3), where 50 would "
        "be even. It leans towards the stereotype.",
        "The interval includes 0: on these items it cannot be told from even.",
        "Strongest towards the stereotype",
        "Surest stereotyped answers, in contexts that do not hold the answer",
        "The intersentence task is not part of the quick suite.",
        "4 rows name no single stereotyped answer and are left out.",
        "no answer names a person (0/0)",
        "fewer than 10 clusters: the interval is rough",
        "Crowd-sourced; some items are unnatural or mislabelled.",
        "1,000 items of 58,492 in 66 clusters, 4 not scored",
        "evenhand audit smollm2 --suite quick --seed 0 --device cpu --dtype float32 --chat off",
        "a1" * 32,
        "d4" * 32,
        "CC BY-SA 4.0",
        "2.13.0+cpu",
        "2026-02-03 09:15 UTC",
    ],
)
def test_the_page_says(page: Page, said: str) -> None:
    assert said in page.text


def test_the_page_never_calls_a_model_free_of_bias(page: Page) -> None:
    assert not re.search(r"\b(un)?(fair|biased|debias\w*)\b", page.text)


def test_every_attack_is_shown_as_text(hostile_page: Page) -> None:
    for attack in ATTACKS:
        if attack.isprintable():
            assert " ".join(attack.split()) in hostile_page.text


def test_attacks_add_no_element_and_no_attribute(hostile_page: Page, page: Page) -> None:
    assert hostile_page.crossed == []
    assert hostile_page.open == []
    assert {tag for tag, _ in hostile_page.elements} <= {tag for tag, _ in page.elements}
    known = {name for _, attributes in page.elements for name in attributes}
    assert {name for _, attributes in hostile_page.elements for name in attributes} <= known
    assert all((link["href"] or "").startswith("#") for link in hostile_page.all("a"))


def test_no_control_character_or_direction_override_reaches_the_file(hostile: Rendered) -> None:
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]", hostile.text
    )


def test_a_failed_write_leaves_the_old_report_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old report")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"report\.html.*No space left.*--out"):
        html.render(record([estimate(24, 23, 25, ideal=None)]), [], path)
    assert path.read_text() == "the old report"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        html.render(record(), [], tmp_path / "nowhere" / "report.html")


def test_others_may_read_the_file(report: Rendered) -> None:
    assert stat.S_IMODE(report.path.stat().st_mode) == 0o644


def test_equal_records_give_equal_bytes() -> None:
    found = record([estimate(61.9, 59.4, 64.3), estimate(60, 55, 65, by={"category": "age"})])
    assert html.page(found, []) == html.page(found, [])


def test_a_record_with_next_to_nothing_in_it_still_makes_a_page() -> None:
    bare = record([estimate(None, reason="every item failed")]).model_copy(update={"data": (), "suite": ""})
    text = Page(html.page(bare, [])).text
    assert "no value, because every item failed" in text
    assert "evenhand measure smollm2 --on crows_pairs" in text
    assert "The record holds no warning" in text


def test_a_patch_is_named_at_the_top_and_in_provenance() -> None:
    patched = quick().model_copy(update={"estimates": (), "patch": {"method": "nasa", "path": "out/my patch"}})
    text = Page(html.page(patched, [])).text
    assert "With a patch installed" in text
    assert "--with 'out/my patch'" in text


def test_settings_that_were_left_alone_are_not_listed_and_a_switch_is_yes_or_no() -> None:
    one = run("bbq", 8).model_copy(update={"settings": {"file": None, "limit": 1, "chat": False, "orders": True}})
    text = Page(html.page(record([], [one]), [])).text
    assert "limit: 1chat: noorders: yes" in text
    assert "None" not in text.partition("Runs of this record")[2].partition("Tokens are those")[0]


def test_marked_words_are_explained_only_where_words_are_marked() -> None:
    said = "Words that differ within a pair are marked."
    shown = [row for row in items(12, 0, 12, 0) if row.benchmark == "crows_pairs"]
    asked = [row for row in items(0, 0, 200, 0) if row.benchmark == "bbq"]
    assert said in Page(html.page(record([], [run("crows_pairs", 12)]), shown)).text
    without = Page(html.page(record([], [run("bbq", 200)]), asked)).text
    assert "The most telling items" in without
    assert said not in without
