"""Perplexity on Wikipedia text: how well the model still writes, measured beside its bias."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, ClassVar, Literal, assert_never

from pydantic import Field

from evenhand.core.errors import DataError
from evenhand.core.items import Item, Origin, Score
from evenhand.core.record import Card, DataUse, RunNote
from evenhand.core.requests import Compare, Response
from evenhand.measure._answers import failed, finite, scores_of
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import Problems, csv_rows, files_of, read_text

_GAP = ("gap-test.tsv", "gap-validation.tsv", "gap-development.tsv")
_TITLE = re.compile(r" = [^=].* = ?")


class Perplexity(Benchmark):
    """Perplexity and bits per byte on Wikipedia text."""

    name: ClassVar[str] = "perplexity"
    card: ClassVar[Card] = Card(
        title="How well the model predicts Wikipedia text: a measure of ability, not of bias.",
        source="Snippets of Mind the GAP (Webster et al., TACL 2018, https://aclanthology.org/Q18-1042) or WikiText-2 "
        "(Merity et al., ICLR 2017, https://arxiv.org/abs/1609.07843).",
        formula="perplexity = exp(sum of -log P(token) / number of tokens)",
        differs="Each document starts from the model's beginning of text and its first token counts; a document longer "
        "than the context is cut into windows without overlap. Not comparable with sliding-window numbers.",
        cautions="Perplexity depends on the tokenizer: compare it only between models that share one; bits per byte "
        "has no such limit. GAP writes '*' for letters outside ASCII, wikitext2 is the word-level text with <unk>: "
        "both are for comparing a model with itself.",
        needs="a decoder",
    )
    metrics: ClassVar[tuple[str, ...]] = ("perplexity", "bits_per_byte")
    folds_of: ClassVar[str] = "gap"

    text: Annotated[
        Literal["gap", "wikitext2"],
        Field(description="gap: snippets of English Wikipedia; wikitext2: whole articles, if the files are at hand."),
    ] = "gap"
    documents: Annotated[
        int,
        Field(
            ge=1,
            description="How many documents: those whose ids have the smallest sha256, so that any number is a random "
            "sample and a smaller one is part of a larger. More takes longer and narrows the interval.",
        ),
    ] = 96

    def load(self) -> Loaded:
        """Read the documents and keep the wanted number of them, in file order."""
        match self.text:
            case "gap":
                items, use = _gap()
            case "wikitext2":
                items, use = _wikitext()
            case _:
                assert_never(self.text)
        by_hash = sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())
        chosen = {item.id for item in by_hash[: self.documents]}
        kept = tuple(item for item in items if item.id in chosen)
        note = (
            f"Perplexity is over {len(kept):,} of {len(items):,} documents ({self.text}), those whose ids have the "
            "smallest sha256. Each starts from the model's beginning of text, and its first token counts."
        )
        return Loaded(kept, (use,), (RunNote(benchmark=self.name, kind="convention", text=note),))

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Negative log-likelihood of the document (nats), its tokens and its UTF-8 bytes."""
        scores = scores_of(responses[0], 1)
        if not finite(scores):
            return failed()
        (document,) = scores
        size = len(item.texts["text"].encode())
        return Score({"nll": -document.total, "tokens": float(len(document.tokens)), "bytes": float(size)})


def _item(name: str, cluster: str, origin: Origin, text: str) -> Item:
    return Item(id=name, cluster=cluster, origin=origin, requests=(Compare((text,)),), texts={"text": text})


def _gap() -> tuple[list[Item], DataUse]:
    """Snippets of GAP; those of one Wikipedia page are one cluster."""
    files = files_of("gap", _GAP, None)
    items = []
    for path in files.paths:
        problems = Problems(path.name)
        for row in csv_rows(path, ("ID", "Text", "URL"), tabs=True):
            name = problems.text(row.line, "ID", row.cells.get("ID"))
            problems.new_id(row.line, "ID", name)
            text = problems.text(row.line, "Text", row.cells.get("Text"))
            page = problems.text(row.line, "URL", row.cells.get("URL"))
            items.append(_item(name, page, Origin(files.source, path.name, row.number), text))
        problems.raise_if_any()
    return items, files.use


def _wikitext() -> tuple[list[Item], DataUse]:
    """Articles of WikiText-2's test file, cut at the titles: ` = Title = ` after a blank line."""
    files = files_of("wikitext2", ("test.txt",), None)
    path = files.paths[0]
    lines = read_text(path).splitlines()
    starts = [
        number
        for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False))
        if _TITLE.fullmatch(line) and not before.strip()
    ]
    if not starts:
        raise DataError(f"{path.name}: expected titles like ' = Title = ', found none. Get the file again.")
    items = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text = "\n".join(line.strip() for line in lines[start:end] if line.strip())
        name = f"test-{start + 1}"
        items.append(_item(name, name, Origin(files.source, path.name, start + 1), text))
    return items, files.use
