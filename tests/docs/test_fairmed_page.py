"""The page of FairMed says what was asked, what was found and whether it was met, from the stored records alone."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("generate")


def number(name: str, before: float, after: float, by: dict[str, str] | None = None, **other: Any) -> dict[str, Any]:
    change = after - before
    ends = {"low": change - 0.1, "high": change + 0.1, "clusters": 12, "beyond": None}
    return {"name": name, "by": by or {}, "before": before, "after": after, "change": change} | ends | other


def arm(name: str, role: str, kl: float, perplexity: float) -> dict[str, Any]:
    concept = number("emission.emission_kl", 0.8, kl, {"concept": "age/par*ty"}, low=None, high=None)
    whole = [number("emission.emission_kl", 1.0, kl), number("perplexity.perplexity", 20.0, perplexity)]
    return {"name": name, "role": role, "seconds_fit": 61.0, "notes": [], "numbers": [*whole, concept]}


def trial(row: str, kl: float, perplexity: float) -> dict[str, Any]:
    name = row.partition(",")[0]
    attribute = {"concepts": number("", 0.9, kl, low=None, high=None), "phrases": number("", 0.9, kl)}
    return {
        "row": row,
        "verdict": "improved",
        "why": "nearer.",
        "primary": [number("emission.emission_kl", 1.0, kl, beyond=[-0.5, -0.7, -0.3])],
        "arms": [arm(name, "method", kl, perplexity), arm("rival: logit_offset", "rival", 0.7, 20.0)],
        "attributes": {name: {"all": attribute, "age": attribute}},
        "others": {"all": attribute, "disability": attribute},
        "guards": [{"rule": "perplexity.perplexity<=+5%", "arm": name, "state": "passed"}],
    }


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The maker, reading three rows of our own."""
    maker = importlib.import_module("fairmed_results")
    seed = {"within": [0.4, 0.8, 0.7, 0.75], "chosen": [1, 3, 2], "test": [0.3, 0.72, 0.5, 0.71]}
    seed["test of chosen"] = [0.72, 0.71, 0.5]
    probers = {"row": "probers", "gender": {"seeds": [seed, seed], "shares": [0.5, 0.5], "majority": 0.33}}
    file = tmp_path / "fairmed.json"
    rows = [probers, trial("fairmed_causal, seed 0", 0.3, 20.2), trial("fairmed, seed 0", 1.1, 20.6)]
    rows.append(trial("fairmed_causal, final", 0.4, 20.5))
    file.write_text(json.dumps(rows), "utf-8")
    monkeypatch.setattr(maker, "STORED", file)
    return maker


def test_targets_are_met_or_not_by_the_numbers(page: Any) -> None:
    lines = page.targets("").splitlines()
    assert "| macro-F1 at least 0.70 in three layers | gender | 0.50, 0.50 | **no** |" in lines
    assert "| KL from uniform at least −50 % | fairmed_causal, seed 0 | −70.0 % | yes |" in lines
    assert "| perplexity at most +2 % | fairmed_causal, seed 0 | +1.0 % | yes |" in lines
    assert any("| −0.500 (−0.700 to −0.300) nats | yes |" in line for line in lines)
    assert any("−70.0 % against −30.0 % | yes |" in line for line in lines)
    assert "| KL from uniform at least −50 % | fairmed, seed 0 | +10.0 % | no target |" in lines
    assert any("+10.0 % against −30.0 % | **no** |" in line for line in lines)


def test_on_the_fold_final_the_phrases_are_resampled(page: Any) -> None:
    (line,) = [line for line in page.targets("").splitlines() if "phrases" in line]
    assert line.endswith("| fairmed_causal, final | −0.500 (−0.600 to −0.400) | yes |")
    assert "| perplexity at most +2 % | fairmed_causal, final | +2.5 % | **no** |" in page.targets("")


def test_a_trial_is_shown_by_number_attribute_and_concept(page: Any) -> None:
    shown = page.trials("")
    assert "### fairmed_causal, seed 0" in shown
    assert "1.000 to 0.300<br>−0.700 (−0.800 to −0.600)" in shown
    assert "0.900 to 0.300<br>−0.600<br>over phrases (−0.700 to −0.500)" in shown
    assert "| age/par\\*ty | 0.800 | 0.300 | 0.700 |" in shown
    assert "Attributes that were not targeted:" in shown
    assert "| gender | 0 | 1: 0.80, 3: 0.75, 2: 0.70 | 1: 0.72, 3: 0.71, 2: 0.50 | 0.33 |" in page.probers("")


def test_without_a_record_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = importlib.import_module("fairmed_results")
    monkeypatch.setattr(maker, "STORED", tmp_path / "none.json")
    assert maker.targets("") == maker.probers("") == maker.trials("") == maker.NOTHING
