"""`evenhand list`: complete, readable at 80 columns, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from evenhand.cli.listing import Kind, short
from evenhand.core import registry
from evenhand.data import source
from evenhand.measure._suites import SUITES

Evenhand = Callable[..., Any]


def test_everything_in_the_catalogue_is_listed_by_name(evenhand: Evenhand) -> None:
    done = evenhand("list")
    assert done.code == 0
    first_words = {line.split()[0] for line in done.out.splitlines() if line and not line.startswith(" ")}
    named = {name for kind in registry.FOLDERS for name in registry.names(kind)} | {*SUITES, *source.names()}
    assert first_words == named | {kind.value for kind in Kind}


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_one_part_is_listed_alone(evenhand: Evenhand, kind: str) -> None:
    assert evenhand("list", kind).out.startswith(f"{kind}\n")
    assert list(json.loads(evenhand("list", kind, "--json").out)) == [kind]


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_is_wider_than_the_terminal(evenhand: Evenhand, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, evenhand("list").out.splitlines())) <= columns


def test_a_wide_terminal_does_not_make_lines_too_long_to_read(
    evenhand: Evenhand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert max(map(len, evenhand("list").out.splitlines())) <= 100


def test_json_has_the_full_source_and_the_settings(evenhand: Evenhand) -> None:
    benchmarks = {one["name"]: one for one in json.loads(evenhand("list", "benchmarks", "--json").out)["benchmarks"]}
    assert benchmarks["stereoset"]["settings"] == "task, file"
    assert "https://aclanthology.org/2021.acl-long.416" in benchmarks["stereoset"]["source"]


def test_a_benchmark_shows_first_author_year_needs_and_settings(evenhand: Evenhand) -> None:
    assert "Nadeem et al. 2021; a decoder; --set task, file" in evenhand("list", "benchmarks").flat


def test_data_and_models_show_licence_size_and_state(evenhand: Evenhand) -> None:
    assert "CC BY 4.0; 56.8 MB; to fetch" in evenhand("list", "data").flat
    assert "WikiText" in evenhand("list", "data").out
    assert "only from EVENHAND_DATA" in evenhand("list", "data").flat
    assert "Gemma Terms of Use (to be accepted); 253.1 MB; to fetch" in evenhand("list", "models").flat


def test_a_method_shows_paper_needs_items_whether_it_runs_offline_and_settings(evenhand: Evenhand) -> None:
    methods = {one["name"]: one for one in json.loads(evenhand("list", "mitigations", "--json").out)["mitigations"]}
    assert methods["leace"]["items"] == "fitted on perplexity"
    assert methods["leace"]["offline"] == "fetches gap first"
    assert "amount" in methods["leace"]["settings"]
    assert methods["head_mask"]["items"] == "needs no data"
    assert methods["head_mask"]["offline"] == "runs offline"
    assert "Belrose et al. 2023" in evenhand("list", "mitigations").flat


@pytest.mark.parametrize("kind", ["locators", "mitigations", "controls"])
def test_every_method_says_what_it_needs(evenhand: Evenhand, kind: str) -> None:
    for one in json.loads(evenhand("list", kind, "--json").out)[kind]:
        assert one["needs"], one["name"]
        assert one["source"], one["name"]


def test_suites_show_what_they_hold(evenhand: Evenhand) -> None:
    assert "quick crows_pairs, stereoset (task=intrasentence), bbq (1,000 items), perplexity" in evenhand("list").flat


@pytest.mark.parametrize(
    ("full", "shown"),
    [
        ("A Title With: Colons. Nadeem, Bethke, Reddy, ACL 2021. https://x.org/2021.1", "Nadeem et al. 2021"),
        ("A Title. Kim, ACL 2019. https://x.org", "Kim 2019"),
        ("The measure of X (Nangia et al., EMNLP 2020, https://x.org/2020.1) on own texts.", "Nangia et al. 2020"),
        ("A Title, Nadeem et al., ACL 2021, https://x.org", "Nadeem et al. 2021"),
        ("Internal note of the team", "Internal note of the team"),
        ("A very long note of the team that names no year and goes on and on", "A very long note of the team that ..."),
    ],
)
def test_a_source_is_shortened_to_author_and_year(full: str, shown: str) -> None:
    assert short(full) == shown


def test_every_benchmark_of_ours_has_a_short_source_with_a_year() -> None:
    for name, cls in registry.entries("benchmarks"):
        assert short(cls.card.source).split()[-1].isdecimal(), name


def test_an_unknown_part_is_bad_usage_and_names_the_parts(evenhand: Evenhand) -> None:
    done = evenhand("list", "benchmark")
    assert done.code == 2
    assert "'benchmarks'" in done.err
