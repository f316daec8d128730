"""Pages of trials, sites and comparisons as files: complete, honest, self-contained, escaped."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from evenhand.core.record import Curve, Finding, Map, Series, SiteScore, Table
from evenhand.core.trial import Continuation, Example, Judgement, Verdict
from evenhand.report import comparison, html
from evenhand.report.verdicts import VERDICTS

from . import trials
from .corpus import ATTACKS
from .test_html import Page

EVERYTHING = os.linesep.join(ATTACKS)
FOLDER = "trials/smollm2-leace"


def compared() -> comparison.Comparison:
    several = trials.seeds(Verdict.IMPROVED, Verdict.NO_EFFECT)
    return comparison.of([(Path("a/one"), trials.trial()), (Path("b/one"), several), (Path("c"), trials.trial())])


def hostile_findings() -> tuple[Finding, ...]:
    """Curves, maps and tables whose every text is an attack."""
    lines = tuple(Series(name=attack, x=(0, 1), y=(0, 1)) for attack in ATTACKS)
    numbers = tuple(tuple(float(n) for n, _ in enumerate(ATTACKS)) for _ in ATTACKS)
    return (
        Curve(title=EVERYTHING, x=ATTACKS[0], y=ATTACKS[1], series=lines, note=EVERYTHING),
        Curve(title=EVERYTHING, x=ATTACKS[2], y=ATTACKS[3], series=lines[:3]),
        Map(
            title=EVERYTHING,
            rows=ATTACKS[4],
            columns=ATTACKS[5],
            values=numbers,
            row_names=ATTACKS,
            column_names=ATTACKS,
            unit=ATTACKS[6],
        ),
        Table(title=EVERYTHING, columns=ATTACKS, rows=(ATTACKS,), note=EVERYTHING),
    )


def hostile_trial() -> str:
    """A page of a trial in which every text that comes from outside is an attack."""
    base = trials.trial()
    names = {arm.name: ATTACKS[number] for number, arm in enumerate(base.arms)}
    arms = tuple(
        arm.model_copy(
            update={
                "name": names[arm.name],
                "notes": ATTACKS,
                "findings": hostile_findings(),
                "folder": ATTACKS[3],
                "patch": ATTACKS[4],
            }
        )
        for arm in base.arms
    )

    def renamed(one: object) -> object:
        change = one.change.model_copy(update={"reason": ATTACKS[0], "unit": ATTACKS[5]})  # type: ignore[attr-defined]
        if change.by:
            change = change.model_copy(update={"by": {ATTACKS[1]: f"{ATTACKS[2]}{next(iter(change.by.values()))}"}})
        return one.model_copy(update={"arm": names[one.arm], "change": change})  # type: ignore[attr-defined]

    outcomes = tuple(renamed(one) for one in base.outcomes)
    judged = base.judgement.model_copy(update={"why": EVERYTHING})
    return html.trial_page(
        base.model_copy(
            update={
                "command": EVERYTHING,
                "method": ATTACKS[0],
                "model": base.model.model_copy(update={"name": EVERYTHING, "licence": EVERYTHING}),
                "card": base.card.model_copy(
                    update={"title": EVERYTHING, "formula": EVERYTHING, "cautions": ATTACKS[7]}
                ),
                "settings": {attack: attack for attack in ATTACKS},
                "fitted_on": EVERYTHING,
                "tested_on": {attack: {"settings": {attack: attack}, "fold": attack} for attack in ATTACKS},
                "arms": arms,
                "outcomes": outcomes,
                "guard_outcomes": tuple(
                    one.model_copy(update={"arm": names[one.arm], "rule": EVERYTHING, "reason": EVERYTHING})
                    for one in base.guard_outcomes
                ),
                "judgement": judged,
                "by_seed": tuple(Judgement(seed=0, verdict=Verdict.HARMED, why=a, primary=()) for a in ATTACKS),
                "examples": tuple(
                    Example(
                        benchmark=attack,
                        id=attack,
                        texts={"stereotype": attack, "anti-stereotype": EVERYTHING, attack: attack},
                        before={attack: 1.0},
                        after={attack: 2.0},
                    )
                    for attack in ATTACKS
                ),
                "continuations": tuple(
                    Continuation(prompt=attack, before=attack, after={attack: attack}) for attack in ATTACKS
                ),
                "notes": ATTACKS,
                "findings": hostile_findings(),
                "no_sham": EVERYTHING,
            }
        ),
        ATTACKS[1],
    )


def hostile_sites() -> str:
    found = trials.heads()
    scores = [score.model_copy(update={"details": {attack: 1.0 for attack in ATTACKS}}) for score in found.scores]
    said = {"locator": EVERYTHING, "unit": ATTACKS[0], "null": EVERYTHING, "correction": EVERYTHING, "notes": ATTACKS}
    settings = {attack: attack for attack in ATTACKS}
    return html.sites_page(
        trials.sites(
            scores, settings=settings, command=EVERYTHING, fold=ATTACKS[2], patch={ATTACKS[3]: ATTACKS[4]}, **said
        )
    )


PAGES = {
    "trial": lambda: html.trial_page(trials.trial(), FOLDER),
    "seeds": lambda: html.trial_page(trials.seeds(Verdict.IMPROVED, Verdict.NO_EFFECT), FOLDER),
    "heads": lambda: html.sites_page(trials.heads()),
    "layers": lambda: html.sites_page(trials.layers()),
    "compared": lambda: html.comparison_page(compared()),
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """All pages as text."""
    return {name: make() for name, make in PAGES.items()}


@pytest.fixture(scope="module")
def hostile() -> dict[str, str]:
    """Pages full of attacks."""
    return {"trial": hostile_trial(), "sites": hostile_sites()}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed_and_points_nowhere_outside(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert page.crossed == []
    assert page.open == []
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    places = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {link["href"] for link in page.all("a")} <= {f"#{place}" for place in places}
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in page.all("svg"))
    assert len(page.all("svg")) == 2 * len(page.all("figure")) > 0
    assert {tag for tag, _ in page.elements} & {"script", "iframe", "img", "object"} == set()


@pytest.mark.parametrize("name", ["trial", "sites"])
def test_attacks_add_no_element_and_no_attribute(pages: dict[str, str], hostile: dict[str, str], name: str) -> None:
    found = Page(hostile[name])
    plain = [Page(text) for text in pages.values()]
    assert found.crossed == []
    assert found.open == []
    assert {tag for tag, _ in found.elements} <= {tag for page in plain for tag, _ in page.elements}
    known = {key for page in plain for _, attributes in page.elements for key in attributes}
    assert {key for _, attributes in found.elements for key in attributes} <= known
    assert all((link["href"] or "").startswith("#") for link in found.all("a"))
    assert "<script>window.hacked = 1</script>" in found.text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]", hostile[name]
    )


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_words_and_stands_on_top(verdict: Verdict) -> None:
    page = Page(html.trial_page(trials.trial(verdict, grid=(), examples=(), continuations=()), FOLDER))
    top = page.text.partition("Primary numbers What")[0]
    assert VERDICTS[verdict].title in top
    assert VERDICTS[verdict].means in top


def test_a_trial_shows_every_arm_of_every_primary_and_transfer_number(pages: dict[str, str]) -> None:
    text = Page(pages["trial"]).text
    for title in ("StereoSet: Stereotype score (SS)", "CrowS-Pairs: Stereotype rate, whole sentence"):
        assert title in text
    assert "−4.2−6.6 to −1.8" in text
    assert text.count("sham: shuffled labels") > 5
    assert text.count("rival: word_list_bias") > 5


def test_the_statement_names_change_interval_sham_and_what_could_be_found(pages: dict[str, str]) -> None:
    text = Page(pages["trial"]).text.replace("\u00a0", " ")
    assert (
        "StereoSet: Stereotype score (SS) went from 62.1 to 57.3 %, a change of −4.8 (95 % interval −6.9 to −2.7). "
        "That is nearer to the ideal of 50. The sham changed it by −0.6. A change of 3.0 would be found in 4 of 5 such "
        "samples."
    ) in text


def test_missing_shams_and_disagreeing_seeds_are_said_plainly(pages: dict[str, str]) -> None:
    text = Page(pages["seeds"]).text
    assert "No sham was measured, so nothing here tells the claimed mechanism from what any change" in text
    assert "The seeds do not agree" in text
    assert "as seed 1 has it." in text
    why = Page(html.trial_page(trials.trial(arms=(trials.arm(),), no_sham="it has no mechanism."), FOLDER)).text
    assert "There is no sham: it has no mechanism." in why


def test_categories_are_tallied_against_chance_and_marked_in_words(pages: dict[str, str]) -> None:
    text = Page(pages["trial"]).text
    assert "of 9 rows moved towards the ideal" in text
    assert "by chance alone about 0.45 would move" in text
    assert "further" in text.partition("Categories Making")[2].partition("Guards What")[0]


def test_how_to_attach_and_merge_is_shown(pages: dict[str, str]) -> None:
    assert f"evenhand audit smollm2 --with {FOLDER}/patch" in Page(pages["trial"]).text
    assert "it stays a patch beside the model" in Page(pages["trial"]).text
    mergeable = trials.trial(arms=(trials.arm().model_copy(update={"mergeable": True}),))
    assert f"evenhand export smollm2 --with {FOLDER}/patch --to models/leace" in html.trial_page(mergeable, FOLDER)


def test_a_failed_guard_is_marked_with_its_reason() -> None:
    page = html.trial_page(trials.trial(Verdict.GUARD_FAILED, guard_outcomes=(trials.guard("failed", 3.1),)), FOLDER)
    assert 'class="n further"><span class="who">State</span>failed</td>' in page
    assert "<small>changed by +3.1, allowed is +1.2</small>" in page


def test_without_a_guard_a_grid_or_examples_the_page_says_so() -> None:
    bare = trials.trial(guard_outcomes=(), grid=(), examples=(), continuations=(), command="", settings={})
    text = Page(html.trial_page(bare, FOLDER)).text
    assert "No guard was set." in text
    assert "The trial holds none." in text
    assert "Strength: bias against ability" not in text
    assert "It was made from Python; there is no command line." in text


def test_the_grid_shows_strengths_and_which_was_taken(pages: dict[str, str]) -> None:
    text = Page(pages["trial"]).text
    assert "0.5 taken 59 24.75" in re.sub(
        r"StereoSet: Stereotype score \(SS\)(?=\d)|Perplexity(?=\d)", " ", text
    ).replace("  ", " ")


def test_a_number_without_a_value_gives_its_reason_and_no_zero() -> None:
    gone = trials.outcome(of=trials.change(value=None, half=None, reason="every item failed"))
    judged = Judgement(seed=None, verdict=Verdict.UNDECIDED, why="undefined", primary=(gone,))
    page = html.trial_page(trials.trial(outcomes=(gone,), judgement=judged, grid=()), FOLDER)
    assert "no change can be given, because every item failed" in page
    assert "No sham" not in Page(page).text.partition("Primary")[0]


def test_sites_say_how_many_were_found_and_what_that_means(pages: dict[str, str]) -> None:
    text = Page(pages["heads"]).text
    assert "2 of 81 sites are beyond chance after correction" in text
    assert "The model was only read." in text
    assert "--with head_mask --set heads=@FOLDER/sites.json:10" in text


def test_nothing_found_is_said_and_nothing_is_handed_on() -> None:
    text = Page(html.sites_page(trials.heads(found=()))).text
    assert "Nothing found" in text
    assert "none of 81 sites is beyond chance" in text
    assert "head_mask" not in text


def test_sites_that_were_not_tested_or_have_no_value_are_no_findings() -> None:
    bare = trials.sites([SiteScore(site="L0.mlp", value=None, low=None, high=None)], causal=True)
    text = Page(html.sites_page(bare)).text
    assert "None of the 1 sites was tested against the null" in text
    assert "The model was changed at each site" in text


def test_a_comparison_names_each_trial_apart_and_what_hinders(pages: dict[str, str]) -> None:
    text = Page(pages["compared"]).text
    for label in ("a/one", "b/one"):
        assert label in text
    assert "No sham was measured in b/one." in text


def test_equal_trials_give_equal_bytes(pages: dict[str, str]) -> None:
    assert html.trial_page(trials.trial(), FOLDER) == pages["trial"]


def test_the_sentence_claims_no_interval_where_the_change_has_none() -> None:
    one = trials.outcome(of=trials.change(half=None, reason="too few clusters"))
    judged = Judgement(seed=None, verdict=Verdict.UNDECIDED, why="small", primary=(one,))
    text = Page(html.trial_page(trials.trial(outcomes=(one,), judgement=judged, grid=()), FOLDER)).text
    assert "(no interval: too few clusters). Without an interval nothing can be said about it." in text


def test_names_and_folders_with_spaces_are_quoted_in_commands() -> None:
    live = trials.trial(model=trials.trial().model.model_copy(update={"name": "live model"}))
    assert "evenhand audit 'live model' --with 'my trials/a/patch'" in Page(html.trial_page(live, "my trials/a")).text


def test_what_fitting_found_is_drawn_for_each_arm_of_the_method(pages: dict[str, str]) -> None:
    text = Page(pages["trial"]).text
    section = text.partition("What fitting found Macro-F1 by layer")[2].partition("Strength: bias against ability")[0]
    for title in ("Loss over the steps", "Attention to 'No'", "Heads that were tried"):
        assert title in section
    assert text.count("Macro-F1 by layer") == 2  # heading and table of the method's arm; none of the sham
    assert "What measuring found" not in text
    measured = Page(html.trial_page(trials.trial(findings=trials.findings()[1:2], arms=(trials.arm(),)), FOLDER)).text
    assert "What measuring found Loss over the steps" in measured
