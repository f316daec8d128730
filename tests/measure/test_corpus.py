"""Texts of any kind of file, each once, and their likelihood by plain forward passes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.fixtures import tiny

from evenhand.core.errors import DataError, MalformedRows, MissingFile
from evenhand.measure.corpus import Corpus
from evenhand.measure.perplexity import Perplexity
from evenhand.model import Model


def texts(**settings: Any) -> list[str]:
    return [item.texts["text"] for item in Corpus(**settings).load().items]


def test_a_text_file_has_paragraphs_or_else_lines(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("the cat\nsat.\n\n \nthe dog\n\nthe cat\nsat.\n", "utf-8")
    assert texts(file=str(file)) == ["the cat\nsat.", "the dog"]
    file.write_text("the cat\nthe dog\n  \n".rstrip(" \n") + "\n", "utf-8")
    assert texts(file=str(file)) == ["the cat", "the dog"]


@pytest.mark.parametrize("column", ["text", "premise", "hard_text", "comment_text"])
def test_tables_and_json_lines_say_where_the_text_stands(tmp_path: Path, column: str) -> None:
    csv, lines = tmp_path / "own.csv", tmp_path / "own.jsonl"
    csv.write_text(f"id,{column},kind\n1,the cat,a\n2,the dog,b\n3,the cat,a\n", "utf-8")
    rows = [
        {"id": n, column: text, "kind": kind} for n, (text, kind) in enumerate([("the cat", "a"), ("the dog", "b")])
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    for file in (csv, lines):
        assert texts(file=str(file)) == ["the cat", "the dog"]
        assert texts(file=str(file), where="kind=b") == ["the dog"]
        assert texts(file=str(file), column="kind") == ["a", "b"]


def test_fewer_texts_are_part_of_more_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("\n".join(f"text {n}" for n in range(40)), "utf-8")
    few, many = texts(file=str(file), documents=7), texts(file=str(file), documents=20)
    assert set(few) < set(many)
    assert few == [text for text in many if text in set(few)]


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("id,words\n1,the cat\n", "utf-8")
    with pytest.raises(DataError, match=r"found 'id', 'words'.*corpus.column=NAME"):
        Corpus(file=str(file)).load()
    with pytest.raises(DataError, match="with id=7, found none"):
        Corpus(file=str(file), column="words", where="id=7").load()
    file.write_text("id,text\n1,the cat\n2,\n", "utf-8")
    with pytest.raises(MalformedRows, match="line 3, field 'text'"):
        Corpus(file=str(file)).load()
    (tmp_path / "own.docx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"found '\.docx'"):
        Corpus(file=str(tmp_path / "own.docx")).load()
    with pytest.raises(MissingFile, match="no such file"):
        Corpus(file=str(tmp_path / "none.txt")).load()


def test_a_data_set_of_the_hub_is_read_by_the_package_or_the_message_says_how_to_do_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    rows = [{"premise": "the cat", "label": 1}, {"premise": "", "label": 1}, {"premise": "the dog", "label": 0}]

    def give(name: str, split: str) -> list[dict[str, Any]]:
        asked.append((name, split))
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=give))
    assert texts(file="stanfordnlp/snli", where="label=1", part="test") == ["the cat"]
    assert asked == [("stanfordnlp/snli", "test")]
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *_, **__: 1 / 0))
    with pytest.raises(MissingFile, match=r"ZeroDivisionError.*name the file"):
        Corpus(file="stanfordnlp/snli").load()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingFile, match="pip install datasets"):
        Corpus(file="stanfordnlp/snli").load()


def test_a_text_has_the_likelihood_of_plain_forward_passes(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("the cat sat on the mat\n\na dog ran", "utf-8")
    model = Model.wrap(tiny.shared("llama"), tiny.tokenizer())
    benchmark = Corpus(file=str(file))
    for item in benchmark.load().items:
        ids = model.tokenizer(item.texts["text"])["input_ids"]
        score = benchmark.score(item, tuple(model.answer(item.requests)))
        assert score.values["nll"] == pytest.approx(-tiny.total(model.hf, ids, 1), abs=1e-3)
        assert (score.values["tokens"], score.values["bytes"]) == (len(ids) - 1, len(item.texts["text"]))
    assert Corpus.metrics == Perplexity.metrics
