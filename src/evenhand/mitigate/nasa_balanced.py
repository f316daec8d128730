"""NASA in both orders of the words: heads that push the answer, trained towards answers that keep in either order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from evenhand.core.errors import UsageError
from evenhand.core.record import Card
from evenhand.core.sites import Part, Site
from evenhand.mitigate._heads import head_sites
from evenhand.mitigate._mitigation import FitOn
from evenhand.mitigate._nasa import Bench, HeadTuning

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.core.record import Finding
    from evenhand.mitigate._nasa_forward import Seen
    from evenhand.mitigate._nasa_questions import Question
    from evenhand.mitigate._nasa_rows import Rows
    from evenhand.mitigate._nasa_watch import Watched
    from evenhand.model import Model


class NasaBalanced(HeadTuning):
    """Query and key rows of heads that push the answer to one word, tuned on both orders with backtracking."""

    name: ClassVar[str] = "nasa_balanced"
    card: ClassVar[Card] = Card(
        title="Tunes heads that push yes/no answers to one word, in both orders of the instruction, so that the answer "
        "depends on the question rather than on the order.",
        source="A variant of ours of Negative Attention Score Alignment (Yu et al., NAACL 2025, "
        "https://arxiv.org/abs/2408.00137).",
        formula="odds = log P(Yes) - log P(No); push of a head = mean over questions and orders of the sum over tokens "
        "of -h . d odds / d h; heads in decreasing order of their push towards the word that is said too often; goal "
        "of a question = spread * (m - c), where m = mean of the untouched model's odds in both orders, and c = what m "
        "exceeds as often as Yes is right; loss = mean over both orders of (odds - goal)^2, or, with aim=answers, of "
        "-log P(right word) + agree * mean (odds in 'Yes or No' - odds in 'No or Yes')^2; steps d are kept as d, "
        "shrink d, shrink^2 d, ... whichever first lowers the monitor's loss by `gain`",
        differs="From NASA: heads are chosen by what they do to the answer rather than by what they attend to, or are "
        "given (heads); both orders are in choice, loss and monitor; the model learns to say in each order what it "
        "says on the mean of both (aim=mean), for which of the right answers only their share is used; steps are "
        "shortened rather than cancelled because one order became worse; there is no early stopping.",
        cautions="The push is a first-order estimate; head_patching confirms its own. Nothing is learned about the "
        "questions: the model becomes more even, not more right, and a constant for each order (logit_offset) does "
        "much of that for scored answers. Yes is said as often as it is right among the questions of the fit; where "
        "another share is right, it will not be. More agreement of the orders can be had by answering everything "
        "alike: read kappa, which counts chance, and the Yes-rate beside it.",
        needs="a decoder whose heads can be told apart; gradients; yes/no questions with answers; a fast tokenizer",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("yes_no")
    primary: ClassVar[tuple[str, ...]] = ("yes_no.order_kappa", "yes_no.yes_rate_gap")
    test_on: ClassVar[tuple[str, ...]] = ()
    rivals: ClassVar[tuple[str, ...]] = ("logit_offset",)

    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0.5, 0.75, 1.0)

    amount: Annotated[float, Field(gt=0, le=1, description="Share of what was learned that is added.")] = 1.0
    heads: Annotated[
        tuple[str, ...],
        Field(description="Which heads, in this order, e.g. L5.heads.3, or @sites.json:10; none = by their push."),
    ] = ()
    aim: Annotated[
        Literal["answers", "mean"],
        Field(
            description="What is trained on: the right answers, or what the untouched model says on the mean of both "
            "orders, moved so that Yes is said as often as it is right."
        ),
    ] = "mean"
    spread: Annotated[float, Field(gt=0, description="aim=mean: the wanted log-odds in shares of the mean ones.")] = 0.5
    monitor: Annotated[int, Field(ge=1, description="Questions by which a head's tuning is judged, about.")] = 64
    steps: Annotated[int, Field(ge=1, description="Steps of the optimiser for each head.")] = 5
    agree: Annotated[float, Field(ge=0, description="Weight of the squared difference of the two orders.")] = 0.1
    shrink: Annotated[float, Field(gt=0, lt=1, description="Steps that do not help are shortened by this.")] = 0.4
    tries: Annotated[int, Field(ge=1, description="Lengths that are tried, the full one included.")] = 2
    gain: Annotated[float, Field(description="What the monitor's loss must fall by for steps to be kept.")] = 0.002
    slack: Annotated[
        float, Field(ge=0, description="What the mean distance of the Yes-rates from the base rate may rise by.")
    ] = 0.01

    @field_validator("heads", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Names with commas between them, as the command line gives them."""
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    def trained_orders(self) -> tuple[int, ...]:
        """Both."""
        return (0, 1)

    def layers_watched(self, layers: list[int], heads: Sequence[Site]) -> list[int]:
        """Those of the heads that are tuned: attention is only told, answers decide."""
        return sorted({site.layer for site in heads})

    def choose(
        self, model: Model, probe: Sequence[Question], seen: Sequence[Seen], notes: list[str], findings: list[Finding]
    ) -> list[Site]:
        """The given heads, or those that push most towards the word that is said too often."""
        import torch

        from evenhand.mitigate._nasa_findings import heads_map
        from evenhand.mitigate._nasa_forward import layers_of, pushes

        if self.heads:
            known = set(head_sites(self.heads))
            given = [site for site in dict.fromkeys(map(Site.parse, self.heads)) if site in known]
            for site in given:
                model.anatomy.module(site)
            notes.append(f"Heads were given: {', '.join(map(str, given))}.")
            return given[: self.count]
        said = float(torch.stack([one.odds > 0 for one in seen]).double().mean())
        base = sum(question.truth for question in probe) / len(probe)
        sign = 1.0 if said <= base else -1.0
        found = torch.stack([pushes(model, [one.orders[n] for one in probe]).mean(0) for n in (0, 1)]).mean(0)
        every = model.anatomy.sites(Part.HEADS)
        ranked = sorted(zip((sign * found).flatten().tolist(), every, strict=True), key=lambda pair: -pair[0])
        chosen = [(push, site) for push, site in ranked if push > 0][: self.count]
        if not chosen:
            raise UsageError(f"{self.name}: no head of {model.name} pushes the answers. Name heads with heads=.")
        word = "no" if sign > 0 else "yes"
        notes.append(f"Yes is said to {100 * said:.1f} % and right for {100 * base:.1f} %: heads that push to {word}.")
        sites = [site for _, site in chosen]
        findings.append(heads_map("Push of the heads to no", found, layers_of(model), sites, unit="nats"))
        notes.append(f"Pushes (nats): {', '.join(f'{site} {push:+.3f}' for push, site in chosen)}.")
        return sites

    def objective(self, bench: Bench, questions: Sequence[Question], site: Site) -> Tensor:
        """Cross-entropy of the right word in both orders, and the squared difference of the orders."""
        import torch

        from evenhand.mitigate._nasa_forward import forward

        odds = forward(bench.model, [one.orders[order] for order in (0, 1) for one in questions]).odds.reshape(2, -1)
        return self._loss(odds, torch.tensor([bench.goals[id(one)] for one in questions]).to(odds))

    def begin(self, bench: Bench) -> None:
        """The goals: the right answers, or the untouched model's log-odds, mean of both orders."""
        import torch

        from evenhand.mitigate._nasa_forward import look

        train, monitor = bench.parts.train, bench.parts.monitor
        for one in (*train, *monitor):
            bench.goals[id(one)] = float(one.truth)
        if self.aim == "mean":
            odds = torch.stack([look(bench.model, [one.orders[n] for one in train]).odds for n in (0, 1)]).mean(0)
            base = sum(one.truth for one in train) / len(train)
            middle = odds.quantile(1 - base)
            for questions, found in ((train, odds), (monitor, bench.first.odds.mean(0))):
                for one, value in zip(questions, (self.spread * (found - middle)).tolist(), strict=True):
                    bench.goals[id(one)] = value

    def tune(self, bench: Bench, site: Site, rows: Rows) -> bool:
        """Steps, then shorter ones until the monitor is better."""
        from evenhand.mitigate._nasa_watch import watch

        start = rows.values()
        was = bench.attention(bench.watched, site)[0]
        self.steps_of(bench, site, rows, self.steps)
        moved = [leaf.detach() - value.float() for leaf, value in zip(rows.leaves, start, strict=True)]
        said: list[str] = []
        harm, now, scale = "", bench.watched, 1.0
        for scale in (self.shrink**n for n in range(self.tries)):
            rows.write([value.float() + scale * step for value, step in zip(start, moved, strict=True)])
            now = watch(bench.model, bench.parts.monitor, self.trained_orders(), bench.layers)
            harm = self._harm(bench.watched, now, [bench.goals[id(one)] for one in bench.parts.monitor])
            said.append(
                f"{scale:.2g} of the steps, NAS {was:+.3f} -> {bench.attention(now, site)[0]:+.3f}, {now.said()}, "
                f"kappa {now.kappa:.2f}: {f'not better ({harm})' if harm else 'kept'}"
            )
            if not harm:
                break
        bench.tell(site, now, f"{self.steps}, {scale:.2g} of their length", harm)
        if harm:
            rows.write(start)
            said.append("rolled back")
        else:
            bench.watched = now
            bench.kept.append(site)
        bench.notes.append(f"{site}: {'; '.join(said)}.")
        return True

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """What is added to the rows of each head that was kept, as much of it as is wanted."""
        rows = {name: self.amount * one for name, one in tensors.items() if one.is_floating_point()}
        return super().edits(rows, model)

    def _harm(self, before: Watched, now: Watched, goals: Sequence[float]) -> str:
        """Why a step is not taken, "" if it is."""
        old, new = (float(self._loss(one.odds, one.truth.new_tensor(goals))) for one in (before, now))
        if new > old - self.gain:
            return f"loss {old:.4f} -> {new:.4f}"
        if now.gap > before.gap + self.slack:
            return f"Yes-rates {before.gap:.2f} -> {now.gap:.2f} from the base rate"
        return ""

    def _loss(self, odds: Tensor, goals: Tensor) -> Tensor:
        """The loss from log-odds [2, N] and what is wanted, [N]: right answers (0, 1) or log-odds."""
        from evenhand.mitigate._nasa_watch import cross_entropy

        if self.aim == "mean":
            return (odds - goals).square().mean()
        return cross_entropy(odds, goals).mean() + self.agree * (odds[0] - odds[1]).square().mean()
