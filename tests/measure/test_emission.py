from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evenhand.core.errors import UnknownName
from evenhand.core.items import Item, Score, Status
from evenhand.core.requests import Choose, Response, Scores, TextScore
from evenhand.data.concepts import concepts
from evenhand.measure.emission import Emission, kl_from_uniform, log_sum

if TYPE_CHECKING:
    from evenhand.model import Model

Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]


def flat(log: float) -> Callable[[str, str], TextScore]:
    return lambda prompt, text: TextScore((1,), (log,))


def answer(item: Item, cue: Mapping[str, float], neutral: Mapping[str, float]) -> tuple[Response, ...]:
    """The log-probability of a form is that of the first key that it contains."""

    def one(request: object, table: Mapping[str, float]) -> Scores:
        assert isinstance(request, Choose)
        logs = [next(log for key, log in table.items() if key in option.split()) for option in request.options]
        return Scores(tuple(TextScore((1,), (log,)) for log in logs))

    first, *others = item.requests
    return (one(first, cue), *(one(other, neutral) for other in others))


def test_kl_is_that_of_the_definition_and_zero_only_for_equal_logs() -> None:
    for p in ([0.5, 0.5], [0.9, 0.1], [0.7, 0.2, 0.1]):
        u = 1 / len(p)
        expected = sum(u * math.log(u / share) for share in p)
        assert kl_from_uniform([math.log(share) - 7 for share in p]) == pytest.approx(expected)
    assert kl_from_uniform([-5.0, -5.0, -5.0]) == pytest.approx(0, abs=1e-12)


def test_the_direction_is_the_one_whose_gradient_in_the_logs_is_p_minus_u() -> None:
    logs = [0.3, -1.0, 2.0]
    shares = np.exp(logs) / np.exp(logs).sum()
    for place in range(3):
        step = [log + 1e-6 * (number == place) for number, log in enumerate(logs)]
        slope = (kl_from_uniform(step) - kl_from_uniform(logs)) / 1e-6
        assert slope == pytest.approx(shares[place] - 1 / 3, abs=1e-5)


def test_log_sum_survives_small_probabilities() -> None:
    assert log_sum([-1000.0, -1000.0]) == pytest.approx(-1000 + math.log(2))


def test_items_are_every_cue_and_every_neutral_cue_with_the_neutral_ones_of_its_template() -> None:
    loaded = Emission(attributes=("gender",)).load()
    found = concepts("gender")
    assert Counter(item.groups["kind"] for item in loaded.items) == {"cue": 400, "neutral": 24}
    item = loaded.items[0]
    assert item.cluster == item.groups["concept"] == "gender/leadership"
    assert item.stratum == "gender"
    prompts = [request.prompt for request in item.requests if isinstance(request, Choose)]
    assert prompts == [found.templates[0].filled(phrase) for phrase in ("leading a large team", *found.neutral)]
    assert all(request.options[0] == " a woman" for request in item.requests if isinstance(request, Choose))
    assert len(loaded.items[-1].requests) == 3
    assert loaded.items[-1].groups["concept"] == ""


def test_attributes_count_once_and_unknown_ones_are_refused() -> None:
    assert len(Emission(attributes=("age", "age")).load().items) == 424
    with pytest.raises(UnknownName, match="Did you mean 'religion'"):
        Emission(attributes=("religon",)).load()


def test_a_model_without_preference_scores_zero(respond: Respond) -> None:
    benchmark = Emission(attributes=("race",))
    item = benchmark.load().items[0]
    values = benchmark.score(item, respond(item, flat(-3.0))).values
    assert [values["kl"], values["kl_offset_free"]] == pytest.approx([0, 0], abs=1e-12)
    assert values["log_white"] == pytest.approx(-3 + math.log(4))


def test_shares_after_the_cue_and_free_of_the_offset_by_hand() -> None:
    """Four to one for women after the cue, two to one after neutral cues: the concept adds two to one."""
    benchmark = Emission(attributes=("gender",))
    item = benchmark.load().items[0]
    female, male = ("woman", "girl", "lady", "female"), ("man", "boy", "gentleman", "male")

    def table(ratio: float) -> dict[str, float]:
        return {**dict.fromkeys(female, math.log(0.01 * ratio)), **dict.fromkeys(male, math.log(0.01))}

    values = benchmark.score(item, answer(item, table(4), table(2))).values
    assert values["kl"] == pytest.approx(-math.log(2) - (math.log(0.8) + math.log(0.2)) / 2)
    assert values["kl_offset_free"] == pytest.approx(-math.log(2) - (math.log(2 / 3) + math.log(1 / 3)) / 2)
    assert values["log_female"] == pytest.approx(math.log(0.16))
    same = benchmark.score(item, answer(item, table(4), table(4))).values
    assert same["kl_offset_free"] == pytest.approx(0, abs=1e-12)
    assert same["kl"] == values["kl"]


def test_forms_are_added_or_the_likeliest_counts() -> None:
    table = {"woman": math.log(0.2), "girl": math.log(0.1), "lady": math.log(0.1), "female": math.log(0.1)}
    table |= {"man": math.log(0.05), "boy": math.log(0.05), "gentleman": math.log(0.05), "male": math.log(0.05)}
    for pool, expected in (("mass", 0.5), ("best", 0.2), ("best_per_token", 0.2)):
        benchmark = Emission(attributes=("gender",), pool=pool)  # type: ignore[arg-type]
        item = benchmark.load().items[0]
        assert benchmark.score(item, answer(item, table, table)).values["log_female"] == pytest.approx(
            math.log(expected)
        )


def test_only_the_mean_per_token_forgives_length(respond: Respond) -> None:
    def scorer(prompt: str, text: str) -> TextScore:
        return TextScore((1, 2, 3, 4), (-1.0,) * 4)

    for pool, expected in (("mass", -4 + math.log(4)), ("best", -4.0), ("best_per_token", -1.0)):
        benchmark = Emission(attributes=("gender",), pool=pool)  # type: ignore[arg-type]
        item = benchmark.load().items[0]
        assert benchmark.score(item, respond(item, scorer)).values["log_female"] == pytest.approx(expected)


def test_no_finite_number_is_a_failure(respond: Respond) -> None:
    benchmark = Emission(attributes=("age",))
    item = benchmark.load().items[0]
    assert benchmark.score(item, respond(item, flat(-math.inf))).status is Status.FAILED


def test_cues_and_neutral_phrases_are_told_apart(
    respond: Respond, overall: Callable[[Emission, list[Item], list[Score], str], float]
) -> None:
    """A model that is even after neutral cues and not after cues of a concept, and never the same twice."""
    benchmark = Emission(attributes=("age", "gender"))
    items = list(benchmark.load().items)
    neutral = {phrase for attribute in benchmark.attributes for phrase in concepts(attribute).neutral}

    def scorer(prompt: str, text: str) -> TextScore:
        named = not any(phrase in prompt for phrase in neutral)
        first = text.split()[-1] in ("woman", "girl", "lady", "female") or "old" in text or "elderly" in text
        return TextScore((1,), (math.log(3.0) if named and first else 0.0,))

    scores = [benchmark.score(item, respond(item, scorer)) for item in items]
    assert overall(benchmark, items, scores, "emission_kl_neutral") == pytest.approx(0, abs=1e-12)
    assert overall(benchmark, items, scores, "emission_kl_floor") == pytest.approx(0, abs=1e-12)
    assert overall(benchmark, items, scores, "emission_kl") > 0.05
    assert overall(benchmark, items, scores, "emission_kl_offset_free") == pytest.approx(
        overall(benchmark, items, scores, "emission_kl")
    )


def test_scores_of_a_model_are_those_of_a_plain_forward_pass(model: Model) -> None:
    from tests.fixtures import tiny

    benchmark = Emission(attributes=("gender",))
    item = benchmark.load().items[0]
    values = benchmark.score(item, tuple(model.answer(item.requests))).values
    expected = []
    for group in concepts("gender").groups:
        logs = []
        for form in group.forms:
            head = model.tokenizer(item.texts["cue"])["input_ids"]
            whole = model.tokenizer(f"{item.texts['cue']} {form}")["input_ids"]
            logs.append(tiny.total(model.hf, whole, len(head)))
        expected.append(math.log(sum(map(math.exp, logs))))
    assert [values["log_female"], values["log_male"]] == pytest.approx(expected, abs=1e-4)
