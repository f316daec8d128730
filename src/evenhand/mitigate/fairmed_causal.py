"""A causal variant of FairMed: the groups' log-odds are predicted and taken out along the model's own gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.edits import ActivationEdit
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.core.sites import Part, Site
from evenhand.mitigate import _fairmed_linear as linear
from evenhand.mitigate._fairmed_cues import Cues, read
from evenhand.mitigate._fairmed_gradient import Places, mean_gradients, openings
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation, Sham
from evenhand.mitigate.fairmed import by_layer, sites_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

_PENALTIES = (0.1, 0.3, 1.0, 3.0)


class FairmedCausal(Mitigation):
    """Ridge regressions read from MLP outputs how uneven the answer will be; a shift along the gradient undoes it."""

    name: ClassVar[str] = "fairmed_causal"
    card: ClassVar[Card] = Card(
        title="Predicts the log-odds of the groups from a layer's MLP output and shifts the output so that the model "
        "itself, not a prober, becomes even.",
        source="A variant of ours of Fairness Mediator (Xiao, Liu, Liang, Liu, Tao, ISSTA 2025, "
        "https://arxiv.org/abs/2504.07787).",
        formula="odds(m) = m W + b, ridge regression on s_g - mean_g s_g, s_g = log of the summed P(form of g | cue); "
        "J = mean over cues of d odds / d m through the model, all attributes below each other; "
        "m' = m - eta / layers * gate(m) * odds(m) pinv(J)^T",
        differs="From FairMed: the prober's gradient is replaced by the model's own, averaged over cues; the size of "
        "the shift is what cancels the predicted log-odds to first order, in closed form, instead of N bounded steps; "
        "the predictor is linear and also learns from cues about other attributes (others); the shift also acts where "
        "a form has begun but the group is still open (places=slot: after 'a', 'someone who is'); what is done for one "
        "attribute leaves the log-odds of the others as they are, to first order. The last two layers are left out "
        "(skip): they tell most, but shifts there cost much more perplexity on smollm2.",
        cautions="It can only take out what it predicts. Cues are English and name stereotypes in order to remove "
        "them. Groups are those of the cues; others are not protected by it. Without a gate every token is shifted, "
        "also in text that is about nobody.",
        needs="a decoder whose feed-forward parts can be told apart; gradients; items of emission",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("emission")
    reads: ClassVar[tuple[str, ...]] = ("cue",)
    strength: ClassVar[str] = "eta"
    grid: ClassVar[tuple[float, ...]] = (0.5, 1.0, 1.5)
    primary: ClassVar[tuple[str, ...]] = ("emission.emission_kl",)
    test_on: ClassVar[tuple[str, ...]] = ("stereoset", "crows_pairs")
    rivals: ClassVar[tuple[str, ...]] = ("logit_offset",)

    attributes: Annotated[
        tuple[str, ...], Field(description="Whose groups are made even, as far as there are cues; none = all.")
    ] = ("gender", "age", "religion", "race")
    layers: Annotated[
        tuple[int, ...], Field(description="Layers to choose among, counted from 0; none = all of them.")
    ] = ()
    part: Annotated[
        Literal["mlp", "residual"], Field(description="What is changed: MLP outputs, or the residual stream.")
    ] = "mlp"
    top: Annotated[int, Field(ge=1, description="So many layers are changed, those that tell most.")] = 3
    skip: Annotated[
        int, Field(ge=0, description="So many of the last layers are left out, unless layers are named.")
    ] = 2
    eta: Annotated[
        float, Field(gt=0, description="How much of the predicted log-odds is taken out: 1 = all, to first order.")
    ] = 1.0
    places: Annotated[
        Places,
        Field(
            description="slot: learn at a cue's last token and where a form has begun but is still open; cue: at the "
            "last token only, from which late layers reach the answer hardly, so that shifts there grow huge."
        ),
    ] = "slot"
    gate: Annotated[
        bool, Field(description="Leave tokens alone that look unlike those at which a group may be named.")
    ] = True
    penalty: Annotated[
        float, Field(ge=0, description="Of the regressions; 0 = what tells most of concepts held out.")
    ] = 0.0
    cues: Annotated[int, Field(ge=8, description="Cues of each attribute to fit on, at most.")] = 200
    others: Annotated[
        int, Field(ge=0, description="Cues about other attributes after which its groups are scored too, at most.")
    ] = 200
    gradients: Annotated[int, Field(ge=1, description="Cues over which the gradient is averaged.")] = 32
    without: Annotated[
        Literal["", "direction", "labels"],
        Field(description="For shams: random directions, or log-odds dealt out over the cues at random."),
    ] = ""

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """For each chosen layer `weights` [D, groups], `bias` [groups], `back` [groups, D] and the gate's."""
        import torch

        sites = sites_of(model, self.layers, self.name, Part(self.part))
        if not self.layers:
            sites = sites[: max(1, len(sites) - self.skip)]
        found = read(model, items, rng, wanted=self.attributes, limit=self.cues, others=self.others, method=self.name)
        if self.without == "labels":
            found = [one.shuffled(rng) for one in found]
        seen = [self._states(model, one, sites, rng) for one in found]
        scores = torch.zeros(len(found), len(sites))
        penalties = torch.zeros(len(found), len(sites))
        for row, (cues, (states, rows)) in enumerate(zip(found, seen, strict=True)):
            odds, names = cues.odds[rows], [cues.clusters[n] for n in rows]
            tried = (self.penalty,) if self.penalty else _PENALTIES
            for column, site in enumerate(sites):
                penalty, score = linear.best_penalty(states[site], odds, names, tried)
                scores[row, column], penalties[row, column] = score, penalty
        best = scores.mean(0).topk(min(self.top, len(sites))).indices.sort().values.tolist()
        chosen = [sites[n] for n in best]
        backs = self._backs(model, found, chosen, rng)
        tensors: dict[str, Tensor] = {}
        for site, column in zip(chosen, best, strict=True):
            solved = [
                linear.ridge(states[site], cues.odds[rows], float(penalties[row, column]))
                for row, (cues, (states, rows)) in enumerate(zip(found, seen, strict=True))
            ]
            tensors[f"{site}.weights"] = torch.cat([weights for weights, _ in solved], 1)
            tensors[f"{site}.bias"] = torch.cat([bias for _, bias in solved])
            tensors[f"{site}.back"] = backs[site]
        if self.gate:
            tensors |= self._gates(model, found, seen, chosen, rng)
        tensors["explained"] = scores
        kept = {name: tensor.float().contiguous() for name, tensor in tensors.items()}
        title = "Share of the variance of the log-odds that a layer tells of new concepts"
        curve = by_layer(title, "share of the variance", found, sites, scores, chosen)
        return Fitted(kept, _said(found, sites, scores, chosen), (curve,))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """The shift at each chosen layer, in the order of the layers."""
        made = []
        for site in sorted(Site.parse(name.removesuffix(".back")) for name in tensors if name.endswith(".back")):
            gate, gate_bias = (tensors.get(f"{site}.{key}") for key in ("gate", "gate_bias"))
            weights, bias, back = (tensors[f"{site}.{key}"] for key in ("weights", "bias", "back"))
            found = linear.Linear(weights, bias, back, gate, gate_bias)
            made.append(ActivationEdit(site, linear.edit(found, self.eta)))
        return made

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Random directions, as far and in the same layers; and log-odds dealt out over the cues at random."""
        layers = tuple(Site.parse(name.removesuffix(".back")).layer for name in tensors if name.endswith(".back"))
        same = {"layers": tuple(sorted(layers))}
        return (
            Sham("random direction", self.model_copy(update={**same, "without": "direction"}), items),
            Sham("shuffled labels", self.model_copy(update={**same, "without": "labels"}), items),
        )

    def _backs(
        self, model: Model, found: Sequence[Cues], chosen: Sequence[Site], rng: np.random.Generator
    ) -> dict[Site, Tensor]:
        """What shifts the log-odds of all attributes by one, [groups, D] per site."""
        import torch

        parts: dict[Site, list[Tensor]] = {site: [] for site in chosen}
        for cues in found:
            own = [text for text, name in zip(cues.texts, cues.clusters, strict=True) if _about(name, cues.attribute)]
            drawn = [own[n] for n in sorted(rng.permutation(len(own))[: self.gradients])]
            for site, gradient in mean_gradients(model, cues.attribute, drawn, chosen, self.places).items():
                parts[site].append(gradient)
        backs = {}
        for site in chosen:
            back = linear.inverse(torch.cat(parts[site])) / len(chosen)
            backs[site] = _turned(back, rng) if self.without == "direction" else back
        return backs

    def _states(
        self, model: Model, cues: Cues, sites: Sequence[Site], rng: np.random.Generator
    ) -> tuple[dict[Site, Tensor], list[int]]:
        """Activations at the ends of all cues and, for a slot, after a form has begun; and the cue of each row."""
        texts, rows = list(cues.texts), list(range(len(cues.texts)))
        begun = openings(cues.attribute) if self.places == "slot" else ()
        if begun:
            drawn = rng.integers(len(begun), size=len(cues.texts))
            texts += [text + begun[n] for text, n in zip(cues.texts, drawn.tolist(), strict=True)]
            rows += rows
        return model.states(texts, sites, pool="last"), rows

    def _gates(
        self,
        model: Model,
        found: Sequence[Cues],
        seen: Sequence[tuple[dict[Site, Tensor], list[int]]],
        chosen: Sequence[Site],
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """What tells the tokens of a slot from those before them in the same cues."""
        import torch

        texts = sorted({text for cues in found for text in cues.texts})
        before = []
        for text in texts:
            words = text.split()
            before.append(" ".join(words[: int(rng.integers(1, max(2, len(words) - 1)))]))
        plain = model.states(before, chosen, pool="last")
        tensors: dict[str, Tensor] = {}
        for site in chosen:
            slots = torch.cat([states[site] for states, _ in seen])
            x = torch.cat([slots, plain[site]])
            sides = torch.cat([torch.ones(len(slots)), -torch.ones(len(plain[site]))])[:, None]
            weights = torch.cat(
                [torch.full((len(slots),), 1 / len(slots)), torch.full((len(before),), 1 / len(before))]
            )
            gate, bias = linear.ridge(x, sides, 1e-2, weights)
            tensors |= {f"{site}.gate": gate[:, 0], f"{site}.gate_bias": bias}
        return tensors


def _about(cluster: str, attribute: str) -> bool:
    """Whether a cluster is a concept of the attribute."""
    return cluster.startswith(f"{attribute}/")


def _turned(back: Tensor, rng: np.random.Generator) -> Tensor:
    """Rows [G, D] turned at random, all alike: shifts keep their lengths and their angles to each other."""
    import numpy as np
    import torch

    lengths = torch.linalg.svd(back, full_matrices=False)
    drawn = np.linalg.qr(rng.standard_normal((back.shape[1], len(lengths.S)))).Q.T
    turned: Tensor = (lengths.U * lengths.S) @ torch.from_numpy(drawn).to(back)
    return turned


def _said(found: Sequence[Cues], sites: Sequence[Site], scores: Tensor, chosen: Sequence[Site]) -> tuple[str, ...]:
    """How much of the variance each layer tells of new concepts, for the reader."""
    notes = [
        f"Changed: {', '.join(map(str, chosen))}. Share of the variance of the log-odds that is told of new concepts, "
        "by layer:"
    ]
    for cues, row in zip(found, scores.tolist(), strict=True):
        shown = " ".join(f"{site.layer}: {value:.2f}" for site, value in zip(sites, row, strict=True))
        notes.append(f"{cues.attribute} ({len(cues.texts)} cues, {len(set(cues.clusters))} concepts): {shown}.")
    return tuple(notes)
