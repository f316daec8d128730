"""What a report shows of KLAAD's training, against the loss's own terms and single forward passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.mitigate import gendered
from tests.mitigate.test_klaad import QUICK, TEXTS, alone, found_in, gap_by_hand, some_items

from evenhand import fit
from evenhand.core.record import Curve, Map
from evenhand.mitigate import _klaad_view as view
from evenhand.mitigate._train import Step
from evenhand.mitigate.klaad import Klaad
from evenhand.model import Model


def test_gaps_by_head_have_the_term_of_the_loss_as_their_mean() -> None:
    model = gendered.model()
    found = view.attention_of(model, TEXTS, Klaad(batch=3))
    assert found is not None
    expected = found_in(model, Klaad())["attention"]
    torch.testing.assert_close(found.gaps.mean(1), expected, rtol=1e-4, atol=1e-7)
    by_hand = [gap_by_hand("llama", a, b, "match", "each", False) for a, b, _ in TEXTS]
    np.testing.assert_allclose(found.gaps.mean(1).numpy(), by_hand, rtol=2e-3)


def test_the_difference_of_a_pair_is_as_by_hand() -> None:
    """Two texts that differ in their last word: every token has a partner, so rows are whole."""
    found = view.attention_of(gendered.model(), [TEXTS[1]], Klaad())
    assert found is not None
    rows = [alone("llama", text)[1].attentions[-1][0].mean(0) for text in TEXTS[1][:2]]
    torch.testing.assert_close(found.differences[0], rows[1] - rows[0], rtol=1e-4, atol=1e-6)
    assert found.tokens[0][-1] == "bad|good"
    assert found.texts == (TEXTS[1][:2],)


def test_the_report_gets_terms_heads_and_two_maps_on_one_scale() -> None:
    method = Klaad(**{**QUICK, "attention": 50.0, "steps": 12})
    patch = fit(gendered.model(), method, some_items())
    terms, heads, before, after = patch.provenance.findings
    assert isinstance(terms, Curve)
    assert isinstance(heads, Curve)
    assert [one.name for one in terms.series] == ["loss, weighted sum", *(view.NAMES[n] for n in Klaad().weighting)]
    assert terms.series[1].y == pytest.approx(patch.tensors["history:cross_entropy"].tolist(), abs=1e-5)
    assert len(heads.series[0].y) == tiny.network("llama").config.num_attention_heads
    assert np.mean(heads.series[1].y) < np.mean(heads.series[0].y)  # type: ignore[arg-type]
    assert isinstance(before, Map)
    assert isinstance(after, Map)
    assert before.largest == after.largest
    assert before.row_names == after.row_names
    assert before.values[0][1] is None
    assert sum(value or 0 for value in before.values[-1]) == pytest.approx(0, abs=1e-4)
    assert any("Difference in attention of 4 twins" in note for note in patch.provenance.notes)


def test_long_histories_are_drawn_as_means() -> None:
    steps = [Step({"loss": float(number)}, 1.0, 1.0) for number in range(250)]
    (curve,) = view.findings(None, None, steps)
    (line,) = curve.series  # type: ignore[union-attr]
    assert (line.x[0], line.x[-1], len(line.x)) == (3.0, 250.0, 84)
    assert (line.y[0], line.y[-1]) == (1.0, 249.0)


def test_models_that_show_no_attention_are_trained_all_the_same() -> None:
    made: Any = tiny.network("falcon", alibi=True)
    method = Klaad(attention=0.0, **QUICK)
    patch = fit(Model.wrap(made, tiny.tokenizer()), method, some_items())
    assert patch.provenance.findings
