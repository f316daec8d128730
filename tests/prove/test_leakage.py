"""Nothing is tested on what it was fitted on."""

from __future__ import annotations

import pytest

from evenhand.core.errors import Leakage
from evenhand.core.items import Item, Origin
from evenhand.data.splits import Fold
from evenhand.measure._items import items
from evenhand.measure._plan import configured
from evenhand.mitigate._fit import fitted_on
from evenhand.prove._leakage import apart, refuse

LONG = "the old clock on the wall of the station struck twelve as the last train left for the coast"


def item(number: int, cluster: str, text: str, file: str = "a.csv") -> Item:
    return Item(str(number), cluster, Origin("own", file, number), (), texts={"text": text})


FITTED = fitted_on([item(1, "gender/sister", LONG), item(2, "race/x", "something short")], "stereoset", "fit")


def test_other_clusters_rows_and_words_are_no_leak() -> None:
    refuse(
        FITTED, {"stereoset": [item(3, "gender/brother", "a completely different sentence about ships and harbours")]}
    )


def test_a_shared_cluster_is_refused() -> None:
    with pytest.raises(Leakage, match=r"1 clusters are on both sides, e\.g\. stereoset:gender/sister"):
        refuse(FITTED, {"stereoset": [item(9, "gender/sister", "new words")]})


def test_the_same_cluster_name_in_another_benchmark_is_no_leak() -> None:
    refuse(FITTED, {"crows_pairs": [item(9, "gender/sister", "quite other words than those above, all of them")]})


def test_a_shared_row_is_refused() -> None:
    with pytest.raises(Leakage, match=r"1 rows are on both sides, e\.g\. own/a\.csv:2"):
        refuse(FITTED, {"other": [item(2, "somewhere", "new words here")]})


def test_shared_words_in_other_files_are_refused() -> None:
    with pytest.raises(Leakage, match="runs of 8 words"):
        refuse(FITTED, {"other": [item(7, "c", "He said: " + LONG.upper(), file="b.csv")]})


def framed(number: int, cluster: str, phrase: str) -> Item:
    """A phrase in a frame that all items share."""
    text = f"On the long way from the station to the harbour of the city people spoke about {phrase}"
    return Item(str(number), cluster, Origin("own", "c.csv", number), (), texts={"text": text}, own=(phrase,))


def test_a_frame_that_all_items_share_on_purpose_is_no_leak_but_what_is_put_into_it_is() -> None:
    fitted = fitted_on([framed(11, "a", "losing the house keys")], "emission", "fit")
    refuse(fitted, {"emission": [framed(12, "b", "painting bold pictures")]})
    with pytest.raises(Leakage, match="runs of 8 words"):
        refuse(fitted, {"emission": [framed(12, "b", "Losing the house keys!")]})


@pytest.mark.parametrize("fold", ["test", "final"])
def test_emission_may_be_fitted_and_tested_on_different_folds(fold: Fold) -> None:
    emission = configured("emission", {})
    fitted = fitted_on(items(emission, fold="fit").items, "emission", "fit")
    refuse(fitted, {"emission": items(emission, fold=fold).items})
    with pytest.raises(Leakage, match="clusters are on both sides"):
        refuse(fitted, {"emission": items(emission).items})


def test_items_that_share_runs_are_left_out_if_most_can_stay() -> None:
    """Two of twelve stories are tested too: 2 of 12 runs is too much, so they go; with seven of twelve all stay."""
    stories = [" ".join(f"{10 * number + step}" for step in range(8)) for number in range(12)]
    fitted = [item(n, f"c{n}", text) for n, text in enumerate(stories)]
    two, seven = ([item(100 + n, f"d{n}", stories[n]) for n in range(size)] for size in (2, 7))
    assert apart(fitted, {"pairs": two}) == tuple(fitted[2:])
    assert apart(fitted, {"pairs": seven}) == tuple(fitted)
    assert apart(fitted, {}) == tuple(fitted)


def test_few_shared_runs_are_no_reason_to_leave_anything_out() -> None:
    long = " ".join(map(str, range(300)))
    fitted = [item(1, "a", long), item(2, "b", "one two three four five six seven eight")]
    tested = [item(3, "c", " ".join(map(str, range(1000, 1300)))), item(4, "d", fitted[1].texts["text"])]
    assert apart(fitted, {"pairs": tested}) == tuple(fitted)
