"""Texts of the user's own with their classes and groups, for classifiers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin, Score
from evenhand.core.record import Card, RunNote
from evenhand.core.requests import Classify, ClassScores, Response
from evenhand.measure._answers import failed
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import CsvRow, Problems, csv_rows, files_of


class Classes(Benchmark):
    """How often does a classifier find the right class, and does it find it as often for every group?"""

    name: ClassVar[str] = "classes"
    card: ClassVar[Card] = Card(
        title="How often a classifier is right on your own texts, and how unlike that is between groups.",
        source="Equality of Opportunity in Supervised Learning, Hardt et al., NeurIPS 2016, "
        "https://arxiv.org/abs/1610.02413.",
        formula="accuracy = 100 * #right / #texts; gap = largest minus smallest share of the positive texts of a group "
        "that are found",
        cautions="Groups are those of a column of the file: what a text is about, or who wrote it. Texts that are made "
        "from one template need the same cluster, or the intervals come out too narrow.",
        needs="a CSV file; a classifier",
    )
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "tpr_gap")
    by: ClassVar[tuple[str, ...]] = ("group",)
    tasks: ClassVar[tuple[str, ...]] = ("classifier",)

    file: Annotated[str, Field(description="CSV in UTF-8 with a text, a class and maybe a group in each row.")]
    positive: Annotated[str, Field(description="The class whose rate is compared between groups, e.g. hateful.")]
    text: Annotated[str, Field(description="Column of the texts.")] = "text"
    label: Annotated[str, Field(description="Column of the classes, named as the classifier names them.")] = "label"
    group: Annotated[str, Field(description="Column of the groups; a row without one counts for accuracy only.")] = (
        "group"
    )
    cluster: Annotated[
        str, Field(description="Column that tells which rows share a template or a topic; empty = each is its own.")
    ] = ""

    def load(self) -> Loaded:
        """Read the rows; each is an item."""
        files = files_of("classes", (), self.file)
        path = files.paths[0]
        needs = [self.text, self.label, *([self.cluster] if self.cluster else [])]
        problems = Problems(path.name)
        rows = list(csv_rows(path, needs))
        groups = sorted({row.cells.get(self.group, "").strip() for row in rows} - {""})
        items = tuple(self._item(row, Origin(files.source, path.name, row.number), groups, problems) for row in rows)
        problems.raise_if_any()
        if self.positive not in {item.facts["label"] for item in items}:
            raise DataError(f"{path.name}: no row has the class {self.positive!r}. Check --set classes.positive.")
        note = f"{len(groups)} groups; a text is positive if its class is {self.positive!r}."
        return Loaded(items, (files.use,), (RunNote(benchmark=self.name, kind="convention", text=note),))

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Whether the likeliest class is the right one, whether either is the positive one, and the group's number."""
        answer = responses[0]
        if not isinstance(answer, ClassScores):
            raise TypeError(f"expected class scores, found {answer!r:.200}")
        right = str(item.facts["label"])
        if right not in answer.labels or not all(value == value for value in answer.logprobs):
            return failed()
        found = answer.labels[max(range(len(answer.labels)), key=lambda n: answer.logprobs[n])]
        number = item.facts["group"]
        return Score(
            {
                "correct": float(found == right),
                "truth": float(right == self.positive),
                "predicted": float(found == self.positive),
                "group": float(number) if isinstance(number, int) else None,
            }
        )

    def _item(self, row: CsvRow, origin: Origin, groups: list[str], problems: Problems) -> Item:
        text = problems.text(row.line, self.text, row.cells.get(self.text))
        label = problems.text(row.line, self.label, row.cells.get(self.label))
        group = row.cells.get(self.group, "").strip()
        return Item(
            id=str(row.number),
            cluster=(row.cells[self.cluster] or f"row {row.number}") if self.cluster else str(row.number),
            origin=origin,
            requests=(Classify(text),),
            groups={"group": group} if group else {},
            facts={"label": label, "group": groups.index(group) if group else None},
            texts={"text": text},
        )
