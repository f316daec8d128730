"""The mitigation that a page builds works as a file of evenhand and as an entry point of a package."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.fixtures import tiny_data
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

import evenhand as eh
import evenhand.mitigate
from evenhand.cli._app import app
from evenhand.core import registry
from evenhand.core.requests import Compare, Scores
from evenhand.core.sites import FINAL
from evenhand.measure.pairs import Pairs
from evenhand.report import html

from . import pages

PAGE = pages.ROOT / "docs" / "add-a-mitigation.md"
FILES = {block.title: block.code for block in pages.blocks(PAGE, "python", "text") if block.title}
TEXT = "The old baker was grumpy today."


@pytest.fixture
def written(reader: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page in the working folder, and enough pairs for every fold."""
    for name, code in FILES.items():
        (reader / name).write_text(code, encoding="utf-8")
    tiny_data.many_pairs(reader / "many.csv")
    monkeypatch.setattr(html, "render_trial", lambda found, path: path.write_text("stub", "utf-8"))
    return reader


@pytest.fixture
def housed(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the page as if it lay in the catalogue's folder."""
    folder = written / "house"
    folder.mkdir()
    (written / "mean_difference.py").rename(folder / "mean_difference.py")
    monkeypatch.setattr(evenhand.mitigate, "__path__", [*evenhand.mitigate.__path__, str(folder)])
    registry._files.cache_clear()
    yield written
    registry._files.cache_clear()
    vars(evenhand.mitigate).pop("mean_difference", None)
    sys.modules.pop("evenhand.mitigate.mean_difference", None)


@pytest.fixture
def packaged(written: Path) -> Path:
    """The file of the page as an installed package that names its entry point."""
    toml = next(block.code for block in pages.blocks(PAGE, "toml"))
    point = toml.splitlines()[-1].replace('"', "")
    info = written / "mean_difference-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-difference\nVersion: 0.1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[evenhand.mitigations]\n{point}\n", encoding="utf-8")
    return written


def mitigated(*more: str) -> dict[str, object]:
    """The trial of `evenhand mitigate` with the method of the page."""
    line = ["mitigate", "./tiny-model", "--with", "mean_difference", "--fit-on", "many.csv", "--on", "pairs:many.csv"]
    found = CliRunner().invoke(app, [*line, "--guards", "none", "--out", "run", "--quiet", *more])
    assert found.exit_code == 0, found.output
    trial: dict[str, object] = json.loads(Path("run/trial.json").read_text("utf-8"))
    return trial


@pytest.mark.parametrize("home", ["housed", "packaged"])
def test_the_page_s_method_is_found_fitted_and_proved_with_its_sham(home: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(home)
    assert "mean_difference" in registry.names("mitigations")
    trial = mitigated("--set", "amount=0.5")
    arms = {arm["name"]: arm for arm in trial["arms"]}  # type: ignore[attr-defined]
    assert set(arms) == {"mean_difference", "sham: roles swapped in half of the pairs"}
    assert trial["settings"] == {"amount": 0.5}
    assert arms["mean_difference"]["tensors"] == 32
    assert eh.Patch.load("run/patch").method.name == "mean_difference"


def test_the_direction_is_the_mean_difference_of_plain_forward_passes(packaged: Path) -> None:
    model = eh.Model.load("./tiny-model")
    items = eh.items(Pairs(file="sentences.csv")).items
    patch = eh.fit(model, registry.get("mitigations", "mean_difference")(), items)
    tokenizer = AutoTokenizer.from_pretrained("tiny-model")
    network = AutoModelForCausalLM.from_pretrained("tiny-model", dtype=torch.float32)

    def state(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            hidden: torch.Tensor = network.model(input_ids=ids).last_hidden_state
        return hidden[0].mean(0)

    pairs = [(item.texts["stereotype"], item.texts["anti-stereotype"]) for item in items]
    mean = torch.stack([state(more) - state(less) for more, less in pairs]).mean(0)
    assert torch.allclose(patch.tensors["direction"], mean / mean.norm(), atol=1e-4)


def test_with_the_patch_nothing_is_left_along_the_direction(packaged: Path) -> None:
    model = eh.Model.load("./tiny-model")
    patch = eh.fit(model, registry.get("mitigations", "mean_difference")(), eh.items(Pairs(file="sentences.csv")).items)
    direction = patch.tensors["direction"]
    plain = model.answer([Compare((TEXT,))])[0]
    before = model.states([TEXT], [FINAL])[FINAL]
    with model.install(patch):
        after = model.states([TEXT], [FINAL])[FINAL]
        changed = model.answer([Compare((TEXT,))])[0]
    assert float((before @ direction).abs()) > 1e-3
    assert float((after @ direction).abs()) < 1e-5
    assert torch.allclose(after, before - (before @ direction).unsqueeze(-1) * direction, atol=1e-5)
    assert isinstance(plain, Scores)
    assert isinstance(changed, Scores)
    assert plain.scores[0].total != changed.scores[0].total


def test_the_sham_swaps_about_half_of_the_pairs_and_nothing_else(packaged: Path) -> None:
    import numpy as np

    items = eh.items(Pairs(file="many.csv")).items
    method = registry.get("mitigations", "mean_difference")()
    (sham,) = method.shams(items, {}, np.random.default_rng(0))
    swapped = [new.texts != old.texts for new, old in zip(sham.items, items, strict=True)]
    assert 15 < sum(swapped) < 45
    assert all(
        sorted(new.texts.values()) == sorted(old.texts.values()) for new, old in zip(sham.items, items, strict=True)
    )


def test_the_file_of_the_page_is_as_short_as_it_promises() -> None:
    assert set(FILES) == {"mean_difference.py", "sentences.csv"}
    assert len(FILES["mean_difference.py"].splitlines()) < 90
    assert max(map(len, FILES["mean_difference.py"].splitlines())) <= 120
