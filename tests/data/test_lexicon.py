from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from evenhand.core.errors import DataError, MissingFile, UnknownName
from evenhand.data import lexicon
from evenhand.data.lexicon import Lexicon


def made(**groups: tuple[str, ...]) -> Lexicon:
    return Lexicon(name="toy", title="t", language="en", source="s", groups=groups)


def test_whole_words_are_found_whatever_their_case() -> None:
    found = list(made(female=("she", "her"), male=("he",)).find("The theatre: HE saw She's sheep, her.Her"))
    assert [(one.word, one.group, one.start, one.end) for one in found] == [
        ("he", "male", 13, 15),
        ("she", "female", 20, 23),
        ("her", "female", 33, 36),
        ("her", "female", 37, 40),
    ]


def test_of_two_words_at_one_place_the_longer_is_found() -> None:
    found = made(a=("step", "step-father"), b=("father",)).find("a step-father")
    assert [one.word for one in found] == ["step-father"]


def test_words_are_counted_with_their_apostrophes() -> None:
    assert lexicon.word_count("Don't say it's 10 o’clock — yes.") == 6
    assert lexicon.word_count(" ... ") == 0


def test_the_list_of_the_gender_attribute_score_has_14_words_for_each_gender() -> None:
    gas = lexicon.get("gas")
    assert {group: len(words) for group, words in gas.groups.items()} == {"female": 14, "male": 14}
    assert gas.group_of["madam"] == "female"


def test_every_list_that_comes_along_is_read_and_tables_for_swapping_are_no_lists() -> None:
    assert "gas" in lexicon.names()
    assert "gender_swap" not in lexicon.names()
    for name in lexicon.names():
        assert lexicon.get(name).name == name
        assert lexicon.get(name).source
    with pytest.raises(UnknownName, match="Did you mean 'gas'"):
        lexicon.get("gass")


def test_words_twice_or_in_capitals_are_refused() -> None:
    with pytest.raises(ValidationError, match="found again: \\['he'\\]"):
        made(a=("he",), b=("he",))
    with pytest.raises(ValidationError, match="lower case, found \\['He'\\]"):
        made(a=("He",))


def test_a_list_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text(made(a=("er",), b=("sie",)).model_dump_json(), encoding="utf-8")
    assert lexicon.read(str(file)) == made(a=("er",), b=("sie",))
    assert lexicon.digest(lexicon.read(str(file))) == lexicon.digest(made(a=("er",), b=("sie",)))
    assert lexicon.digest(made(a=("er",))) != lexicon.digest(made(b=("er",)))


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"name": "x"})])
def test_a_file_that_is_no_word_list_is_an_error_that_says_what_one_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"own\.json: expected a JSON object with name"):
        lexicon.read(str(file))
    with pytest.raises(MissingFile, match="no such file"):
        lexicon.read(str(tmp_path / "absent.json"))
