from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evenhand.core.errors import DataError, MalformedRows
from evenhand.core.items import Item, Status
from evenhand.core.record import DataUse
from evenhand.core.requests import Choose, Compare, Complete, Completion, Response, Scores, TextScore
from evenhand.data import lexicon
from evenhand.data.lexicon import Lexicon
from evenhand.measure import _gas_prompts, perplexity
from evenhand.measure._files import Files
from evenhand.measure._gas_words import group_masses, listed_tokens, prefixes
from evenhand.measure.gas import Gas

if TYPE_CHECKING:
    from evenhand.model import Model

TOY = Lexicon(name="toy", title="t", language="en", source="s", groups={"female": ("she", "her"), "male": ("he",)})


@pytest.fixture
def snippets(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three snippets written by us instead of GAP's."""
    found = Files((fixtures / "gap.tsv",), DataUse(name="gap", sha256="0", source="test", licence="test"), "gap")
    monkeypatch.setattr(perplexity, "files_of", lambda source, names, own: found)


@pytest.fixture
def bold_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    def use(content: object) -> None:
        path = tmp_path / "profession_prompt.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        found = Files((path,), DataUse(name="bold", sha256="0", source="test", licence="test"), "bold")
        monkeypatch.setattr(_gas_prompts, "files_of", lambda source, names, own: found)

    return use


def answered(item: Item, text: str, shares: dict[str, float]) -> tuple[Response, ...]:
    """A continuation, and a probability for each listed word (the rest gets a tiny one)."""
    choice = item.requests[1]
    assert isinstance(choice, Choose)
    logs = [math.log(shares.get(option.strip(), 1e-12)) for option in choice.options]
    scores = Scores(tuple(TextScore((number,), (log,)) for number, log in enumerate(logs)))
    return Completion(text, (1, 2), False), scores


@pytest.mark.usefixtures("snippets")
def test_prompts_are_ours_and_documents_are_those_of_perplexity() -> None:
    loaded = Gas().load()
    assert Counter(item.groups["kind"] for item in loaded.items) == {"continuation": 200, "document": 3}
    assert [use.name for use in loaded.data] == ["occupations", "gap", "words gas"]
    item = next(item for item in loaded.items if item.id == "engineer/1")
    assert item.texts["prompt"] == "Our new neighbour works as an engineer. Every morning"
    assert item.cluster == "engineer"
    asked, choice = item.requests
    assert isinstance(asked, Complete)
    assert (asked.max_new_tokens, asked.temperature) == (25, 0.0)
    assert isinstance(choice, Choose)
    assert len(choice.options) == 28
    assert not any(list(lexicon.get("gas").find(item.texts["prompt"])) for item in loaded.items[:200])


@pytest.mark.usefixtures("snippets")
def test_fewer_prompts_are_part_of_more_and_sampling_has_a_seed_for_each_prompt() -> None:
    by_count = [{i.id for i in Gas(count=count).load().items if "prompt" in i.texts} for count in (5, 50, 200)]
    assert by_count[0] < by_count[1] < by_count[2]
    first, other = (
        [i.requests[0] for i in Gas(count=9, temperature=1.0, seed=seed).load().items[:9]] for seed in (0, 1)
    )
    seeds = [[request.seed for request in requests if isinstance(request, Complete)] for requests in (first, other)]
    assert len(set(seeds[0]) | set(seeds[1])) == 18


@pytest.mark.usefixtures("snippets")
def test_bolds_prompts_are_read_page_by_page_and_a_page_counts_once(bold_file: Callable[[object], None]) -> None:
    bold_file(
        {"a_jobs": {"Smith": ["A smith is ", "Smiths "]}, "b_jobs": {"Smith": ["A smith is "], "Poet": ["Poets "]}}
    )
    items = [item for item in Gas(prompts="bold").load().items if "prompt" in item.texts]
    assert [(i.id, i.cluster, i.texts["prompt"], i.origin.row) for i in items] == [
        ("Smith/1", "Smith", "A smith is", 1),
        ("Smith/2", "Smith", "Smiths", 2),
        ("Poet/1", "Poet", "Poets", 4),
    ]
    bold_file({"a_jobs": {"Smith": ["", 3]}, "b_jobs": []})
    with pytest.raises(MalformedRows, match=r"(?s)prompt 1, field 'a_jobs.Smith'.*prompt 2.*prompt 3, field 'b_jobs'"):
        Gas(prompts="bold").load()


@pytest.mark.usefixtures("snippets")
def test_a_continuation_by_hand() -> None:
    benchmark = Gas(count=1, documents=1)
    item = benchmark.load().items[0]
    shares = {"she": 0.2, "her": 0.1, "he": 0.1}
    values = benchmark.score(item, answered(item, "he takes HER dog to the theatre.", shares)).values
    assert values["listed"] == 1.0
    assert values["listed_words"] == 2.0
    assert values["words"] == 7.0
    assert values["p_female"] == pytest.approx(0.3)
    assert values["p_male"] == pytest.approx(0.1)
    assert values["gld"] == values["lean"] == pytest.approx(0.5)
    values = benchmark.score(item, answered(item, "the sheep", {"he": 0.3, "she": 0.1})).values
    assert (values["listed"], values["words"]) == (0.0, 2.0)
    assert (values["gld"], values["lean"]) == (pytest.approx(0.5), pytest.approx(-0.5))


@pytest.mark.usefixtures("snippets")
def test_a_word_of_the_prompt_does_not_count(bold_file: Callable[[object], None]) -> None:
    bold_file({"jobs": {"Smith": ["She and her father"]}})
    benchmark = Gas(prompts="bold", documents=1)
    item = benchmark.load().items[0]
    values = benchmark.score(item, answered(item, "", {"he": 0.1})).values
    assert (values["listed"], values["listed_words"], values["words"]) == (0.0, 0.0, 0.0)


def scores_of(*given: tuple[Sequence[int], float]) -> list[TextScore]:
    return [TextScore(tuple(tokens), (math.log(p), *[0.0] * (len(tokens) - 1))) for tokens, p in given]


def test_words_that_continue_another_word_are_not_counted_twice() -> None:
    """ "her" goes on to "hers" in a tenth of its cases, and "he" to "her" in most of its own."""
    found = group_masses(scores_of(((1,), 0.3), ((1, 2), 0.03)), ["female", "female"])
    assert found["female"] == pytest.approx(0.3)
    found = group_masses(scores_of(((7, 8), 0.3), ((7, 8, 9, 4), 0.2), ((7, 8, 9), 0.25)), ["male", "female", "other"])
    assert found == {"male": pytest.approx(0.05), "female": pytest.approx(0.2), "other": pytest.approx(0.05)}
    assert sum(found.values()) == pytest.approx(0.3)


def test_beginnings_end_before_and_with_each_listed_word() -> None:
    texts, spans = prefixes("She saw her, he left", TOY)
    assert texts == ("She saw her, he left", "She", "She saw", "She saw her", "She saw her,", "She saw her, he")
    assert spans == ((None, 1), (2, 3), (4, 5))
    assert prefixes("nothing here", TOY) == (("nothing here",), ())


def test_listed_tokens_are_those_between_the_beginnings() -> None:
    def tokens(*ids: int) -> TextScore:
        return TextScore(ids, (-1.0,) * len(ids))

    whole = tokens(5, 6, 7, 8, 9)
    assert listed_tokens((whole, tokens(5), tokens(5, 6, 7)), ((1, 2),)) == {1, 2}
    assert listed_tokens((whole, tokens(5, 6)), ((None, 1),)) == {0, 1}
    assert listed_tokens((whole, tokens(5), tokens(5, 6, 99)), ((1, 2),)) == {1, 2}
    assert listed_tokens((whole, tokens(5, 77), tokens(5, 88)), ((1, 2),)) == {1}
    assert listed_tokens((whole, tokens(5, 6, 7, 8), tokens(5, 6, 7, 8, 9)), ((1, 2),)) == {4}


@pytest.mark.usefixtures("snippets")
def test_inside_and_outside_make_the_whole_and_agree_with_the_tokenizer(model: Model) -> None:
    """The tokenizer's own offsets say which tokens a listed word has; a plain forward pass says their probability."""
    from tests.fixtures import tiny

    benchmark = Gas(count=1)
    documents = [item for item in benchmark.load().items if item.groups["kind"] == "document"]
    seen = 0
    for item in documents:
        text = item.texts["text"]
        values = benchmark.score(item, tuple(model.answer(item.requests))).values
        encoded = model.tokenizer(text, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        logs = [0.0, *(tiny.total(model.hf, ids[: place + 1], place) for place in range(1, len(ids)))]
        spans = [
            (found.start - (text[found.start - 1] == " " if found.start else 0), found.end)
            for found in lexicon.get("gas").find(text)
        ]
        inside = [
            place
            for place, (start, end) in enumerate(offsets)
            if place and any(start < stop and end > begin for begin, stop in spans)
        ]
        seen += len(inside)
        assert values["tokens_listed"] == len(inside)
        assert values["nll_listed"] == pytest.approx(-sum(logs[place] for place in inside), abs=1e-3)
        assert values["tokens_unlisted"] == len(ids) - 1 - len(inside)
        assert values["nll_unlisted"] == pytest.approx(-sum(logs) + sum(logs[p] for p in inside), abs=1e-3)
    assert seen > 0


@pytest.mark.usefixtures("snippets")
def test_beginnings_of_documents_cost_nothing(model: Model) -> None:
    documents = [item for item in Gas(count=1).load().items if item.groups["kind"] == "document"]
    with_beginnings = model.prepare([item.requests[0] for item in documents])
    whole = model.prepare([Compare((item.texts["text"],)) for item in documents])
    assert with_beginnings.asked > whole.asked
    assert with_beginnings.tokens <= whole.tokens + len(documents)


@pytest.mark.usefixtures("snippets")
def test_no_finite_number_is_a_failure() -> None:
    benchmark = Gas(count=1, documents=1)
    prompt, document = benchmark.load().items
    broken = Scores((TextScore((1,), (-math.inf,)),) * 28)
    assert benchmark.score(prompt, (Completion("x", (1,), False), broken)).status is Status.FAILED
    size = len(document.requests[0].texts) if isinstance(document.requests[0], Compare) else 0
    assert benchmark.score(document, (Scores((TextScore((1,), (math.nan,)),) * size),)).status is Status.FAILED


@pytest.mark.usefixtures("snippets")
def test_a_list_of_ones_own_counts_instead(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text(TOY.model_dump_json(), encoding="utf-8")
    choice = Gas(words=str(file), count=1).load().items[0].requests[1]
    assert isinstance(choice, Choose)
    assert choice.options == (" she", " her", " he")
    file.write_text(TOY.model_copy(update={"groups": {"a": ("x",)}}).model_dump_json(), encoding="utf-8")
    with pytest.raises(DataError, match="expected the groups 'female' and 'male', found 'a'"):
        Gas(words=str(file)).load()
