"""Head patching: which heads and MLPs move a benchmark's own log-odds, found on one half and confirmed on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from pydantic import Field

from evenhand.core.errors import DataError
from evenhand.core.items import Item
from evenhand.core.record import Card, SiteScore
from evenhand.core.requests import Choose
from evenhand.core.sites import Site
from evenhand.locate._locator import Located, LocateOn, Locator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evenhand.locate._effects import Odds
    from evenhand.model import Model

    Floats = NDArray[np.float64]


class HeadPatching(Locator):
    """Effect of every head and MLP on log-odds (nats): as they are less with the part replaced by a baseline.

    Positive parts push towards the stereotype (or, in yes/no questions, towards Yes). Clusters are split in two: on one
    half all parts are estimated by gradient and the largest are replaced; these are then replaced on the other half,
    and values, intervals and p values of theirs are from there. Parts that were not chosen have the gradient's estimate
    and no p value.
    """

    name: ClassVar[str] = "head_patching"
    card: ClassVar[Card] = Card(
        title="Heads and MLPs that push the model towards the stereotype, by taking each of them out.",
        source="Attribution patching as in AtP*: An efficient and scalable method for localizing LLM behaviour to "
        "components, Kramar, Lieberum, Shah, Nanda 2024 (https://arxiv.org/abs/2403.00745); mean ablation as in "
        "Interpretability in the Wild, Wang et al., ICLR 2023 (https://arxiv.org/abs/2211.00593)",
        formula="effect = odds(h) - odds(m), m the mean of h or 0; gradient estimate = sum over tokens of "
        "(h - m) . d odds / d h; odds = log P(stereotype) - log P(anti-stereotype), or log P(Yes) - log P(No)",
        differs="Activations are replaced by their mean over tokens rather than by those of the twin: before the word "
        "that differs twins have the same activations, and after it texts of unequal length do not correspond. The "
        "token that opens a text is left alone. The mean is over the half on which parts are chosen.",
        cautions="A part that does the same everywhere, such as a head that always says No, has no effect against its "
        "mean: use baseline=zero for that, which in turn counts what merely keeps the model going. Parts that make up "
        "for each other show no effect one by one. A part can move the odds of two words "
        "for reasons of grammar or frequency: an effect is not yet a stereotype. The gradient misjudges parts whose "
        "effect is far from linear; compare 'gradient' and 'exact' in the details.",
        needs="a decoder that fits into memory with gradients of activations",
    )
    locate_on: ClassVar[LocateOn] = LocateOn("stereoset", {"task": "intrasentence"})
    causal: ClassVar[bool] = True
    unit: ClassVar[str] = "nats"
    null: ClassVar[str] = (
        "The two sides of a pair exchanged at random, cluster by cluster: on average over clusters the part moves the "
        "odds neither way. Tested on clusters that had no part in choosing it."
    )
    correction: ClassVar[str] = "Holm, over the parts that were confirmed"

    sample: Annotated[int, Field(ge=6, description="At most so many items, drawn at random, both halves together.")] = (
        120
    )
    confirm: Annotated[int, Field(ge=1, description="How many of the largest parts are replaced and confirmed.")] = 10
    baseline: Annotated[
        Literal["mean", "zero"], Field(description="What a part is replaced by: its mean over tokens, or nothing.")
    ] = "mean"
    per_token: Annotated[bool, Field(description="Mean log-probability per token of a text instead of the sum.")] = (
        False
    )
    reverse: Annotated[
        bool, Field(description="Turn the sign: positive pushes towards the anti-stereotype, or towards No.")
    ] = False

    def locate(self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool) -> Located:
        """Estimate on one half of the clusters, confirm on the other."""
        import numpy as np

        from evenhand.core.statistics import holm
        from evenhand.locate import _null
        from evenhand.locate._effects import by_gradient, by_replacing, units

        choosing, confirming = self._halves(model, items, rng, chat=chat)
        sign = -1.0 if self.reverse else 1.0
        given = {"per_token": self.per_token}
        estimates, means = by_gradient(model, [one for one, _ in choosing], baseline=self.baseline, **given)
        estimate = sign * estimates.mean(axis=0)
        every = units(model)
        top = sorted(np.argsort(-np.abs(estimate), kind="stable")[: self.confirm].tolist())
        sites = [every[n] for n in top]
        exact = sign * by_replacing(model, [one for one, _ in choosing], sites, means, **given)
        confirmed = sign * by_replacing(model, [one for one, _ in confirming], sites, means, **given)
        totals, counts = _null.by_cluster(confirmed, [cluster for _, cluster in confirming])
        tested = _null.sign_flips(totals, draws=9999, rng=rng)
        ends = _null.intervals(totals, counts, rng)
        corrected = holm(tested.p.tolist())
        rows = {
            top[n]: SiteScore(
                site=str(site),
                value=float(confirmed[:, n].mean()),
                low=ends[n][0],
                high=ends[n][1],
                p=float(tested.p[n]),
                p_corrected=corrected[n],
                null=0.0,
                n=len(confirming),
                details={"gradient": float(estimate[top[n]]), "exact": float(exact[:, n].mean()), "confirmed": 1.0},
            )
            for n, site in enumerate(sites)
        }
        scores = [rows.get(n) or _unconfirmed(site, estimate[n], len(choosing)) for n, site in enumerate(every)]
        agree = _null.correlation(estimate[top], exact.mean(axis=0))
        return Located(tuple(scores), _notes(choosing, confirming, agree, 0.5 ** (len(counts) - 1)))

    def _halves(
        self, model: Model, items: Sequence[Item], rng: np.random.Generator, *, chat: bool
    ) -> tuple[list[tuple[Odds, str]], list[tuple[Odds, str]]]:
        """Items to choose on and to confirm on, with their clusters, which the two do not share.

        Raises:
            DataError: there are too few clusters.
        """
        from evenhand.locate._forward import drawn

        made = [(self._odds(model, item, chat=chat), item.cluster) for item in drawn(items, self.sample, rng)]
        kept = [(one, cluster) for one, cluster in made if one is not None]
        names = sorted({cluster for _, cluster in kept})
        if len(names) < 6:
            raise DataError(
                f"{self.name} splits clusters in two halves of at least three and found {len(names)} among "
                f"{len(items):,} items. Give more items, e.g. --on {self.locate_on.benchmark}."
            )
        chosen = {names[n] for n in rng.permutation(len(names))[: len(names) // 2]}
        return (
            [pair for pair in kept if pair[1] in chosen],
            [pair for pair in kept if pair[1] not in chosen],
        )

    def _odds(self, model: Model, item: Item, *, chat: bool) -> Odds | None:
        """The two sides of an item: the texts of a pair, or the forms of the first and of the second answer word.

        Raises:
            DataError: it has no two sides.
        """
        from evenhand.locate._effects import odds
        from evenhand.locate._twins import twin_request

        if {"stereotype", "anti-stereotype"} <= set(item.texts):
            return odds(model, twin_request(item), 1, chat=chat)
        request = item.requests[0] if item.requests else None
        if isinstance(request, Choose) and "truth" in item.facts and len(request.options) >= 2:
            return odds(model, request, _first_forms(request.options), chat=chat)
        raise DataError(
            f"{self.name} reads pairs (texts 'stereotype' and 'anti-stereotype') or yes/no questions, and {item.id!r} "
            f"is neither. Name other items, e.g. --on {self.locate_on.benchmark} or --on yes_no."
        )


def _first_forms(options: Sequence[str]) -> int:
    """How many options are forms of the first answer word: those that are spelt like the first but for capitals."""
    return sum(option.strip().lower() == options[0].strip().lower() for option in options)


def _unconfirmed(site: Site, estimate: float, n: int) -> SiteScore:
    details = cast("dict[str, float | None]", {"gradient": float(estimate), "exact": None, "confirmed": 0.0})
    return SiteScore(site=str(site), value=float(estimate), low=None, high=None, n=n, details=details)


def _notes(
    choosing: Sequence[tuple[Odds, str]], confirming: Sequence[tuple[Odds, str]], agree: float | None, least: float
) -> tuple[str, ...]:
    sizes = [f"{len(part):,} items in {len({c for _, c in part}):,} clusters" for part in (choosing, confirming)]
    notes = [
        f"Chosen on {sizes[0]}, confirmed on {sizes[1]}.",
        "Among the parts that were replaced, gradient and exact effect correlate by "
        f"{'not known' if agree is None else format(agree, '.3f')}.",
    ]
    if least > 0.005:
        notes.append(f"So few clusters are confirmed on that no p value can be below {least:.3f}.")
    return tuple(notes)
