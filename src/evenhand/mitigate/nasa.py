"""NASA: heads that attend to the word for no are tuned, one at a time, until they attend to both words alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.errors import UsageError
from evenhand.core.record import Card
from evenhand.core.sites import Part, Site
from evenhand.mitigate._mitigation import FitOn
from evenhand.mitigate._nasa import Bench, HeadTuning, Optimiser

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.core.record import Finding
    from evenhand.mitigate._nasa_forward import Seen
    from evenhand.mitigate._nasa_questions import Question
    from evenhand.mitigate._nasa_rows import Rows
    from evenhand.mitigate._nasa_watch import Watched
    from evenhand.model import Model


class Nasa(HeadTuning):
    """Negative attention score alignment: query and key rows of the most negative heads, one head after the other."""

    name: ClassVar[str] = "nasa"
    card: ClassVar[Card] = Card(
        title="Tunes the heads that attend to 'No' in the instruction, whatever is asked, so that yes/no answers lean "
        "less to 'No'.",
        source="Correcting Negative Bias in Large Language Models through Negative Attention Score Alignment, Yu et "
        "al., NAACL 2025 (https://arxiv.org/abs/2408.00137)",
        formula="NAS(x) = sum over queries i after the instruction of (A[i, Yes] + A[i, No]) ln(A[i, No] / A[i, Yes]); "
        "heads with NAS > 0 in a share of at least `consistent` of the probing set, in decreasing order of their mean "
        "NAS; for each, Adam on its rows of the query and key projections; loss = -log P(right word), the two words "
        "normalised to 1, or max(mean NAS of the head, 0)",
        differs="The paper says which weights are trained, that heads go one at a time in decreasing order, and that "
        "there are early stopping and update cancellation; its thresholds, loss, learning rate, data and wording are "
        "not public, and all numbers here are ours. Steps end when the head's NAS on the monitor is no longer above "
        "`neutral`; an update is cancelled if the head or one that shares its keys over-corrects, if the answers lean "
        "to yes (recall above precision), or if F1 falls. It reads one order of the words (order=yes_first); "
        "order=both is ours and averages. Biases of the projections are trained with their rows. Probing set and "
        "monitor are not balanced by answer.",
        cautions="One order measures the place of a word as much as its meaning, and no negative attention score told "
        "which heads push smollm2 to No: see nasa_balanced. A model that does not know the answers can only learn to "
        "say Yes more often, which logit_offset does for nothing. The monitor needs right answers also with "
        "loss=attention.",
        needs="a decoder whose heads can be told apart; gradients; yes/no questions with answers; a fast tokenizer",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("yes_no")
    primary: ClassVar[tuple[str, ...]] = ("yes_no.order_kappa", "yes_no.yes_rate_gap")
    test_on: ClassVar[tuple[str, ...]] = ()
    rivals: ClassVar[tuple[str, ...]] = ("logit_offset",)

    order: Annotated[
        Literal["yes_first", "no_first", "both"],
        Field(description="The order of the two words in which heads are chosen, trained and watched."),
    ] = "yes_first"
    loss: Annotated[
        Literal["answers", "attention"],
        Field(description="What is trained on: the right answers, or, without labels, the head's negative attention."),
    ] = "answers"
    consistent: Annotated[
        float, Field(ge=0, le=1, description="Share of the probing set in which a head must attend more to no.")
    ] = 0.95
    every: Annotated[int, Field(ge=1, description="Steps between two looks at the monitor.")] = 5
    neutral: Annotated[float, Field(ge=0, description="Negative attention at which a head's steps end.")] = 0.0
    over: Annotated[
        float,
        Field(
            ge=0,
            description="Cancel: how far a head may turn to yes, or one that shares its keys away from 0, in shares of "
            "the head's NAS or, if that is larger, of the mean size of all heads' NAS.",
        ),
    ] = 0.25
    positive: Annotated[
        float, Field(ge=0, le=1, description="Cancel: how far recall may be above precision once it rose.")
    ] = 0.05
    worse: Annotated[float, Field(ge=0, le=1, description="Cancel: how far F1 may fall.")] = 0.01
    aligned: Annotated[
        float, Field(ge=0, description="No further head once the mean NAS of all is below this share of what it was.")
    ] = 0.05

    def trained_orders(self) -> tuple[int, ...]:
        """The chosen order, or both."""
        return {"yes_first": (0,), "no_first": (1,), "both": (0, 1)}[self.order]

    def choose(
        self, model: Model, probe: Sequence[Question], seen: Sequence[Seen], notes: list[str], findings: list[Finding]
    ) -> list[Site]:
        """Heads that attend to no in nearly all questions, the most negative first."""
        import torch

        scores = torch.stack([seen[order].attention for order in self.trained_orders()]).mean(0)
        mean, share = scores.mean(0), (scores > 0).double().mean(0)
        every = [site for site in model.anatomy.sites(Part.HEADS)]
        found = [
            (value, site)
            for site, value, part in zip(every, mean.flatten().tolist(), share.flatten().tolist(), strict=True)
            if value > 0 and part >= self.consistent
        ]
        if not found:
            raise UsageError(
                f"{self.name} looked for heads that attend to the word for no in {100 * self.consistent:.0f} % of the "
                f"questions and found none among {len(every)}. Lower consistent (the highest share is "
                f"{100 * float(share.max()):.0f} %), or take order=both."
            )
        notes.append(f"{len(found)} of {len(every)} heads attend to no, order {self.order}.")
        return [site for _, site in sorted(found, key=lambda pair: -pair[0])[: self.count]]

    def objective(self, bench: Bench, questions: Sequence[Question], site: Site) -> Tensor:
        """Cross-entropy of the right word, or the head's negative attention as far as it is above 0."""
        import torch

        from evenhand.mitigate._nasa_forward import forward
        from evenhand.mitigate._nasa_watch import cross_entropy

        asked = [question.orders[order] for question in questions for order in self.trained_orders()]
        if self.loss == "attention":
            return forward(bench.model, asked, [site.layer]).attention[:, 0, site.unit or 0].clamp_min(0).mean()
        odds = forward(bench.model, asked).odds
        truth = torch.tensor([float(question.truth) for question in questions for _ in self.trained_orders()])
        return cross_entropy(odds, truth.to(odds)).mean()

    def tune(self, bench: Bench, site: Site, rows: Rows) -> bool:
        """Steps with early stopping, then cancellation."""
        from evenhand.mitigate._nasa_watch import watch

        before, start, now = bench.watched, rows.values(), bench.watched
        was = bench.attention(before, site)[0]
        made: Optimiser | None = None
        while made is None or made.steps < self.steps:
            left = self.steps - (made.steps if made else 0)
            made = self.steps_of(bench, site, rows, min(self.every, left), made)
            now = watch(bench.model, bench.parts.monitor, self.trained_orders(), bench.layers)
            if bench.attention(now, site)[0] <= self.neutral < was:
                break
        harm = self._harm(bench, site, rows, now)
        verdict = f"rolled back: {harm}" if harm else "kept"
        bench.notes.append(
            f"{site}: {made.steps} steps, NAS {was:+.3f} -> {bench.attention(now, site)[0]:+.3f}, {now.said()}: "
            f"{verdict}."
        )
        bench.tell(site, now, str(made.steps), harm)
        if harm:
            rows.write(start)
            return True
        bench.kept.append(site)
        bench.watched = now
        return abs(float(now.attention.mean())) > self.aligned * abs(float(bench.first.attention.mean()))

    def _harm(self, bench: Bench, site: Site, rows: Rows, now: Watched) -> str:
        """Why an update is cancelled, "" if it is not."""
        was, found = bench.attention(bench.watched, site)[0], bench.attention(now, site)[0]
        allowed = self.over * max(abs(was), float(bench.first.attention.abs().mean()))
        if found < min(was, 0.0) - allowed:
            return "the head turned to yes"
        siblings = sorted({head for place in rows.places for head in place.shared} - {site.unit or 0})
        if siblings:
            both = (bench.attention(watched, site, siblings) for watched in (bench.watched, now))
            turned = [h for h, a, b in zip(siblings, *both, strict=True) if abs(b) > abs(a) + allowed]
            if turned:
                return f"head {turned[0]}, which shares its keys, became less even"
        for old, new in zip(bench.watched.answers, now.answers, strict=True):
            if new.recall - new.precision > self.positive and new.recall > old.recall:
                return f"positive bias, recall {new.recall:.2f} above precision {new.precision:.2f}"
            if new.f1 < old.f1 - self.worse:
                return f"F1 fell from {old.f1:.2f} to {new.f1:.2f}"
        return ""
