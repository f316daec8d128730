"""Any text as a corpus: what methods are fitted on, and how well the model predicts it."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from evenhand.core.errors import DataError, MissingFile
from evenhand.core.items import Item, Origin, Score
from evenhand.core.record import Card, DataUse, RunNote
from evenhand.core.requests import Compare, Response
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._files import Problems, csv_rows, files_of, json_lines, read_text
from evenhand.measure.perplexity import Perplexity

COLUMNS = ("text", "premise", "sentence1", "hard_text", "comment_text", "Text")
"""Where texts stand in plain tables, SNLI, SNLI as first published, Bias in Bios, Jigsaw and GAP."""
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_TABLES = {".csv": False, ".tsv": True}
_BLANK = re.compile(r"\n[ \t\r]*\n")
Row = tuple[int, str]


class Corpus(Benchmark):
    """Perplexity and bits per byte on text of the user's own."""

    name: ClassVar[str] = "corpus"
    card: ClassVar[Card] = Card(
        title="How well the model predicts text of your own: a measure of ability, and any text to fit methods on.",
        source="The measure of `perplexity`, on a file or a data set of the hub, e.g. SNLI (Bowman et al., EMNLP 2015, "
        "https://huggingface.co/datasets/stanfordnlp/snli), Bias in Bios "
        "(https://huggingface.co/datasets/LabHC/bias_in_bios) or Measuring Hate Speech "
        "(https://huggingface.co/datasets/ucberkeley-dlab/measuring-hate-speech).",
        formula="perplexity = exp(sum of -log P(token) / number of tokens)",
        cautions="Each different text is a cluster of its own: texts of one author or page are not independent, so the "
        "intervals come out too narrow for them. Folds are cut by the texts alone, so two texts of one page may lie in "
        "two folds.",
        needs="a file or a data set of the hub; a decoder",
    )
    metrics: ClassVar[tuple[str, ...]] = ("perplexity", "bits_per_byte")

    file: Annotated[
        str,
        Field(
            description="A text file (paragraphs apart by blank lines; without blank lines every line), CSV, TSV or "
            "JSON lines in UTF-8; or the id of a data set of the hub, owner/name, if the package datasets is installed."
        ),
    ]
    column: Annotated[
        str, Field(description=f"Where a row's text stands; empty = the first found of {', '.join(COLUMNS)}.")
    ] = ""
    where: Annotated[
        str,
        Field(pattern=r"^([^=]+=.*)?$", description="Only rows in which COLUMN=VALUE, e.g. target_race=True."),
    ] = ""
    part: Annotated[str, Field(description="Part of a data set of the hub.")] = "train"
    documents: Annotated[
        int, Field(ge=1, description="How many texts, at most: those with the smallest sha256. Equal ones count once.")
    ] = 5000

    def load(self) -> Loaded:
        """Read the texts and keep the wanted number of them, in file order."""
        on_hub = bool(_HUB.fullmatch(self.file)) and not os.path.exists(os.path.expanduser(self.file))
        rows, use, source = self._hub() if on_hub else self._file()
        found: dict[str, Row] = {}
        for number, text in rows:
            found.setdefault(hashlib.sha256(text.encode()).hexdigest(), (number, text))
        if not found:
            only = f" with {self.where}" if self.where else ""
            raise DataError(f"{use.name}: expected texts{only}, found none. Name another column or file.")
        chosen = set(sorted(found)[: self.documents])
        items = tuple(
            Item(
                id=str(number),
                cluster=digest[:16],
                origin=Origin(source, use.name, number),
                requests=(Compare((text,)),),
                texts={"text": text},
            )
            for digest, (number, text) in found.items()
            if digest in chosen
        )
        note = f"{len(items):,} of {len(found):,} different texts, those with the smallest sha256."
        return Loaded(items, (use,), (RunNote(benchmark=self.name, kind="convention", text=note),))

    def score(self, item: Item, responses: tuple[Response, ...]) -> Score:
        """Negative log-likelihood of the text (nats), its tokens and its UTF-8 bytes."""
        return Perplexity().score(item, responses)

    def _file(self) -> tuple[list[Row], DataUse, str]:
        files = files_of("corpus", (), self.file)
        path = files.paths[0]
        kind = path.suffix.lower()
        if kind not in {*_TABLES, ".jsonl", ".txt", ".md", ""}:
            raise DataError(f"{path.name}: expected .txt, .csv, .tsv or .jsonl, found {kind!r}. Save the texts as one.")
        problems = Problems(path.name)
        rows = list(self._rows(path, kind, problems))
        problems.raise_if_any()
        return rows, files.use, files.source

    def _rows(self, path: Path, kind: str, problems: Problems) -> Iterator[Row]:
        """Number and text of each wanted row."""
        if kind in _TABLES:
            column = ""
            for row in csv_rows(path, (), tabs=_TABLES[kind]):
                column = column or self._column(row.cells, path.name)
                if self._wanted(row.cells):
                    yield row.number, problems.text(row.line, column, row.cells.get(column))
        elif kind == ".jsonl":
            column = ""
            for number, cells in json_lines(path, problems):
                column = column or self._column(cells, path.name)
                if self._wanted(cells):
                    yield number, problems.text(number, column, cells.get(column))
        else:
            whole = read_text(path).strip()
            parts = _BLANK.split(whole) if _BLANK.search(whole) else whole.splitlines()
            yield from ((number, part.strip()) for number, part in enumerate(parts, start=1) if part.strip())

    def _hub(self) -> tuple[list[Row], DataUse, str]:
        """Rows of a data set of the hub; those without text are left out.

        Raises:
            MissingFile: it cannot be fetched; the message says how to do without.
        """
        ways = f"Download it elsewhere and name the file: corpus:FILE (.csv, .tsv, .jsonl or .txt), not {self.file}."
        try:
            rows: Any = importlib.import_module("datasets").load_dataset(self.file, split=self.part)
        except ImportError as error:
            raise MissingFile(f"{self.file}: data sets of the hub need `pip install datasets`. {ways}") from error
        except Exception as error:  # it raises what it likes
            raise MissingFile(
                f"{self.file}: the hub did not give it ({type(error).__name__}: {error}). {ways}"
            ) from error
        column, found, digest = "", [], hashlib.sha256()
        for number, cells in enumerate(rows, start=1):
            column = column or self._column(cells, self.file)
            text = cells.get(column)
            if self._wanted(cells) and isinstance(text, str) and text.strip():
                found.append((number, text))
                digest.update(text.encode())
        use = DataUse(
            name=self.file,
            sha256=digest.hexdigest(),
            source=f"https://huggingface.co/datasets/{self.file}, {self.part}, column {column}",
            licence="see its page",
        )
        return found, use, self.file.partition("/")[2]

    def _column(self, cells: Mapping[str, object], name: str) -> str:
        """Where the text stands.

        Raises:
            DataError: there is no such column.
        """
        wanted = (self.column,) if self.column else COLUMNS
        for one in wanted:
            if one in cells:
                return one
        raise DataError(
            f"{name}: expected a column {' or '.join(wanted)}, found {', '.join(map(repr, cells))}. Name the one with "
            "the text: --set corpus.column=NAME."
        )

    def _wanted(self, cells: Mapping[str, object]) -> bool:
        column, _, value = self.where.partition("=")
        return not column or str(cells.get(column, "")) == value
