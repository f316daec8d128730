"""Pages of trials, sites and comparisons in a real browser: drawn, quiet, readable on a phone and in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from .chromium import Chromium
from .test_browser import CHARTS, CONTRAST, WIDER
from .test_trial_page import PAGES, hostile_sites, hostile_trial

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages as files."""
    made = tmp_path_factory.mktemp("trials")
    for name, text in {
        **{name: make() for name, make in PAGES.items()},
        "bad": hostile_trial(),
        "worse": hostile_sites(),
    }.items():
        (made / f"{name}.html").write_text(text, encoding="utf-8")
    return made


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1280, 360])
def test_every_chart_is_drawn_once_with_marks(browser: Chromium, folder: Path, name: str, width: int) -> None:
    browser.open((folder / f"{name}.html").as_uri(), width=width)
    browser.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    charts = browser.evaluate(CHARTS)
    assert charts
    for chart in charts:
        assert chart["shown"] == 1
        assert min(chart["width"], chart["height"]) > 40
        assert chart["marks"] > 2
        assert chart["cut"] == 0


@pytest.mark.parametrize("name", [*PAGES, "bad", "worse"])
def test_the_page_asks_for_nothing_and_fits_a_phone(browser: Chromium, folder: Path, name: str) -> None:
    address = (folder / f"{name}.html").as_uri()
    browser.open(address, width=360, height=740)
    browser.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    browser.evaluate("new Promise(done => setTimeout(done, 200))")
    assert browser.requests() == [address]
    assert browser.complaints() == []
    assert browser.evaluate(WIDER) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("name", ["bad", "worse"])
def test_attacks_stay_text_even_without_the_policy(browser: Chromium, folder: Path, name: str) -> None:
    address = (folder / f"{name}.html").as_uri()
    browser.send("Page.setBypassCSP", enabled=True)
    try:
        browser.open(address)
        browser.evaluate("new Promise(done => setTimeout(done, 300))")
        assert browser.evaluate("typeof window.hacked") == "undefined"
        assert browser.requests() == [address]
        assert browser.evaluate("document.querySelectorAll('script, iframe, img, object, math, base').length") == 0
    finally:
        browser.send("Page.setBypassCSP", enabled=False)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_contrast_enough(browser: Chromium, folder: Path, name: str, dark: bool) -> None:
    browser.open((folder / f"{name}.html").as_uri(), dark=dark)
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where


@pytest.mark.parametrize("name", ["trial", "heads", "layers"])
def test_chart_colours_follow_the_colour_scheme(browser: Chromium, folder: Path, name: str) -> None:
    colours = []
    for dark in (False, True):
        browser.open((folder / f"{name}.html").as_uri(), dark=dark)
        colours.append(
            browser.evaluate(
                "[...new Set([...document.querySelectorAll('figure .wide svg *')].flatMap(e => "
                "[getComputedStyle(e).stroke, getComputedStyle(e).fill]))].filter(c => c.startsWith('rgb('))"
            )
        )
    assert len(colours[0]) == len(colours[1]) >= 4
    assert set(colours[0]) & set(colours[1]) <= {"rgb(0, 0, 0)"}
