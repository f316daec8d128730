"""Calibration by a prior: formulas by hand, planted priors that become uniform, no forward pass too many."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from tests.mitigate import gendered, priors

from evenhand import fit
from evenhand.core.edits import ScoreEdit
from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.requests import Choose, Scores
from evenhand.mitigate._calibration import FLOOR, Calibration, calibrated, prior, unrelated
from evenhand.mitigate._labels import first_listed, kind, labels, moved, shares
from evenhand.mitigate.batch_calibration import BatchCalibration
from evenhand.mitigate.contextual_calibration import ContextualCalibration
from evenhand.mitigate.domain_context import DomainContext
from evenhand.model import Model

ALL = (ContextualCalibration, DomainContext, BatchCalibration)


def logs(*probabilities: float) -> tuple[float, ...]:
    return tuple(map(math.log, probabilities))


def shares_of(model: Model, items: list[Item]) -> list[dict[str, float]]:
    """Share of each label in the answers."""
    found = []
    for request, answer in zip(priors.asked(items), model.answer(priors.asked(items)), strict=True):
        assert isinstance(answer, Scores)
        found.append(shares([score.total for score in answer.scores], labels(request.options)))
    return found


def test_the_prior_is_the_mean_of_what_is_not_normalised_or_of_what_is() -> None:
    """Two prompts: .3 + .1 to .4 and .02 + .02 to .06. Sums .42 and .46; normalised shares .5 and .5, .4 and .6."""
    totals = [logs(0.3, 0.1, 0.4), logs(0.02, 0.02, 0.06)]
    named = ["a", "a", "b"]
    assert prior(totals, named, each_alike=False) == pytest.approx({"a": 0.44 / 0.9, "b": 0.46 / 0.9})
    assert prior(totals, named, each_alike=True) == pytest.approx({"a": 0.45, "b": 0.55})


def test_a_label_that_is_never_said_has_the_least_prior() -> None:
    assert prior([(0.0, -800.0)], ["a", "b"], each_alike=True)["b"] == FLOOR


def test_logarithms_by_hand() -> None:
    """Shares .6 and .4 by priors .75 and .25: .8 to 1.6, so 1/3 and 2/3 of the mass .5."""
    made = calibrated(logs(0.3, 0.2), ["a", "b"], {"a": 0.75, "b": 0.25}, 1.0, "log")
    assert [math.exp(one) for one in made] == pytest.approx([0.5 / 3, 1.0 / 3])
    half = calibrated(logs(0.3, 0.2), ["a", "b"], {"a": 0.75, "b": 0.25}, 0.5, "log")
    weights = 0.3 / 0.75**0.5, 0.2 / 0.25**0.5
    assert [math.exp(one) for one in half] == pytest.approx([0.5 * weight / sum(weights) for weight in weights])


def test_probabilities_by_hand() -> None:
    """Shares .6, .3, .1 less .2 - 1/3, .7 - 1/3, .1 - 1/3: .7333, FLOOR, .3333, of the mass .5."""
    made = calibrated(logs(0.3, 0.15, 0.05), ["a", "b", "c"], {"a": 0.2, "b": 0.7, "c": 0.1}, 1.0, "prob")
    new = [0.6 + 2 / 15, FLOOR, 0.1 + 7 / 30]
    assert [math.exp(one) for one in made] == pytest.approx([0.5 * value / sum(new) for value in new])


@pytest.mark.parametrize("space", ["log", "prob"])
def test_a_choice_that_is_the_prior_becomes_uniform_and_forms_keep_their_proportions(space: Any) -> None:
    named = ["a", "a", "b", "c"]
    made = calibrated(logs(0.2, 0.1, 0.2, 0.1), named, {"a": 0.5, "b": 1 / 3, "c": 1 / 6}, 1.0, space)
    assert shares(made, named) == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert made[0] - made[1] == pytest.approx(math.log(2))
    assert math.fsum(map(math.exp, made)) == pytest.approx(0.6)


@pytest.mark.parametrize("space", ["log", "prob"])
def test_a_uniform_prior_and_amount_0_change_nothing(space: Any) -> None:
    own = logs(0.2, 0.1, 0.05)
    even = dict.fromkeys("abc", 1 / 3)
    assert calibrated(own, list("abc"), even, 1.0, space) == pytest.approx(own)
    assert calibrated(own, list("abc"), {"a": 0.9, "b": 0.05, "c": 0.05}, 0.0, space) == own


@pytest.mark.parametrize("space", ["log", "prob"])
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("options", "planted"),
    [
        (priors.YES_NO, {" Yes": 1.0, " yes": -1.0, " No": 3.0, " no": 2.0}),
        (priors.FOUR, {" a": 3.0, " big": 1.0, " cat": -1.0, " on": 0.5}),
    ],
)
def test_a_planted_prior_becomes_uniform(
    method: type[Calibration], space: Any, options: tuple[str, ...], planted: dict[str, float]
) -> None:
    """A model that cannot hear: whatever it answers is its prior."""
    model, items = priors.deaf(planted), priors.questions(options)
    before = shares_of(model, items)
    count = len(set(labels(options)))
    assert max(before[0].values()) > 1.4 / count
    with model.install(fit(model, method(space=space), items)):
        for found in shares_of(model, items):
            assert list(found.values()) == pytest.approx([1 / count] * count, abs=1e-5)


@pytest.mark.parametrize("method", ALL)
def test_a_hearing_model_keeps_its_differences_between_questions(method: type[Calibration]) -> None:
    model, items = priors.model(), priors.questions()
    before = shares_of(model, items)
    patch = fit(model, method(), items)
    ((name, found),) = patch.tensors.items()
    assert json.loads(name) == [list(priors.YES_NO), "yes"]
    with model.install(patch):
        after = shares_of(model, items)
    moved_by = [math.log(b["yes"] / b["no"]) - math.log(a["yes"] / a["no"]) for a, b in zip(before, after, strict=True)]
    yes, no = found.tolist()
    assert moved_by == pytest.approx([math.log(no / yes)] * len(items), abs=1e-4)


def test_each_prior_is_what_its_prompts_say() -> None:
    """Contextual: three contents in the one template. Batch: the mean share over all questions."""
    model, items = priors.model(), priors.questions()
    template = "Say Yes or No.\n\n{0}\nQuestion: {0}\nAnswer:"
    sums = np.zeros(2)
    for text in ("N/A", "", "[MASK]"):
        (answer,) = model.answer([Choose(template.format(text), priors.YES_NO)])
        assert isinstance(answer, Scores)
        p = [math.exp(score.total) for score in answer.scores]
        sums += np.array([p[0] + p[1], p[2] + p[3]])
    ((_, contextual),) = fit(model, ContextualCalibration(), items).tensors.items()
    assert contextual.tolist() == pytest.approx((sums / sums.sum()).tolist(), abs=1e-5)
    ((_, batch),) = fit(model, BatchCalibration(), items).tensors.items()
    mean = float(np.mean([one["yes"] for one in shares_of(model, items)]))
    assert batch.tolist() == pytest.approx([mean, 1 - mean], abs=1e-5)


def test_random_texts_are_made_of_the_words_of_the_items_and_stand_in_their_places() -> None:
    method = DomainContext(texts_drawn=30)
    found = next(iter(method._by_kind(priors.questions()).values()))
    prompts = method.asked(found, np.random.default_rng(0))
    assert len(prompts) == 30
    known = {word for item in priors.questions() for word in item.texts["context"].split()}
    for prompt in prompts:
        instruction, _, rest = prompt.partition("\n\n")
        context, question, answer = rest.split("\n")
        assert (instruction, answer) == ("Say Yes or No.", "Answer:")
        assert set(context.split()) <= known | {"."}
        assert question.startswith("Question: ")
        assert question.endswith(" .")


@pytest.mark.parametrize("method", ALL)
def test_no_forward_pass_and_no_text_beyond_the_untouched_models(
    method: type[Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, items = priors.model(), priors.questions()
    patch = fit(model, method(), items)
    seen: list[tuple[int, ...]] = []
    forward = type(model.hf).forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        seen.append(tuple(ids.shape))
        return forward(self, *args, **kwargs)

    requests = priors.asked(items)
    model.answer(requests)  # chooses the road
    monkeypatch.setattr(type(model.hf), "forward", counted)
    model.answer(requests)
    plain = [*seen]
    with model.install(patch) as handle:
        (edit,) = handle.edits
        assert isinstance(edit, ScoreEdit)
        assert edit.extra_requests(requests[0]) == ()
        model.answer(requests[:1])  # chooses the road again
        seen.clear()
        model.answer(requests)
    assert plain
    assert seen == plain


def test_orders_of_the_labels_have_priors_of_their_own_and_other_options_stay() -> None:
    model = priors.model()
    items = [*priors.questions(), *priors.questions(first="No", second="Yes")]
    patch = fit(model, ContextualCalibration(), items)
    assert {json.loads(name)[1] for name in patch.tensors} == {"yes", "no"}
    (edit,) = ContextualCalibration().edits(patch.tensors, model)
    assert isinstance(edit, ScoreEdit)
    assert edit.by_request is not None
    own = logs(0.1, 0.1, 0.2, 0.2)
    prompts = ("Say Yes or No. Is it?", "Say No or Yes. Is it?")
    first, second = (edit.by_request(Choose(prompt, priors.YES_NO), own, ()) for prompt in prompts)
    assert first != second
    assert own not in (first, second)
    assert edit.by_request(Choose("Is it?", priors.YES_NO), own, ()) == own
    assert edit.by_request(Choose(prompts[0], priors.FOUR), own, ()) == own


def test_labels_and_lists_of_them() -> None:
    assert labels((" Yes", " yes", "No ")) == ["yes", "yes", "no"]
    assert first_listed("Say No or Yes. Yes, now.", ("yes", "no")) == "no"
    assert first_listed("No, I do not. Is it so? Yes!", ("yes", "no")) == ""
    assert first_listed("Choose C, D, A or B.", ("a", "b", "c", "d")) == "c"
    assert first_listed("A man saw\nA. one\nB. two", ("a", "b")) == ""
    assert kind(Choose("Yes/No?", (" Yes", " No"))) == ((" Yes", " No"), "yes")
    assert moved(logs(0.1, 0.3), ["a", "b"], {"a": 5.0, "b": 5.0}) == pytest.approx(logs(0.1, 0.3))


def test_the_sham_asks_about_a_landscape_with_as_many_words() -> None:
    items = priors.questions()
    method = DomainContext()
    (sham,) = method.shams(items, {}, gendered.rng())
    assert sham.method == DomainContext(prompts="landscape")
    prompt = priors.asked(items)[0].prompt
    other = unrelated(prompt)
    assert len(other.split()) == len(prompt.split())
    assert other.endswith("\nAnswer:")
    assert "cat" not in other
    model = priors.model()
    ((_, own),), ((_, theirs),) = (fit(model, one, items).tensors.items() for one in (method, sham.method))
    assert own.tolist() != pytest.approx(theirs.tolist(), abs=1e-3)


def test_items_without_labels_or_contents_are_refused() -> None:
    with pytest.raises(DataError, match="choose among the same labels"):
        fit(gendered.model(), DomainContext(), gendered.snippets())
    assert not DomainContext().can_read(gendered.snippets())
    assert DomainContext().can_read(priors.questions())


def test_the_notes_say_what_the_prior_is() -> None:
    model = priors.deaf({" Yes": 0.0, " yes": 0.0, " No": math.log(3), " no": math.log(3)})
    (note,) = fit(model, BatchCalibration(), priors.questions()).provenance.notes
    assert note == "Prior where 'yes' is listed first: yes 0.250, no 0.750 (entropy 0.811 of 1, 0.250 from uniform)."
