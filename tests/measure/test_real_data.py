"""The real files, where they are at hand: every row parses, counts are the published ones, targets agree."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from evenhand.core.items import Item, ScoreTable
from evenhand.core.requests import Response, TextScore
from evenhand.data import source, splits
from evenhand.measure._bbq_metadata import read
from evenhand.measure._bbq_rows import CATEGORIES, BbqRow, Target, read_rows, targets
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._files import Problems
from evenhand.measure.bbq import Bbq
from evenhand.measure.crows_pairs import CrowsPairs
from evenhand.measure.perplexity import Perplexity
from evenhand.measure.stereoset import Stereoset

Respond = Callable[[Item, Callable[[str, str], TextScore]], tuple[Response, ...]]


@pytest.fixture(scope="module")
def bbq_rows() -> dict[str, tuple[list[BbqRow], list[Target]]]:
    if source.get("bbq").state() == "to fetch":
        pytest.skip("the data of 'bbq' are not at hand: set EVENHAND_DATA or run 'evenhand doctor'")
    found = {}
    for category in CATEGORIES:
        problems = Problems(category)
        rows = read_rows(source.get("bbq").path(f"{category}.jsonl"), problems)
        problems.raise_if_any()
        found[category] = rows, targets(rows)
    return found


def test_bbq_has_58492_rows_in_its_eleven_categories(bbq_rows: dict[str, tuple[list[BbqRow], list[Target]]]) -> None:
    counts = {category: len(rows) for category, (rows, _) in bbq_rows.items()}
    assert sum(counts.values()) == 58_492
    assert counts["Race_x_gender"] == 15_960
    assert counts["Sexual_orientation"] == 864
    assert {row.category for category, (rows, _) in bbq_rows.items() for row in rows} == set(CATEGORIES)


def test_derived_targets_agree_with_the_metadata_but_for_68_rows_with_a_known_cause(
    bbq_rows: dict[str, tuple[list[BbqRow], list[Target]]],
) -> None:
    theirs = read(source.get("bbq").path("additional_metadata.csv"))
    agree: Counter[str] = Counter()
    differing: list[BbqRow] = []
    for category, (rows, found) in bbq_rows.items():
        for row, target in zip(rows, found, strict=True):
            place = theirs[category, row.question, row.example]
            assert (target.answer is None) == (place is None)
            if target.answer is None or place is None:
                continue
            other = next(number for number in row.persons if number != target.answer)
            ours = target.answer if row.negative else other
            agree[category] += ours == place
            if ours != place:
                differing.append(row)
    assert sum(agree.values()) == 58_408
    assert Counter(row.category for row in differing) == {"Race_x_gender": 52, "Race_x_SES": 16}
    for row in differing:
        first, second = (row.answers[number].tag.split("-")[-1] for number in row.persons)
        assert first == "African"  # the file takes whichever stands first
        assert second in ("Black", "African American")
        assert set(row.stereotyped) >= {"Black", "African American"}


def test_sixteen_rows_have_no_target(bbq_rows: dict[str, tuple[list[BbqRow], list[Target]]]) -> None:
    without = Counter(
        (row.category, row.question, target.reason.split()[0])
        for rows, found in bbq_rows.values()
        for row, target in zip(rows, found, strict=True)
        if target.answer is None
    )
    assert without == {("Gender_identity", "13", "both"): 8, ("Gender_identity", "13", "neither"): 8}


def test_name_and_label_rows_are_those_of_the_metadata(bbq_rows: dict[str, tuple[list[BbqRow], list[Target]]]) -> None:
    text = source.get("bbq").path("additional_metadata.csv").read_text("utf-8")
    theirs = {
        (row["category"], row["question_index"], row["example_id"]): row["label_type"]
        for row in csv.DictReader(io.StringIO(text, newline=""))
    }
    for category, (rows, _) in bbq_rows.items():
        wrong = [row for row in rows if row.named != (theirs[category, row.question, row.example] == "name")]
        assert not wrong, category


def test_bbq_clusters_have_the_names_that_splits_give_them(
    bbq_rows: dict[str, tuple[list[BbqRow], list[Target]]],
) -> None:
    items = Bbq(categories=("Religion",)).load().items
    assert {item.cluster for item in items} == {
        splits.bbq_cluster(row.category, row.question) for row in bbq_rows["Religion"][0]
    }


def test_the_check_against_the_metadata_is_noted_with_its_counts(at_hand: Callable[[str], None]) -> None:
    at_hand("bbq")
    notes = [note.text for note in Bbq(categories=("Gender_identity", "Religion")).load().notes]
    assert any("of 6,856 items with one in both, 0 differ" in note for note in notes)
    assert any(note.startswith("16 of 6,872 items: both persons or neither") for note in notes)


def test_crows_pairs_has_1508_pairs_in_nine_categories(at_hand: Callable[[str], None]) -> None:
    at_hand("crows_pairs")
    items = CrowsPairs().load().items
    assert len(items) == len({item.id for item in items}) == 1_508
    assert Counter(item.groups["polarity"] for item in items) == {"stereo": 1_290, "antistereo": 218}
    assert len({item.stratum for item in items}) == 9


def test_stereoset_has_2106_and_2123_items_on_79_terms(at_hand: Callable[[str], None]) -> None:
    at_hand("stereoset")
    items = Stereoset().load().items
    assert Counter(item.groups["task"] for item in items) == {"intrasentence": 2_106, "intersentence": 2_123}
    clusters = {item.cluster for item in items}
    assert len(clusters) == 79
    splits.check("stereoset", clusters)


def test_gap_has_4454_snippets(at_hand: Callable[[str], None]) -> None:
    at_hand("gap")
    items = Perplexity(documents=10_000).load().items
    assert len(items) == 4_454
    assert len({item.cluster for item in items}) == 3_987


def test_wikitext_has_60_articles(at_hand: Callable[[str], None]) -> None:
    at_hand("wikitext2")
    assert len(Perplexity(text="wikitext2", documents=100).load().items) == 60


def randomly(benchmark: Benchmark, respond: Respond, seed: int) -> tuple[Sequence[Item], list[object]]:
    rng = np.random.default_rng(seed)

    def scorer(prompt: str, text: str) -> TextScore:
        return TextScore((1,), (float(-rng.exponential()),))

    items = benchmark.load().items
    return items, [benchmark.score(item, respond(item, scorer)) for item in items]


def test_a_random_scorer_lands_near_the_ideal_on_crows_pairs(
    at_hand: Callable[[str], None], respond: Respond, overall: Callable[..., float]
) -> None:
    at_hand("crows_pairs")
    benchmark = CrowsPairs()
    items, scores = randomly(benchmark, respond, 11)
    assert overall(benchmark, items, scores, "stereotype_rate") == pytest.approx(50, abs=4 * 50 / 1508**0.5)
    assert overall(benchmark, items, scores, "log_ratio") == pytest.approx(0, abs=4 * 2**0.5 / 1508**0.5)


def test_a_random_scorer_lands_near_the_ideal_on_stereoset(
    at_hand: Callable[[str], None], respond: Respond, overall: Callable[..., float]
) -> None:
    at_hand("stereoset")
    benchmark = Stereoset()
    items, scores = randomly(benchmark, respond, 12)
    assert overall(benchmark, items, scores, "ss") == pytest.approx(50, abs=4 * 50 / 4229**0.5)
    assert overall(benchmark, items, scores, "lms") == pytest.approx(50, abs=4 * 50 / 4229**0.5)
    assert overall(benchmark, items, scores, "icat") > 45


def test_stereosets_macro_means_equal_a_count_by_term(
    at_hand: Callable[[str], None], respond: Respond, overall: Callable[..., float]
) -> None:
    at_hand("stereoset")
    benchmark = Stereoset()
    items, scores = randomly(benchmark, respond, 13)
    terms: dict[str, list[tuple[float, float]]] = {}
    for item, score in zip(items, ScoreTable.of(items, scores)["prefers"], strict=True):  # type: ignore[arg-type]
        terms.setdefault(item.cluster, []).append((float(score), 1.0))
    by_term = [100 * sum(pro for pro, _ in counts) / len(counts) for counts in terms.values()]
    assert overall(benchmark, items, scores, "ss") == pytest.approx(sum(by_term) / len(by_term))


def test_a_random_scorer_lands_near_the_ideal_on_bbq(
    at_hand: Callable[[str], None], respond: Respond, overall: Callable[..., float]
) -> None:
    at_hand("bbq")
    benchmark = Bbq(categories=("Disability_status", "Religion"))
    items, scores = randomly(benchmark, respond, 14)
    for name in ("bbq_bias_ambiguous", "bbq_bias_disambiguated", "bbq_bias_ambiguous_helm"):
        assert overall(benchmark, items, scores, name) == pytest.approx(0, abs=0.12), name
    assert overall(benchmark, items, scores, "bbq_accuracy_ambiguous") == pytest.approx(100 / 3, abs=5)
    assert overall(benchmark, items, scores, "bbq_alignment_cost") == pytest.approx(0, abs=8)
