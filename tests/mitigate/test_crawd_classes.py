"""CrAWD on a classifier: the branch reads the first token's state and adds to the logits of the classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched
from tests.mitigate import gendered
from torch import Tensor, nn

from evenhand import fit
from evenhand.core.edits import BranchEdit
from evenhand.core.errors import DataError, UnsupportedSite
from evenhand.core.items import Item, Origin
from evenhand.core.record import Curve, Map
from evenhand.core.requests import Classify, ClassScores
from evenhand.mitigate._crawd_learn import block_of, keyed, reference_of
from evenhand.mitigate.crawd import Crawd
from evenhand.model import Model, Patch
from evenhand.model.edits.branch import branch

QUICK: dict[str, Any] = {"lr": 1e-2, "batch": 32, "heads": 4, "layers": "all", "attention_dropout": 0.0}
NAMES = ("LABEL_0", "LABEL_2")


def classifier() -> Model:
    """A tiny BERT with three classes and without dropout of its own."""
    made = tiny.encoder("classifier")
    for module in made.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return Model.wrap(made, tiny.tokenizer(encoder=True))


def labelled() -> list[Item]:
    """The class is told by the pronoun."""
    found = []
    for item in gendered.snippets():
        text = item.texts["text"]
        label = NAMES[text.startswith("She")]
        found.append(
            Item(item.id, item.cluster, Origin("file", "own.csv", 1), (), facts={"label": label}, texts={"text": text})
        )
    return found


def loss_of(model: Model, items: list[Item]) -> float:
    """Mean -log P of the right class, each text alone."""
    total = 0.0
    for item in items:
        (answer,) = model.answer([Classify(item.texts["text"])])
        assert isinstance(answer, ClassScores)
        total -= answer.logprobs[answer.labels.index(item.facts["label"])]
    return total / len(items)


def losses(patch: Patch) -> tuple[float | None, ...]:
    (curve,) = (one for one in patch.provenance.findings if isinstance(one, Curve))
    return curve.series[0].y


def test_training_begins_at_the_model_and_does_what_is_done_in_use() -> None:
    model, items = classifier(), labelled()
    with untouched(model.hf):
        one, two = (fit(model, Crawd(**QUICK, steps=steps), items) for steps in (1, 2))
        assert losses(one)[0] == pytest.approx(loss_of(model, items), abs=1e-4)
        with model.install(one):
            assert losses(two)[1] == pytest.approx(loss_of(model, items), abs=1e-4)
    assert losses(two)[1] != pytest.approx(losses(two)[0], abs=1e-3)


def test_the_branch_reads_the_first_state_and_the_words_between_the_special_tokens() -> None:
    model = classifier()
    patch = fit(model, Crawd(**QUICK, steps=2), labelled())
    reference = reference_of(patch.tensors)
    names = model.tokenizer.convert_ids_to_tokens([*reference.before, *reference.after])
    assert names == ["<cls>", "<sep>"]
    assert model.tokenizer.decode(list(reference.keys)) == "he she"
    *weights, branch = patch.method.edits(patch.tensors, model)
    assert isinstance(branch, BranchEdit)
    block = block_of(model, Crawd(**QUICK), patch.tensors)
    ids = torch.tensor([model.tokenizer("the cat and his dog")["input_ids"]])

    def states(given: Tensor) -> Tensor:
        found: Tensor = model.hf.base_model(input_ids=given).last_hidden_state[0]
        return found

    with torch.no_grad(), model.install(weights):
        plain = model.hf(input_ids=ids).logits
        added = block(states(ids)[:1], keyed(states(torch.tensor([reference.ids])), reference))
    with torch.no_grad(), model.install(patch):
        torch.testing.assert_close(model.hf(input_ids=ids).logits, plain + added, atol=1e-5, rtol=1e-5)
    assert added.abs().max() > 1e-3


@pytest.mark.parametrize("settings", [{}, {"scope": "matrix"}, {"head_rank": 1}])
def test_it_learns_alike_alone_and_in_a_batch(settings: dict[str, Any]) -> None:
    model, items = classifier(), labelled()
    before = loss_of(model, items)
    with model.install(fit(model, Crawd(**{**QUICK, **settings}, steps=8), items)):
        asked = [Classify(item.texts["text"]) for item in items]
        together: Any = model.answer([*asked, Classify("a")])
        alone: Any = [model.answer([one])[0] for one in asked]
        for one, other in zip(together, alone, strict=False):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert loss_of(model, items) < before - 0.2


def test_texts_without_a_class_or_with_a_class_that_it_has_not_are_refused() -> None:
    model = classifier()
    with pytest.raises(DataError, match="texts with a class"):
        fit(model, Crawd(**QUICK), gendered.snippets())
    wrong = [Item("x", "x", Origin("file", "x", 1), (), facts={"label": "rude"}, texts={"text": "the cat"})]
    with pytest.raises(DataError, match="LABEL_0, LABEL_1, LABEL_2, the texts have 'rude'"):
        fit(model, Crawd(**QUICK), wrong)


def test_the_report_shows_what_the_first_token_attends_to() -> None:
    model = classifier()
    patch = fit(model, Crawd(**QUICK, steps=2), labelled())
    (shown,) = (one for one in patch.provenance.findings if isinstance(one, Map))
    (curve,) = (one for one in patch.provenance.findings if isinstance(one, Curve))
    assert shown.row_names == ("<cls>",)
    assert curve.y == "nats per text"


def test_a_classifier_whose_first_token_sees_no_other_is_refused() -> None:
    from transformers import LlamaForSequenceClassification

    model = tiny.network("llama")
    network = LlamaForSequenceClassification(model.config)
    edit = BranchEdit(lambda hidden, _: hidden[..., :2])
    with pytest.raises(UnsupportedSite, match="does not see the others"), branch(network.eval(), edit):
        pass


def test_such_a_classifier_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForSequenceClassification

    config = tiny.network("llama").config
    config.num_labels = len(NAMES)
    model = Model.wrap(LlamaForSequenceClassification(config).eval(), tiny.tokenizer())
    monkeypatch.setattr("evenhand.mitigate._crawd_learn.train", lambda *_, **__: pytest.fail("it was trained"))
    items = [Item("x", "x", Origin("file", "x", 1), (), facts={"label": "LABEL_0"}, texts={"text": "the cat"})]
    with pytest.raises(UnsupportedSite, match="does not see the others"):
        fit(model, Crawd(**QUICK), items)
