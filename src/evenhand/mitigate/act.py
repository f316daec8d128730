"""ACT: attention that gathers on tokens without meaning goes to the other tokens, in heads where that is no loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from evenhand.core.errors import UnsupportedSite, UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.sites import Part
from evenhand.mitigate._act import Sinks, edit_of
from evenhand.mitigate._heads import as_tensor, head_sites
from evenhand.mitigate._mitigation import LANGUAGE, FitOn, Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.core.sites import Site
    from evenhand.mitigate._act_search import Head, Question
    from evenhand.model import Model


class Act(Mitigation):
    """Damp the attention sinks of chosen heads, input by input, and give what is freed to the rest of each row."""

    name: ClassVar[str] = "act"
    card: ClassVar[Card] = Card(
        title="Takes attention from tokens in the middle of a prompt that gather it without meaning, and gives it to "
        "the others.",
        source="Unveiling and Harnessing Hidden Attention Sinks: Enhancing Large Language Models without Training "
        "through Attention Calibration, Yu et al., ICML 2024, https://arxiv.org/abs/2406.15765; code: "
        "https://github.com/GATECH-EIC/ACT.",
        formula="mean weight of column j: m[j] = mean of A[i, j] over the queries i of the prompt that see it; sinks "
        "S = {j: m[j] > alpha / N} (N tokens in the prompt) or {j: m[j] > tau}; A'[i, j] = beta A[i, j] in S, else "
        "A[i, j] (1 + (1 - beta) sum_S A[i, k] / sum_not-S A[i, k])",
        differs="Sinks are found in the prompt and kept while it is continued, where the authors' code sees one row at "
        "a time; the first token, and others that open a text (beginning-of-text, which a chat format may repeat), are "
        "never one unless include_first is set (their code for multiple choice does not leave out any); a column must "
        "be seen by min_queries queries (1 in their code, where the last columns are means over one to three); a row "
        "that looks at nothing but sinks stays as it is (NaN in their code). The rule for choosing heads is not "
        "published: here a head is calibrated if, alone, it neither lowers the share right nor the log-probability of "
        "right answers on held-out questions. Successive halving on the first half of them leaves some heads; the "
        "other half decides which are accepted.",
        cautions="On few questions many heads pass by chance: the notes say how many, and how often each would pass "
        "again. The sham's heads were not accepted, so some of them were dropped because they hurt: beating it shows "
        "that the choice of heads matters. Texts that are scored from their beginning have no prompt and do not "
        "change. Sinks of a row depend on the whole prompt, also on what follows the row.",
        needs="a decoder whose attention can be changed; questions with right answers",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("arc", {"subset": "easy"})
    primary: ClassVar[tuple[str, ...]] = ("position_bias.accuracy",)
    test_on: ClassVar[tuple[str, ...]] = ("arc", "yes_no")
    guards: ClassVar[tuple[str, ...]] = (*LANGUAGE, "arc.accuracy_norm>=-2", "yes_no.balanced_accuracy>=-2")
    strength: ClassVar[str] = "beta"
    grid: ClassVar[tuple[float, ...]] = (0.8, 0.6, 0.4, 0.2)

    beta: Annotated[float, Field(ge=0, le=1, description="What a sink keeps of its weight; 1 changes nothing.")] = 0.4
    alpha: Annotated[
        float, Field(gt=0, description="A sink's mean weight is above alpha / (tokens of the prompt), as in the paper.")
    ] = 5.0
    tau: Annotated[
        float | None, Field(gt=0, lt=1, description="The threshold itself, as in the code (0.1); none = alpha's.")
    ] = None
    include_first: Annotated[
        bool, Field(description="The first token, and others that open a text, can be sinks, too.")
    ] = False
    min_queries: Annotated[int, Field(ge=1, description="Queries that must see a sink; 1 in the code.")] = 4
    skip_first: Annotated[int, Field(ge=0, description="Layers at the beginning that are left alone.")] = 2
    skip_last: Annotated[int, Field(ge=0, description="Layers at the end that are left alone.")] = 1
    heads: Annotated[
        tuple[str, ...], Field(description="Calibrate these heads, e.g. L5.heads.3, or @sites.json:10; none = choose.")
    ] = ()
    search: Annotated[
        Literal["halving", "exhaustive"],
        Field(description="halving: the worse half of the heads drops out in each round; exhaustive: all on all."),
    ] = "halving"
    rounds: Annotated[
        int, Field(ge=1, description="Rounds of halving; 1 / 2^(rounds - 1) of the heads see all questions. 1 = none.")
    ] = 4
    sample: Annotated[int, Field(ge=4, description="Questions on which heads are chosen, drawn at random.")] = 32
    check: Annotated[
        int, Field(ge=0, description="Further questions on which all chosen heads are tried together.")
    ] = 32
    least: Annotated[float, Field(description="What a head must add to the share right (0 to 1), at least.")] = 0.0

    @field_validator("heads", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Names with commas between them, as the command line gives them."""
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """`heads`: layer and number of each calibrated head, int64 [n, 2]; `others`: of heads that have sinks too.

        Raises:
            UnsupportedSite: the attention of this architecture cannot be changed.
            UsageError: a name is no head, or no layer is left.
            DataError: the items are no questions with right answers.
        """
        from evenhand.model.attention import editable

        if not editable(model.hf, model.anatomy):
            raise UnsupportedSite(
                f"act changes attention weights, and {type(model.hf).__name__} does not use transformers' attention "
                "interface. Use another model."
            )
        if self.heads:
            given = head_sites(self.heads)
            for site in given:
                model.anatomy.module(site)
            tensors = {"heads": as_tensor(given), "others": self._others(model, items, given, rng)}
            return Fitted(tensors, ("Heads were given; nothing was searched.",))
        return self._chosen(model, items, rng)

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One edit for each layer with a calibrated head."""
        by_layer: dict[int, list[int]] = {}
        for layer, head in tensors["heads"].tolist():
            by_layer.setdefault(layer, []).append(head)
        return [
            edit_of(layer, tuple(heads), self._sinks(model), self.beta) for layer, heads in sorted(by_layer.items())
        ]

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """The sinks of as many random heads that were not chosen but have sinks too; the name says if there are fewer.

        None if no head was chosen or no other head has sinks.
        """
        wanted, others = len(tensors["heads"]), tensors["others"].tolist()
        if not wanted or not others:
            return ()
        drawn = sorted(int(n) for n in rng.permutation(len(others))[:wanted])
        names = tuple(f"L{others[n][0]}.heads.{others[n][1]}" for n in drawn)
        few = f" ({len(names)} for {wanted})" if len(names) < wanted else ""
        return (Sham(f"sinks of other heads{few}", self.model_copy(update={"heads": names}), items),)

    def _sinks(self, model: Model) -> Sinks:
        from evenhand.model.encode import Encoder

        config = model.hf.config
        openings = (Encoder(model.tokenizer, config).opening, getattr(config, "bos_token_id", None))
        known = () if self.include_first else tuple(sorted({int(one) for one in openings if isinstance(one, int)}))
        return Sinks(self.alpha, self.tau, self.include_first, self.min_queries, known)

    def _in_range(self, model: Model) -> list[Site]:
        layers = range(self.skip_first, len(model.anatomy.layers) - self.skip_last)
        return [site for site in model.anatomy.sites(Part.HEADS) if site.layer in layers]

    def _candidates(self, model: Model) -> list[Site]:
        found = self._in_range(model)
        if not found:
            raise UsageError(
                f"act leaves out the first {self.skip_first} and the last {self.skip_last} layers, and {model.name} "
                f"has {len(model.anatomy.layers)}. Lower skip_first or skip_last."
            )
        return found

    def _others(self, model: Model, items: Sequence[Item], given: Sequence[Site], rng: np.random.Generator) -> Tensor:
        """Heads with sinks besides those given, in the layers that would be searched (in all if those are none)."""
        from evenhand.core.sites import Site
        from evenhand.mitigate._act_search import questions, sinks_of

        found = questions(model, items, self.name)
        asked = [found[n] for n in rng.permutation(len(found))[: self.sample].tolist()]
        sites = self._in_range(model) or list(model.anatomy.sites(Part.HEADS))
        heads: list[Head] = [(site.layer, site.unit or 0) for site in sites if site not in given]
        able = sinks_of(model, self._sinks(model), heads, asked) if heads else {}
        return as_tensor([Site(layer, Part.HEADS, head) for layer, head in able])

    def _chosen(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """Heads that do not hurt alone."""
        import numpy as np

        from evenhand.core.sites import Site
        from evenhand.mitigate._act_search import Search, accepted, questions, shown, uncertainty

        sites = self._candidates(model)
        found = questions(model, items, self.name)
        order = [int(n) for n in rng.permutation(len(found))]
        asked = [found[n] for n in order[: self.sample]]
        heads: list[Head] = [(site.layer, site.unit or 0) for site in sites]
        search = Search(model, self._sinks(model), self.beta, heads, asked)
        last = search.exhaustive() if self.search == "exhaustive" else search.halving(self.rounds)
        gains = np.stack([search.judged(head) for head in last]) if last else np.zeros((0, len(asked), 2))
        passed = accepted(gains.mean(axis=1), self.least)
        again, chance = uncertainty(gains, self.least, rng)
        kept = [head for head, keep in zip(last, passed, strict=True) if keep]
        notes = [
            f"{len(heads)} heads in layers {self.skip_first} to {len(model.anatomy.layers) - self.skip_last - 1}; "
            f"{len(search.heads)} have sinks in {len(asked)} held-out questions and were tried, {search.passes:,} "
            f"questions answered; {len(last)} were left for the {len(asked) - search.used} questions by which none was "
            f"dropped, and {len(kept)} accepted by these.",
            f"With signs of gains by chance about {chance:.1f} of the {len(last)} would be accepted."
            + (f" An accepted head is accepted again in {100 * again[passed].mean():.0f} % of draws." if kept else ""),
            *self._together(model, kept, asked, [found[n] for n in order[self.sample : self.sample + self.check]]),
        ]
        rest = [head for head in search.heads if head not in kept]
        tensors = {
            name: as_tensor([Site(layer, Part.HEADS, head) for layer, head in some])
            for name, some in (("heads", kept), ("others", rest))
        }
        return Fitted(tensors, tuple(notes), shown(search, len(model.anatomy.layers), model.anatomy.heads, kept, again))

    def _together(
        self, model: Model, kept: Sequence[Head], asked: Sequence[Question], fresh: Sequence[Question]
    ) -> list[str]:
        """What all accepted heads do together, where they were chosen and on questions that nobody looked at."""
        from evenhand.mitigate._act_search import outcomes

        if not kept:
            return ["No head passed: the patch changes nothing."]
        edits = [
            edit_of(layer, tuple(h for at, h in kept if at == layer), self._sinks(model), self.beta)
            for layer in sorted({layer for layer, _ in kept})
        ]
        said = []
        for where, some in (("the questions that chose them", asked), ("further held-out questions", fresh)):
            if some:
                before, after = (outcomes(model, with_, some).mean(axis=0) for with_ in ((), edits))
                said.append(
                    f"All together on {len(some)} {where}: right {100 * before[0]:.1f} -> {100 * after[0]:.1f} %, log "
                    f"P of the right answer {before[1]:.3f} -> {after[1]:.3f} nats."
                )
        return said
