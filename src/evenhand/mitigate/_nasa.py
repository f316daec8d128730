"""Heads tuned one at a time on yes/no questions: what `nasa` and `nasa_balanced` share.

fit   questions -> probe, train, monitor; heads chosen on probe; each tuned on train and judged on monitor
own   which heads, in which order; the objective of a batch; what is done with a head
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.sites import Part, Site
from evenhand.mitigate._heads import as_tensor, head_sites
from evenhand.mitigate._mitigation import Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.optim import Adam

    from evenhand.core.edits import Edit
    from evenhand.core.record import Finding
    from evenhand.mitigate._nasa_forward import Seen
    from evenhand.mitigate._nasa_questions import Parts, Question
    from evenhand.mitigate._nasa_rows import Place, Rows
    from evenhand.mitigate._nasa_watch import Watched
    from evenhand.model import Model


@dataclass
class Bench:
    """What tuning works with.

    Attributes:
        model: the model, lent: its rows are changed in place.
        parts: probe, train and monitor.
        layers: the layers that have heads.
        first: the monitor before anything was tuned.
        watched: the monitor as it is now.
        rng: draws batches.
        notes: what became of each head.
        kept: heads whose tuning stayed.
        table: the same as `notes` for a report, see `_nasa_findings.tried`.
        goals: what the method wants of a question, by its `id`.
    """

    model: Model
    parts: Parts
    layers: list[int]
    first: Watched
    watched: Watched
    rng: np.random.Generator
    notes: list[str] = field(default_factory=list)
    kept: list[Site] = field(default_factory=list)
    table: list[tuple[str, ...]] = field(default_factory=list)
    goals: dict[int, float] = field(default_factory=dict)

    def tell(self, site: Site, now: Watched, steps: str, harm: str) -> None:
        """Note in the table what became of a head: kept, or put back for a reason."""
        was, found = (f"{self.attention(one, site)[0]:+.3f}" for one in (self.watched, now))
        outcome = "rolled back" if harm else "kept"
        self.table.append((str(site), was, found, steps, now.said(), outcome, harm))

    def attention(self, watched: Watched, site: Site, heads: Sequence[int] = ()) -> list[float]:
        """Negative attention of a head, or of heads of its layer."""
        row = watched.attention[self.layers.index(site.layer)]
        return [float(row[head]) for head in heads or [site.unit or 0]]


class HeadTuning(Mitigation):
    """Train the query and key rows of heads, one head after the other."""

    count: Annotated[int, Field(ge=1, description="How many heads are tried, at most.")] = 6
    keys: Annotated[bool, Field(description="Also train key rows, which heads share where queries are grouped.")] = True
    lr: Annotated[float, Field(gt=0, description="Learning rate of Adam, without weight decay.")] = 1e-3
    steps: Annotated[int, Field(ge=1, description="Steps of the optimiser for each head, at most.")] = 10
    batch: Annotated[int, Field(ge=1, description="Questions in a step, each in every order that is trained on.")] = 8
    probe: Annotated[int, Field(ge=1, description="Questions on which heads are chosen, about.")] = 64
    train: Annotated[int, Field(ge=1, description="Questions that heads are trained on, about.")] = 160
    monitor: Annotated[int, Field(ge=1, description="Questions by which a head's tuning is judged, about.")] = 100
    chat: Annotated[
        Literal["auto", "on", "off"],
        Field(description="Ask in the chat format; auto: as a trial does, else if the model has one."),
    ] = "auto"
    autocast: Annotated[
        bool,
        Field(description="Compute in bfloat16 with float32 weights, where the processor does so natively: faster."),
    ] = True
    other_than: Annotated[
        tuple[str, ...], Field(description="For shams: as many other heads are drawn that share keys as these do.")
    ] = ()

    @abstractmethod
    def trained_orders(self) -> tuple[int, ...]:
        """Orders that are trained and watched: 0 = the word for yes first, 1 = that for no."""

    def layers_watched(self, layers: list[int], heads: Sequence[Site]) -> list[int]:
        """Layers whose attention is read after each head: all, or fewer where that suffices."""
        return layers

    @abstractmethod
    def choose(
        self, model: Model, probe: Sequence[Question], seen: Sequence[Seen], notes: list[str], findings: list[Finding]
    ) -> list[Site]:
        """Heads in the order in which they are tuned, `count` of them at most.

        Args:
            model: the model.
            probe: questions.
            seen: answers to them and negative attention of every layer, in both orders.
            notes: remarks for the reader are added.
            findings: what a report shows is added.
        """

    @abstractmethod
    def objective(self, bench: Bench, questions: Sequence[Question], site: Site) -> Tensor:
        """The loss of a batch, a scalar in the graph."""

    def begin(self, bench: Bench) -> None:
        """Called before the first head is tuned."""

    @abstractmethod
    def tune(self, bench: Bench, site: Site, rows: Rows) -> bool:
        """Train a head and judge it. What is not kept is put back. False: no further head is needed."""

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """`<head>.q`, `<head>.k` and their biases, float32: what is added to the rows.

        For the reader: `tried` and `kept`, layer and number of heads, int64 [n, 2]; `attention`, negative attention on
        the probe in both orders, float32 [2, layers, H].

        Raises:
            DataError: the items are no yes/no questions, or too few.
            UnsupportedSite: heads or their rows cannot be told apart.
            UsageError: no head answers to the description.
        """
        import torch

        from evenhand.mitigate._nasa_findings import maps
        from evenhand.mitigate._nasa_forward import faster, layers_of, look
        from evenhand.mitigate._nasa_questions import read, split, thinned, words_of
        from evenhand.mitigate._nasa_rows import places

        layers = layers_of(model)
        chat = self.chat == "on" or (self.chat == "auto" and model.has_chat_template)
        sizes = (self.probe, self.train, self.monitor)
        questions, dropped = read(model, thinned(items, sum(sizes), rng), chat=chat, method=self.name)
        parts = split(questions, sizes, rng, self.name)
        notes = [
            f"{len(parts.probe):,} questions to choose heads, {len(parts.train):,} to train them, "
            f"{len(parts.monitor):,} to judge; {dropped:,} items could not be used."
        ]
        findings: list[Finding] = []
        with faster(model, self.autocast):
            seen = [look(model, [one.orders[n] for one in parts.probe], layers) for n in (0, 1)]
            if self.other_than:
                heads = drawn_like(model, head_sites(self.other_than), rng)
            else:
                heads = self.choose(model, parts.probe, seen, notes, findings)
            owned = {site: places(model, site, keys=self.keys) for site in heads}
            watched = self.layers_watched(layers, heads)
            tensors = self._tuned(model, parts, watched, owned, rng, notes, findings)
        attention = torch.stack([one.attention.mean(0) for one in seen]).float()
        drawn = maps(list(attention), layers, heads, words_of(items))
        return Fitted(tensors | {"attention": attention}, tuple(notes), tuple([*findings, *drawn]))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """What is added to the rows of each head that was kept."""
        from evenhand.mitigate._nasa_rows import edits

        return edits(tensors, model)

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """As many other heads drawn at random, trained and judged in the same way."""
        tried = tuple(str(Site(layer, Part.HEADS, head)) for layer, head in tensors["tried"].tolist())
        return (Sham("random heads", self.model_copy(update={"other_than": tried}), items),)

    def steps_of(self, bench: Bench, site: Site, rows: Rows, count: int, begun: Optimiser | None = None) -> Optimiser:
        """Take steps; the rows in the model are the trained ones afterwards."""
        import torch

        made = begun or Optimiser(torch.optim.Adam(rows.leaves, lr=self.lr))
        rows.wanted(True)
        try:
            for _ in range(count):
                drawn = bench.rng.choice(len(bench.parts.train), min(self.batch, len(bench.parts.train)), replace=False)
                with torch.enable_grad():
                    loss = self.objective(bench, [bench.parts.train[n] for n in drawn], site)
                for leaf, gradient in zip(rows.leaves, rows.gradients(loss), strict=True):
                    leaf.grad = gradient
                made.adam.step()
                made.steps += 1
                rows.write(rows.leaves)
        finally:
            rows.wanted(False)
        return made

    def _tuned(
        self,
        model: Model,
        parts: Parts,
        layers: list[int],
        owned: Mapping[Site, Sequence[Place]],
        rng: np.random.Generator,
        notes: list[str],
        findings: list[Finding],
    ) -> dict[str, Tensor]:
        """Tune the heads one by one on the model, which is then as it was; what is to be added to their rows."""
        import torch

        from evenhand.mitigate import _nasa_findings
        from evenhand.mitigate._kept import as_it_was
        from evenhand.mitigate._nasa_rows import Rows
        from evenhand.mitigate._nasa_watch import watch

        each = {place.name: place for found in owned.values() for place in found}
        parameters = {place.param: model.hf.get_parameter(place.param) for place in each.values()}
        tried: list[Site] = []
        with as_it_was(model.hf, list(parameters.values())):
            model.hf.requires_grad_(False)
            every = Rows(model, list(each.values()))
            before = every.values()
            first = watch(model, parts.monitor, self.trained_orders(), layers)
            bench = Bench(model, parts, layers, first, first, rng, notes)
            notes.append(f"Monitor before: {first.said()}.")
            self.begin(bench)
            began = perf_counter()
            for site, found in owned.items():
                tried.append(site)
                if not self.tune(bench, site, Rows(model, found)):
                    break
            seconds = (perf_counter() - began) / len(tried)
            after = every.values()
        findings.append(_nasa_findings.tried(bench.table))
        notes.append(
            f"Monitor after: {bench.watched.said()}; {len(bench.kept)} of {len(tried)} heads were kept, "
            f"{seconds:.1f} seconds for each that was tried."
        )
        changed = {
            place.name: (new.float() - old.float()).cpu()
            for place, old, new in zip(every.places, before, after, strict=True)
            if not torch.equal(old, new)
        }
        return changed | {"tried": as_tensor(tried), "kept": as_tensor(bench.kept)}


@dataclass
class Optimiser:
    """Adam and how often it stepped."""

    adam: Adam
    steps: int = 0


def drawn_like(model: Model, heads: Sequence[Site], rng: np.random.Generator) -> list[Site]:
    """Heads drawn at random that share no keys with the given ones, as many of them for each set of keys.

    Raises:
        UsageError: there are no others.
    """

    def keys(site: Site) -> tuple[int, int]:
        return site.layer, model.anatomy.head_slices(site.layer, site.unit or 0, "k").shared[0]

    groups: dict[tuple[int, int], list[Site]] = {}
    for site in model.anatomy.sites(Part.HEADS):
        groups.setdefault(keys(site), []).append(site)
    sizes = Counter(map(keys, heads))
    free = [group for key, group in groups.items() if key not in sizes]
    if not free:
        raise UsageError(f"{model.name} has no heads left that share no keys with those that were tried. Lower count.")
    chosen = [free[n] for n in rng.permutation(len(free))[: len(sizes)]]
    drawn = [
        group[n]
        for size, group in zip(sizes.values(), chosen, strict=False)
        for n in rng.permutation(len(group))[:size]
    ]
    return [drawn[n] for n in rng.permutation(len(drawn))]
