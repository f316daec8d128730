from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.errors import ChecksumMismatch, LicenceNotAccepted, MissingFile, UnknownName
from evenhand.data import catalogue, source
from evenhand.data.places import Unreachable
from evenhand.data.source import Variant, get, names

ROWS = b"id,text\n1,one\n2,two\n"


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_unknown_source_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'crows_pairs'"):
        get("crowspairs")


def test_an_unknown_file_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"no file of bbq 'Age\.json'. Did you mean 'Age\.jsonl'"):
        get("bbq").path("Age.json")


def test_the_local_folder_comes_first_and_no_place_is_asked(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = toys.given(ROWS)
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path / "mine"))
    mine = put(tmp_path / "mine", "toy/rows.csv", ROWS)
    toy = toys.source(toys.file(ROWS, place))
    assert toy.state() == "local"
    assert toy.path("rows.csv") == mine
    assert place.asked == 0
    assert toy.use().source == "local folder EVENHAND_DATA"


def test_a_wrong_file_in_the_local_folder_is_an_error_that_shows_both_checksums(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path))
    mine = put(tmp_path, "toy/rows.csv", b"something else")
    place = toys.given(ROWS)
    with pytest.raises(ChecksumMismatch) as caught:
        toys.source(toys.file(ROWS, place)).path("rows.csv")
    for part in (str(mine), toys.sha(ROWS), toys.sha(b"something else"), "EVENHAND_DATA"):
        assert part in str(caught.value)
    assert place.asked == 0


def test_a_variant_is_right_in_the_local_folder_and_counts_as_the_same_data(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minified = b'{"a":1}'
    content = b'{ "a": 1 }\n'
    variant = Variant(toys.sha(minified), len(minified), "without white space")
    toy = toys.source(toys.file(content, toys.given(content), variants=(variant,)))
    toy.path("rows.csv")
    fetched = toy.use()
    put(tmp_path, "toy/rows.csv", minified)
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path))
    assert toy.state() == "local"
    assert toy.path("rows.csv").read_bytes() == minified
    assert toy.use().sha256 == fetched.sha256
    assert toy.use().source == "local folder EVENHAND_DATA, without white space"
    assert fetched.source == "a test's place"


def test_a_variant_is_not_accepted_from_anywhere_else(toys: Any) -> None:
    variant = Variant(toys.sha(b"{}"), 2, "short")
    with pytest.raises(ChecksumMismatch):
        toys.source(toys.file(ROWS, toys.given(b"{}"), variants=(variant,))).path("rows.csv")


def test_a_fetched_file_is_kept_and_the_place_is_asked_once(toys: Any, cache_folder: Path) -> None:
    place = toys.given(ROWS[:5], ROWS[5:])
    toy = toys.source(toys.file(ROWS, place))
    assert toy.state() == "to fetch"
    path = toy.path("rows.csv")
    assert path == cache_folder / "files" / "toy" / "rows.csv"
    assert path.read_bytes() == ROWS
    assert toy.state() == "cached"
    assert toy.path("rows.csv") == path
    assert place.asked == 1


def test_a_damaged_cached_file_is_fetched_again_even_if_its_size_is_right(toys: Any) -> None:
    toy = toys.source(toys.file(ROWS, toys.given(ROWS)))
    path = toy.path("rows.csv")
    path.write_bytes(b"X" * len(ROWS))
    assert toy.path("rows.csv").read_bytes() == ROWS


def test_the_next_place_is_tried_when_one_cannot_be_reached(toys: Any) -> None:
    toy = toys.source(toys.file(ROWS, toys.given(Unreachable("no network")), toys.given(ROWS)))
    assert toy.path("rows.csv").read_bytes() == ROWS


def test_a_place_that_gives_wrong_bytes_is_an_error_and_no_other_is_tried(toys: Any, cache_folder: Path) -> None:
    other = toys.given(ROWS)
    toy = toys.source(toys.file(ROWS, toys.given(b"X" * len(ROWS)), other))
    with pytest.raises(ChecksumMismatch) as caught:
        toy.path("rows.csv")
    for part in ("rows.csv", "a test's place", toys.sha(ROWS), toys.sha(b"X" * len(ROWS)), "Mend the test."):
        assert part in str(caught.value)
    assert other.asked == 0
    assert not list((cache_folder / "files").rglob("*.*"))


def test_a_place_that_gives_too_much_is_stopped(toys: Any) -> None:
    endless = toys.given(*[ROWS] * 1000)
    with pytest.raises(ChecksumMismatch, match="more than the expected 20 bytes"):
        toys.source(toys.file(ROWS, endless)).path("rows.csv")


def test_a_missing_file_lists_every_way_to_get_it(toys: Any, cache_folder: Path, tmp_path: Path) -> None:
    toy = toys.source(toys.file(ROWS, toys.given(Unreachable("it rains"))))
    with pytest.raises(MissingFile) as caught:
        toy.path("rows.csv")
    text = str(caught.value)
    assert "1. put it into a folder as toy/rows.csv and set EVENHAND_DATA" in text
    assert f"2. put it at {cache_folder}/files/toy/rows.csv [not there]" in text
    assert "3. ask the test [it rains]" in text
    assert "4. upstream: https://example.org/toy" in text
    assert toys.sha(ROWS) in text


def test_a_file_put_into_the_cache_by_hand_as_the_error_says_is_found(toys: Any, cache_folder: Path) -> None:
    toy = toys.source(toys.file(ROWS))
    with pytest.raises(MissingFile):
        toy.path("rows.csv")
    put(cache_folder, "files/toy/rows.csv", ROWS)
    assert toy.path("rows.csv").read_bytes() == ROWS
    assert toy.use().source == "cache (origin not noted)"
    assert not toy.fetchable


def test_use_hashes_the_checksums_in_order_and_names_each_origin_once(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = toys.file(b"1", toys.given(b"1"), name="one"), toys.file(b"2", toys.given(b"2"), name="two")
    put(tmp_path, "toy/three", b"3")
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path))
    toy = toys.source(one, two, toys.file(b"3", name="three"))
    use = toy.use()
    assert use.sha256 == toys.sha("\n".join([toys.sha(b"1"), toys.sha(b"2"), toys.sha(b"3")]).encode())
    assert use.source == "a test's place; local folder EVENHAND_DATA"
    assert (use.name, use.licence, use.citation) == ("toy", "CC0", "Nobody 2020")
    assert toy.use(["two", "one"]).sha256 == toys.sha(f"{toys.sha(b'2')}\n{toys.sha(b'1')}".encode())
    assert toy.state() == "cached"
    assert toy.size == 3


def test_terms_must_be_accepted_before_anything_is_fetched(toys: Any) -> None:
    place = toys.given(ROWS)
    toy = toys.source(toys.file(ROWS, place), terms="https://example.org/terms")
    with pytest.raises(LicenceNotAccepted, match=r"https://example.org/terms; to accept, add --accept-licence"):
        toy.paths()
    assert place.asked == 0
    assert toy.needs_licence
    assert toy.paths(accept_licence=True)["rows.csv"].read_bytes() == ROWS
    assert not toy.needs_licence
    assert toy.path("rows.csv").is_file()


def test_terms_hold_for_a_local_file_too(toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "toy/rows.csv", ROWS)
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path))
    with pytest.raises(LicenceNotAccepted):
        toys.source(toys.file(ROWS), terms="https://example.org/terms").path("rows.csv")


def test_accepting_by_name_is_remembered_with_the_terms_and_the_time(
    toys: Any, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = toys.source(toys.file(ROWS, toys.given(ROWS)), terms="https://example.org/terms")
    monkeypatch.setattr(catalogue, "SOURCES", {"toy": toy})
    source.accept("toy")
    assert toy.path("rows.csv").read_bytes() == ROWS
    note = json.loads((cache_folder / "licences" / "toy.json").read_text())
    assert note["terms"] == "https://example.org/terms"
    assert note["accepted"].endswith("+00:00")


def test_only_gemma_asks_for_acceptance() -> None:
    assert [name for name in names() if get(name).needs_licence] == ["gemma3-270m"]


LOCAL_ONLY = {"wikitext2", "strategyqa", "boolq", "arc", "mmlu", "commonsense_qa"}
"""Sources that no wheel and no hub repository holds with the pinned bytes."""


@pytest.mark.parametrize("name", sorted(LOCAL_ONLY))
def test_a_source_without_a_place_says_where_to_put_its_files(name: str) -> None:
    file = get(name).files[0]
    with pytest.raises(MissingFile) as raised:
        get(name).path(file.name)
    assert all(word in str(raised.value) for word in (file.local, file.sha256, "EVENHAND_DATA", get(name).upstream))


def test_every_catalogued_file_is_complete_and_none_claims_the_place_of_another() -> None:
    local = [file.local for name in names() for file in get(name).files]
    assert len(set(local)) == len(local) >= 150
    for name in names():
        found = get(name)
        assert found.licence
        assert found.citation
        for file in found.files:
            assert len(file.sha256) == 64
            assert set(file.sha256) <= set("0123456789abcdef")
            assert found.file(file.name) is file
            assert file.places or name in LOCAL_ONLY


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("name", names())
def test_the_pinned_checksums_are_those_of_the_real_files(name: str) -> None:
    found = get(name)
    if found.needs_licence:
        pytest.skip(f"the terms of {name} are not accepted on this machine")
    if found.state() == "to fetch":
        pytest.skip(f"{name} is neither in EVENHAND_DATA nor in the cache")
    sizes = {file: path.stat().st_size for file, path in found.paths().items()}
    for entry in found.files:
        assert sizes[entry.name] in {entry.size, *(other.size for other in entry.variants)}


@pytest.mark.usefixtures("real")
def test_the_minified_stereoset_has_the_content_of_the_published_one() -> None:
    entry = get("stereoset").file("dev.json")
    folder = source.local_folder()
    if folder is None or not source._local_candidate(entry) or not source._cache_candidate(get("stereoset"), entry):
        pytest.skip("needs StereoSet both in EVENHAND_DATA and in the cache")
    cached = source.cache.file_path("stereoset", "dev.json")
    assert json.loads((folder / entry.local).read_bytes()) == json.loads(cached.read_bytes())
