"""What `import evenhand` gives: the names that the pages use, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import evenhand


@pytest.mark.parametrize("name", evenhand.__all__)
def test_every_public_name_is_there_and_can_be_called(name: str) -> None:
    assert callable(getattr(evenhand, name))


@pytest.mark.parametrize(
    ("module", "name", "registered"),
    [
        ("mitigations", "Leace", "leace"),
        ("mitigations", "SentenceDebias", "sentence_debias"),
        ("mitigations", "LogitOffset", "logit_offset"),
        ("locators", "HeadPatching", "head_patching"),
    ],
)
def test_methods_and_locators_are_found_by_the_names_of_their_classes(module: str, name: str, registered: str) -> None:
    found = getattr(evenhand, module)
    assert getattr(found, name).name == registered
    assert name in dir(found)
    with pytest.raises(AttributeError, match="evenhand list"):
        _ = found.Nothing


@pytest.mark.parametrize("before", ["", "from evenhand.measure.pairs import Pairs"])
def test_measure_can_be_called_although_a_folder_has_its_name(before: str) -> None:
    script = f"""
import evenhand
{before}
for _ in range(2):
    try:
        evenhand.measure(None, "no such suite")
    except evenhand.core.errors.UnknownName as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count("There is no suite 'no such suite'") == 2
