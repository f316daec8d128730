from __future__ import annotations

import hashlib
import json

import pytest

from evenhand.core.errors import DataError, UnknownName
from evenhand.data import concepts, source, splits
from evenhand.measure.perplexity import Perplexity


def test_folds_are_cut_at_fixed_shares_of_the_ranks_within_each_stratum() -> None:
    clusters = [f"{stratum}/{number}" for stratum, size in (("a", 10), ("b", 3), ("c", 40)) for number in range(size)]
    folds = splits.assignment("toy", clusters).folds
    for stratum, expected in {"a": [4, 2, 3, 1], "b": [1, 1, 1, 0], "c": [16, 8, 12, 4]}.items():
        members = [cluster for cluster in clusters if cluster.startswith(stratum)]
        assert [sum(folds[member] == name for member in members) for name in splits.FOLDS] == expected
        ranked = sorted(members, key=lambda member: hashlib.sha256(f"evenhand-1/toy/{member}".encode()).digest())
        order = [splits.FOLDS.index(folds[member]) for member in ranked]
        assert order == sorted(order)


def test_two_benchmarks_are_drawn_independently() -> None:
    names = [f"x/{number}" for number in range(4000)]
    one, two = splits.assignment("one", names).folds, splits.assignment("two", names).folds
    same = sum(one[name] == two[name] for name in names)
    assert same / 4000 == pytest.approx(0.4**2 + 0.2**2 + 0.3**2 + 0.1**2, abs=0.03)


def test_the_digest_ignores_order_and_repetition_but_no_name() -> None:
    assert splits.assignment("toy", ["x/b", "x/a", "x/a"]) == splits.assignment("toy", ["x/a", "x/b"])
    assert splits.assignment("toy", ["x/b", "x/a"]).sha256 != splits.assignment("toy", ["x/a", "x/B"]).sha256
    found = splits.assignment("toy", ["x/b", "x/a"])
    lines = f"x/a\t{found.folds['x/a']}\nx/b\t{found.folds['x/b']}\n"
    assert found.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_a_changed_assignment_is_refused_with_both_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"x/{number}" for number in range(40)]
    before = splits.assignment("toy", names)
    monkeypatch.setattr(splits, "fixed", lambda: {"toy": before})
    splits.check("toy", names[::-1])
    renamed = [*names[1:], "x/other"]
    with pytest.raises(DataError, match=f"(?s){before.sha256}.*{splits.assignment('toy', renamed).sha256}"):
        splits.check("toy", renamed)
    monkeypatch.setattr(splits, "RULE", "evenhand-2")
    with pytest.raises(DataError):
        splits.check("toy", names)


def test_a_fold_is_looked_up_by_cluster() -> None:
    known = splits.fixed()["stereoset"].folds
    assert {splits.fold("stereoset", cluster) for cluster in known} == set(splits.FOLDS)
    with pytest.raises(UnknownName, match="race/ethiopia"):
        splits.fold("stereoset", "race/ethiopi")


def test_a_benchmark_without_a_fixed_split_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"Known: bbq, .*stereoset"):
        splits.check("crows_pairs", [])


def test_the_committed_file_is_what_the_rule_makes_of_its_clusters() -> None:
    for benchmark, found in splits.fixed().items():
        assert splits.assignment(benchmark, found.folds) == found
        assert min(found.counts.values()) > 0


@pytest.mark.usefixtures("real")
def test_the_committed_split_of_stereoset_is_that_of_the_real_file() -> None:
    stereoset = source.get("stereoset")
    if stereoset.state() == "to fetch":
        pytest.skip("StereoSet is neither in EVENHAND_DATA nor in the cache")
    tasks = json.loads(stereoset.path("dev.json").read_text("utf-8"))["data"].values()
    splits.check(
        "stereoset", {splits.stereoset_cluster(row["bias_type"], row["target"]) for rows in tasks for row in rows}
    )


@pytest.mark.usefixtures("real")
def test_the_committed_split_of_bbq_is_that_of_the_real_files() -> None:
    bbq = source.get("bbq")
    if bbq.state() == "to fetch":
        pytest.skip("BBQ is neither in EVENHAND_DATA nor in the cache")
    clusters = set()
    for path in (path for name, path in bbq.paths().items() if name.endswith(".jsonl")):
        with path.open("rb") as lines:
            rows = map(json.loads, lines)
            clusters |= {splits.bbq_cluster(row["category"], row["question_index"]) for row in rows}
    splits.check("bbq", clusters)


@pytest.mark.usefixtures("real")
def test_the_committed_split_of_yes_no_is_that_of_the_real_question_sets() -> None:
    found, boolq = source.get("strategyqa"), source.get("boolq")
    if "to fetch" in (found.state(), boolq.state()):
        pytest.skip("StrategyQA or BoolQ is neither in EVENHAND_DATA nor in the cache")
    train, dev = (json.loads(found.path(name).read_text("utf-8")) for name in ("train.json", "dev.json"))
    lines = boolq.path("boolq_val.jsonl").read_text("utf-8").splitlines()
    clusters = {splits.strategyqa_cluster("strategyqa_train", row["qid"]) for row in train}
    clusters |= {splits.strategyqa_cluster("strategyqa", row["qid"]) for row in dev}
    clusters |= {splits.boolq_cluster(json.loads(line)["title"]) for line in lines}
    splits.check("yes_no", clusters)


def test_the_committed_split_of_emission_is_that_of_the_concepts() -> None:
    clusters = set()
    for attribute in concepts.attributes():
        found = concepts.concepts(attribute)
        clusters |= {cue.cluster for cue in (*found.cues(), *found.neutral_cues())}
    splits.check("emission", clusters)
    for attribute in concepts.attributes():
        own = [name for name in clusters if name.startswith(f"{attribute}/")]
        assert {splits.fold("emission", name) for name in own} == set(splits.FOLDS)


@pytest.mark.usefixtures("real")
def test_the_committed_split_of_gap_is_that_of_the_real_files() -> None:
    gap = source.get("gap")
    if gap.state() == "to fetch":
        pytest.skip("GAP is neither in EVENHAND_DATA nor in the cache")
    splits.check("gap", {item.cluster for item in Perplexity(documents=10_000).load().items})
