"""The report in a real browser: drawn, quiet, offline, readable on a phone and in the dark, proof against attacks."""

from __future__ import annotations

import pytest

from .chromium import Chromium
from .conftest import Rendered

pytestmark = pytest.mark.browser

CONTRAST = """
(() => {
  const parse = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return {rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1};
  };
  const light = rgb => rgb.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.alpha === 1) return colour.rgb;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const details of document.querySelectorAll('details')) details.open = true;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const drawn = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(parse(drawn).rgb), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
  }
  return worst;
})()
"""

CHARTS = """
[...document.querySelectorAll('figure')].map(figure => {
  const shown = [...figure.querySelectorAll('svg')].filter(svg => svg.getClientRects().length);
  const box = shown[0].getBoundingClientRect();
  const marks = [...shown[0].querySelectorAll('path[stroke], line[stroke]')].filter(mark => {
    const own = mark.getBoundingClientRect();
    return own.width + own.height > 0;
  });
  const texts = [...shown[0].querySelectorAll('text')].map(text => text.getBoundingClientRect());
  const cut = texts.filter(own => own.width > 0 && (own.left < box.left - 1 || own.right > box.right + 1));
  return {shown: shown.length, width: box.width, height: box.height, marks: marks.length, texts: texts.length,
    cut: cut.length};
})
"""

WIDER = """
[...document.querySelectorAll('body *')].filter(element => element.getBoundingClientRect().right > innerWidth + 1)
  .map(element => element.outerHTML.slice(0, 120)).slice(0, 5)
"""


@pytest.mark.parametrize("width", [1280, 360])
def test_every_chart_is_drawn_once_with_marks_and_uncut_labels(browser: Chromium, report: Rendered, width: int) -> None:
    browser.open(report.path.as_uri(), width=width)
    browser.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    charts = browser.evaluate(CHARTS)
    assert len(charts) > 10
    for chart in charts:
        assert chart["shown"] == 1
        assert min(chart["width"], chart["height"]) > 40
        assert chart["marks"] > 2
        assert chart["texts"] > 3
        assert chart["cut"] == 0


@pytest.mark.parametrize("which", ["report", "hostile"])
def test_the_page_asks_for_nothing_and_the_console_stays_silent(
    browser: Chromium, which: str, request: pytest.FixtureRequest
) -> None:
    found: Rendered = request.getfixturevalue(which)
    browser.open(found.path.as_uri())
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    assert browser.requests() == [found.path.as_uri()]
    assert browser.complaints() == []


def test_a_request_or_an_error_would_be_noticed(browser: Chromium, report: Rendered) -> None:
    browser.open(report.path.as_uri())
    browser.evaluate("void document.body.appendChild(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    browser.evaluate("console.error('noticed')")
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    assert any("noticed" in text for text in browser.complaints())
    assert any("Content Security Policy" in text for text in browser.complaints())
    browser.send("Page.setBypassCSP", enabled=True)
    try:
        browser.open(report.path.as_uri())
        browser.evaluate(
            "void document.body.appendChild(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))"
        )
        browser.evaluate("new Promise(done => setTimeout(done, 300))")
        assert "http://127.0.0.1:9/x.png" in browser.requests()
    finally:
        browser.send("Page.setBypassCSP", enabled=False)


def test_attacks_stay_text_even_without_the_policy(browser: Chromium, hostile: Rendered) -> None:
    browser.send("Page.setBypassCSP", enabled=True)
    try:
        browser.open(hostile.path.as_uri())
        browser.evaluate(
            "document.querySelectorAll('*').forEach(e => ['click', 'mouseover', 'focus', 'load', 'error']"
            ".forEach(kind => e.tagName === 'A' || e.dispatchEvent(new Event(kind))))"
        )
        browser.evaluate("new Promise(done => setTimeout(done, 300))")
        assert browser.evaluate("typeof window.hacked") == "undefined"
        assert browser.requests() == [hostile.path.as_uri()]
        assert browser.evaluate("location.href") == hostile.path.as_uri()
        assert browser.evaluate("document.body.innerText.includes('<script>window.hacked = 1</script>')")
        assert browser.evaluate("document.querySelectorAll('script, iframe, img, object, math, base').length") == 0
    finally:
        browser.send("Page.setBypassCSP", enabled=False)


def test_an_attack_that_was_not_escaped_would_be_noticed(browser: Chromium, report: Rendered) -> None:
    path = report.path.with_name("unescaped.html")
    path.write_text(report.text.replace("</main>", "<script>window.hacked = 1</script></main>"), encoding="utf-8")
    browser.send("Page.setBypassCSP", enabled=True)
    try:
        browser.open(path.as_uri())
        assert browser.evaluate("window.hacked") == 1
    finally:
        browser.send("Page.setBypassCSP", enabled=False)


@pytest.mark.parametrize("which", ["report", "hostile"])
@pytest.mark.parametrize("width", [360, 768])
def test_a_phone_shows_the_page_without_scrolling_sideways(
    browser: Chromium, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    found: Rendered = request.getfixturevalue(which)
    browser.open(found.path.as_uri(), width=width, height=740)
    browser.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate(WIDER) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_contrast_enough_in_light_and_dark(browser: Chromium, report: Rendered, dark: bool) -> None:
    browser.open(report.path.as_uri(), dark=dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(15, 20, 25)" if dark else "rgb(255, 255, 255)")
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where


def test_chart_colours_follow_the_colour_scheme(browser: Chromium, report: Rendered) -> None:
    colours = []
    for dark in (False, True):
        browser.open(report.path.as_uri(), dark=dark)
        colours.append(
            browser.evaluate(
                "[...new Set([...document.querySelectorAll('figure .wide svg *')].flatMap(e => "
                "[getComputedStyle(e).stroke, getComputedStyle(e).fill]))].filter(c => c.startsWith('rgb'))"
            )
        )
    assert len(colours[0]) == len(colours[1]) >= 5
    assert not set(colours[0]) & set(colours[1])
