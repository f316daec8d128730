"""The self-check can fail: what it must not let through, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tests.fixtures import tiny

from evenhand.core.errors import DamagedModel, ModelError
from evenhand.model import check
from evenhand.model.check import Probes, Reach, Road, choose_road, disagreement, one_by_one, probes_for
from evenhand.model.masks import Windows, candidates
from evenhand.model.packed import PackedRoad
from evenhand.model.padded import PaddedRoad
from evenhand.model.plan import Budget, Text

NEAR = 1e-4
FAR = 1e-3


def _probes(model: Any, longest: int = 40) -> tuple[Probes, list[list[float]]]:
    probes = probes_for(model.config.vocab_size, Reach.of(model.config, longest))
    return probes, one_by_one(model, probes.texts)


def _difference(model: Any, road: Road) -> float:
    found = disagreement(road, *_probes(model), exact=True)
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("reading", [Windows(None, None), Windows(5, None), Windows(7, None)])
def test_a_wrong_window_differs_by_more_than_a_thousandth_of_a_nat(reading: Windows) -> None:
    model = tiny.shared("mistral")
    assert _difference(model, PackedRoad(model, Windows(tiny.WINDOW, None))) < NEAR
    assert _difference(model, PackedRoad(model, reading)) > FAR


@pytest.mark.parametrize("family", ["gemma2", "gemma3"])
def test_one_mask_for_mixed_attention_types_is_told_apart(family: str) -> None:
    model = tiny.shared(family)
    types: dict[str, int | None] = {"full_attention": None, "sliding_attention": tiny.WINDOW}
    assert _difference(model, PackedRoad(model, Windows(None, types))) < NEAR
    for wrong in (Windows(tiny.WINDOW, None), Windows(None, None), Windows(None, dict.fromkeys(types))):
        assert _difference(model, PackedRoad(model, wrong)) > FAR


class _Unmasked(PackedRoad):
    """Packs whose texts see one another: the mask is plain causal."""

    def score(self, pack: Any, texts: Sequence[Text]) -> list[list[float]]:
        forward = self.model.forward

        def unmasked(*, attention_mask: Any, **rest: Any) -> Any:
            return forward(attention_mask=None, **rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.model, "forward", unmasked)
            return super().score(pack, texts)


def test_rows_whose_texts_see_one_another_are_told_apart() -> None:
    model = tiny.shared("llama")
    assert _difference(model, _Unmasked(model, Windows(None, None))) > FAR


def test_a_model_whose_readings_are_all_wrong_goes_to_the_padded_road(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "candidates", lambda config: [*candidates(config)[1:], Windows(tiny.WINDOW + 1, None)])
    choice = choose_road(tiny.shared("mistral"), 40)
    assert choice.road.name == tiny.CACHED
    assert choice.reason.count("packed: off by") == 2


@pytest.mark.parametrize(("family", "longest"), [("mistral", 70), ("mistral", 200), ("gemma3", 200)])
def test_half_precision_does_not_hide_a_wrong_window(
    family: str, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.network(family, sliding_window=64).to(torch.bfloat16)
    right = choose_road(model, longest)
    assert isinstance(right.road, PackedRoad)
    assert right.road.windows.longest == 64
    monkeypatch.setattr(check, "candidates", lambda config: [Windows(None, None)])
    assert choose_road(model, longest).road.name != tiny.PACKED


@pytest.mark.parametrize("longest", [20, 100, 300])
def test_a_window_that_counts_places_in_the_row_is_found_though_no_text_reaches_it(longest: int) -> None:
    model = tiny.network("gpt_neo", window_size=256)
    assert choose_road(model, longest).road.name == tiny.CACHED


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_eager_attention_takes_the_same_masks(family: str) -> None:
    model = tiny.network(family, attn_implementation="eager")
    assert model.config._attn_implementation == "eager"
    assert choose_road(model, 40).road.name == tiny.PACKED


def test_probe_texts_are_as_deep_as_the_coming_texts_need() -> None:
    def reach(longest: int, **settings: Any) -> Reach:
        return Reach.of(tiny.network("gemma3", **settings).config, longest)

    assert reach(20, sliding_window=100) == Reach(24, 256, 0)  # no text reaches the window
    assert reach(120, sliding_window=100) == Reach(128, 256, 100)
    assert reach(10**6, sliding_window=100) == Reach(158, 256, 100)
    assert reach(400, sliding_window=600) == Reach(24, 600, 0)  # but a row could
    assert Reach.of(tiny.shared("llama").config, 10**6) == Reach(24, 256, 0)
    assert Reach.of(tiny.network("qwen2", sliding_window=50).config, 100).span == 0  # a window that is switched off


def test_longer_texts_ask_for_another_check_until_all_windows_are_passed() -> None:
    model = tiny.network("mistral", sliding_window=100)
    first = choose_road(model, 20)
    assert first.covers(model.config, 90)
    assert not first.covers(model.config, 120)
    assert choose_road(model, 200).covers(model.config, 10**6)


@pytest.mark.parametrize(("edited", "advice"), [(False, "report the model's architecture"), (True, "--dtype float32")])
def test_where_no_way_agrees_the_advice_is_about_what_may_be_wrong(
    monkeypatch: pytest.MonkeyPatch, edited: bool, advice: str
) -> None:
    monkeypatch.setattr(check, "disagreement", lambda *_, **__: 1.0)
    with pytest.raises(ModelError, match=advice):
        choose_road(tiny.shared("llama"), 40, edited=edited)


def test_weights_that_give_nan_are_reported_as_damaged() -> None:
    model = tiny.network("llama")
    with torch.no_grad():
        next(model.parameters())[:] = float("nan")
    with pytest.raises(DamagedModel, match="NaN or infinity on plain text"):
        choose_road(model, 20)


def test_a_model_that_no_road_serves_is_refused_with_all_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Any, pack: Any, texts: Any) -> list[list[float]]:
        raise RuntimeError("no such thing\nsecond line")

    monkeypatch.setattr(PackedRoad, "score", never)
    monkeypatch.setattr(PaddedRoad, "score", never)
    with pytest.raises(ModelError, match=r"packed: RuntimeError \(no such thing\).*padded: RuntimeError"):
        choose_road(tiny.shared("llama"), 20)


def test_probes_put_prefixes_of_two_lengths_into_one_batch_of_the_padded_road() -> None:
    model = tiny.shared("bloom")
    probes, _ = _probes(model)
    packs = PaddedRoad(model, cache=True).plan(probes.texts, Budget(1 << 14, 1 << 15, 1 << 14)).packs
    assert any(len({row.shared[0] for row in pack.rows if row.shared[0]}) == 2 for pack in packs)


def test_probes_have_trunks_of_two_lengths_on_the_packed_road() -> None:
    model = tiny.shared("llama")
    probes, _ = _probes(model)
    late = [text for text in probes.texts if text.start > 3 * len(text.tokens) // 8]
    packs = PackedRoad(model, Windows(None, None)).plan(late, Budget(6, 8192, 4096)).packs
    assert len({pack.trunk for pack in packs if pack.trunk}) == 2
