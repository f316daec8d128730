"""Bad input of every kind: one clear message, the right exit code, never a traceback.

The fixture `evenhand` raises whatever would reach a user as a traceback.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Evenhand = Callable[..., Any]
Files = Callable[[], set[str]]

HALF_A_PAIR = r"a\ud800b"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["measure", "tiny"], "Missing option '--on'"),
        (["measure", "tiny", "--on", ""], "--on '' names no benchmark"),
        (["measure", "tiny", "--on", " , ,"], "names no benchmark. Example: --on crows_pairs"),
        (["measure", "tiny", "--on", "pears"], "There is no benchmark 'pears'. Did you mean 'pairs'"),
        (["measure", "tiny", "--on", "pears:x.csv"], "There is no benchmark 'pears'"),
        (["measure", "tiny", "--on", "bbq,bbq:bbq.jsonl"], "names bbq twice"),
        (["measure", "tiny", "--on", "pairs"], "pairs needs the setting 'file', e.g. --on pairs:FILE"),
        (["measure", "tiny", "--on", "pairs:"], "a file must follow 'pairs:'"),
        (
            ["measure", "tiny", "--on", "perplexity:x"],
            "There is no setting of perplexity 'file'. Known: documents, text",
        ),
        (["measure", "tiny", "--on", "bbq", "--set", "bbq.categories=Agee"], "Did you mean 'Age'"),
        (["measure", "tiny", "--on", "bbq", "--set", "x"], "is not of the form NAME.FIELD=VALUE"),
        (["measure", "tiny", "--on", "bbq", "--set", "bbq.x=1"], "There is no setting of bbq 'x'"),
        (["measure", "tiny", "--on", "bbq", "--set", "pairs.file=x"], "'pairs' is not among the benchmarks of --on"),
        (["measure", "tiny", "--on", "stereoset", "--set", "stereoset.task=x"], "input should be 'intrasentence'"),
        (["measure", "tiny", "--on", "perplexity", "--set", "perplexity.documents=0"], "greater than or equal to 1"),
        (["measure", "nomodel", "--on", "pairs:pairs.csv"], "There is no model 'nomodel'"),
        (["measure", "", "--on", "pairs:pairs.csv"], "There is no model ''"),
        (["measure", "./none", "--on", "pairs:pairs.csv"], "There is no model './none'"),
        (["measure", "none.gguf", "--on", "pairs:pairs.csv"], "The file none.gguf does not exist"),
        (["measure", "~nosuchuser/x", "--on", "pairs:pairs.csv"], "There is no model"),
        (["measure", "a/b c", "--on", "pairs:pairs.csv"], "'a/b c' is no possible hub id"),
        (["measure", "x" * 5000, "--on", "pairs:pairs.csv"], "There is no model 'xxx"),
        (["measure", ".", "--on", "pairs:pairs.csv"], "has no config.json"),
        (["audit"], "Missing argument 'MODEL'"),
        (["nothing"], "No such command 'nothing'"),
        (["audit", "tiny", "--nothing"], "No such option"),
    ],
)
def test_a_command_that_makes_no_sense_is_bad_usage_and_writes_nothing(
    evenhand: Evenhand, files: Files, args: list[str], said: str
) -> None:
    before = files()
    done = evenhand(*args)
    assert done.code == 2
    assert done.out == ""
    assert said in " ".join(done.err.replace("\u2502", " ").split())
    assert files() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "0"], "'--limit': Input should be greater than or equal to 1"),
        (["--limit", "-3"], "'--limit'"),
        (["--limit", "many"], "'--limit': Input should be a valid integer"),
        (["--limit", "1.5"], "'--limit'"),
        (["--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (["--batch-tokens", "1"], "'--batch-tokens'"),
        (["--dtype", "int8"], "'int8' is not one of"),
        (["--chat", "maybe"], "'maybe' is not one of"),
        (["--device", "cuda:99"], "--device cuda:99 is not usable here"),
        (["--device", "nonsense"], "--device nonsense is not usable here"),
        (["--device", "meta"], "--device meta is not usable here"),
        (["--out", "pairs.csv"], "pairs.csv is a file, not a folder"),
        (["--out", "pairs.csv/deeper"], "pairs.csv is a file, not a folder"),
        (["--out", "x" * 400], "File name too long"),
        (["--gate", "5"], "is not of the form benchmark.metric<=number"),
        (["--revision", "main"], "only ids of the Hugging Face hub have revisions, 'tiny' is none"),
    ],
)
def test_an_option_that_does_not_fit_is_bad_usage_and_writes_nothing(
    evenhand: Evenhand, files: Files, options: list[str], said: str
) -> None:
    before = files()
    done = evenhand("measure", "tiny", "--on", "pairs:pairs.csv", *options)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.replace("\u2502", " ").split())
    assert files() == before


@pytest.mark.parametrize(
    "options", [["--batch-tokens", "99999999999999999999"], ["--limit", "9" * 30], ["--seed", "9" * 30]]
)
def test_enormous_numbers_are_taken_as_they_are(evenhand: Evenhand, options: list[str]) -> None:
    assert evenhand("measure", "tiny", "--on", "pairs:pairs.csv", "--out", "out", "-q", *options).code == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"", "x.csv: expected rows, found an empty file"),
        ("x.csv", b"\xef\xbb\xbf \n", "found an empty file"),
        ("x.csv", bytes(range(256)), "x.csv: expected UTF-8 text, found the byte 0x80 in line"),
        ("x.csv", b"more,less\na caf\xe9,b\n", "found the byte 0xe9 in line 2"),
        ("x.csv", b"more,less\n", "x.csv: expected rows, found only the header"),
        ("x.csv", b"a,b\n1,2\n", "missing: more, less; found: 'a', 'b'"),
        ("x.csv", b"more,less\nx,y\nonly one\n,z\n", "line 3, field 'less': expected text, found nothing"),
        ("x.csv", b"more,less\nx,y\nonly one\n,z\n", "line 4, field 'more': expected text, found nothing"),
        ("x.csv", b'more,less\n"x,y\n', "x.csv, line 2: not readable as a table"),
        ("x.csv", b"more,less\n" + b"x" * 200_000 + b",y\n", "field larger than field limit"),
        ("x.csv", b"id,more,less\n1,x,y\n1,v,w\n", "field 'id': expected an id used once, found '1' of line 2"),
        ("x.json", b"{", "x.json, line 1: expected JSON"),
        ("x.json", b"[]", "expected a JSON object, found a list"),
        ("x.json", b"{}", "expected rows under data.intrasentence"),
        ("x.json", b"[" * 100_000, "maximum recursion depth exceeded"),
        ("x.json", b'{"data": ' + b"1" * 5000 + b"}", "Exceeds the limit"),
        ("x.json", json.dumps({"data": HALF_A_PAIR}).replace("\\\\", "\\").encode(), "surrogates not allowed"),
        ("x.jsonl", b"{}\n", "line 1, field 'category': expected text, found nothing"),
        ("x.jsonl", b"[]\n", "line 1: expected a JSON object, found a list"),
        ("x.jsonl", b"[" * 100_000, "line 1: expected a JSON object"),
        ("x.jsonl", b'{"a": "' + HALF_A_PAIR.encode() + b'"}\n', "surrogates not allowed"),
        ("x.jsonl", b"\x00\x01\x02", "line 1: expected a JSON object"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_field_before_the_model_is_loaded(
    evenhand: Evenhand, here: Path, files: Files, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, said: str
) -> None:
    monkeypatch.setattr("evenhand.model.Model.load", None)
    (here / name).write_bytes(content)
    before = files()
    reader = {".csv": "pairs", ".json": "stereoset", ".jsonl": "bbq"}[Path(name).suffix]
    done = evenhand("measure", "tiny", "--on", f"{reader}:{name}")
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert files() == before


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("none.csv", "'none.csv': asked to read it as pairs data, found no such file"),
        ("tiny", "'tiny': asked to read it as pairs data, found a folder"),
        ("/dev/null", "found no such file"),
        ("~nosuchuser/x.csv", "found no such file"),
        ("x" * 5000, "found no such file"),
    ],
)
def test_a_file_that_is_not_there_is_named(evenhand: Evenhand, file: str, said: str) -> None:
    done = evenhand("measure", "tiny", "--on", f"pairs:{file}")
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert len(done.err) < 400


def test_a_file_that_may_not_be_read_is_one_clear_error(
    evenhand: Evenhand, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "pairs.csv":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    done = evenhand("measure", "tiny", "--on", "pairs:pairs.csv")
    assert (done.code, done.err) == (
        1,
        "Error: pairs.csv cannot be read: Permission denied. Check the file's permissions.\n",
    )


@pytest.fixture
def spoilt(here: Path, tiny_folder: Path) -> Callable[[str, bytes | None], None]:
    """Make the folder `spoilt`: the tiny model with one file replaced, or removed (None)."""

    def make(name: str, content: bytes | None) -> None:
        shutil.copytree(tiny_folder, here / "spoilt")
        file = here / "spoilt" / name
        file.unlink() if content is None else file.write_bytes(content)

    return make


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("config.json", None, 2, "spoilt has no config.json"),
        ("config.json", b"{", 1, "cannot read its config"),
        ("config.json", b"[]", 1, "cannot read its config"),
        ("config.json", b"{}", 1, "cannot read its config"),
        ("config.json", b'{"model_type": "nonsense"}', 1, "cannot read its config"),
        ("config.json", b'{"model_type": "llama", "hidden_size": 7}', 1, "cannot read its config"),
        ("config.json", b'{"model_type": "t5"}', 1, "is an encoder-decoder"),
        ("tokenizer.json", None, 1, "its tokenizer cannot be read"),
        ("tokenizer.json", b"{", 1, "its tokenizer cannot be read"),
        ("tokenizer_config.json", b"[]", 1, "its tokenizer cannot be read"),
        ("model.safetensors", None, 2, "has no .safetensors weights (found: no weights)"),
        ("model.safetensors", b"", 1, "its weights could not be loaded"),
        ("model.safetensors", b"\x10\x00", 1, "its weights could not be loaded"),
    ],
)
def test_a_damaged_model_folder_is_one_clear_error(
    evenhand: Evenhand, here: Path, spoilt: Callable[..., None], name: str, content: bytes | None, code: int, said: str
) -> None:
    spoilt(name, content)
    done = evenhand("measure", "spoilt", "--on", "pairs:pairs.csv", "--out", "out")
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert not (here / "out").exists()


def test_a_chat_template_that_fails_is_one_clear_error_and_can_be_left_out(
    evenhand: Evenhand, spoilt: Callable[..., None]
) -> None:
    spoilt("chat_template.jinja", b"{% for %}")
    command = ("measure", "spoilt", "--on", "bbq_letters:bbq.jsonl", "--limit", "4", "--out", "out")
    done = evenhand(*command)
    assert (done.code, done.out) == (1, "")
    assert "chat template fails on a plain question (TemplateSyntaxError" in done.err
    assert evenhand(*command, "--chat", "off", "-q").code == 0


def test_pickled_weights_are_not_read(evenhand: Evenhand, here: Path, spoilt: Callable[..., None]) -> None:
    spoilt("model.safetensors", None)
    (here / "spoilt" / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    done = evenhand("measure", "spoilt", "--on", "pairs:pairs.csv")
    assert done.code == 2
    assert "found: pytorch_model.bin). Pickled weights can run code and are not read" in done.err
    assert not (here / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\x00" * 200, b"GGUF\x03\x00\x00\x00" + b"\xff" * 64])
def test_what_is_no_gguf_file_is_one_clear_error(evenhand: Evenhand, here: Path, content: bytes) -> None:
    (here / "x.gguf").write_bytes(content)
    done = evenhand("measure", "x.gguf", "--on", "pairs:pairs.csv", "--out", "out")
    assert (done.code, done.out) == (1, "")
    assert "The file x.gguf could not be read as a GGUF model" in done.err
    assert f"({len(content)} bytes are there)" in done.err
    assert not (here / "out").exists()
