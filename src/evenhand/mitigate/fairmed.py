"""FairMed: at inference, nudge MLP outputs until small probers cannot tell which group the model would name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.edits import ActivationEdit
from evenhand.core.errors import UnsupportedSite
from evenhand.core.items import Item
from evenhand.core.record import Card, Curve, Series
from evenhand.core.sites import Part, Site
from evenhand.mitigate import _fairmed_prober as prober
from evenhand.mitigate._fairmed_cues import Cues, read
from evenhand.mitigate._fairmed_neutraliser import Bounds, Divergence, Network, Norm, neutraliser
from evenhand.mitigate._mitigation import FitOn, Fitted, Mitigation, Sham

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit, Where
    from evenhand.model import Model


class Fairmed(Mitigation):
    """Probers read from MLP outputs which group will be named; the outputs are moved until they read nothing."""

    name: ClassVar[str] = "fairmed"
    card: ClassVar[Card] = Card(
        title="Trains probers that tell from a layer's MLP output which group the model will name, and moves the "
        "output at inference, within bounds, until they cannot.",
        source="Xiao, Liu, Liang, Liu, Tao, ISSTA 2025. Fairness Mediator, https://arxiv.org/abs/2504.07787",
        formula="z = (m - mean) / deviation; p = softmax(W2 relu(W1 z + b1) + b2), trained by cross-entropy on the "
        "emission after the cue; the `top` layers by macro-F1 on concepts held out; N times: z <- "
        "z - size sqrt(D) step / N * g / |g|, g = grad_z KL(u || p), and back into |z - z0| <= size sqrt(D); several "
        "attributes: their gradients added",
        differs="The paper's full text was not at hand, only its abstract, figures and accounts by others: a prober "
        "per layer on MLP outputs, the emission as label, F1 to choose layers, a constrained iterated neutraliser "
        "towards the uniform distribution, three settings (size, steps, top; 1, 3 and 3 in an account by others) are "
        "theirs. Cues, groups, probers of 256 units, their training, units of standard deviations, the norm and with "
        "it the size (one that costs smollm2 little perplexity on the fold choose), KL(u || p) rather than KL(p || u) "
        "(whose gradient vanishes where a prober is sure) and the stop at `tolerance` are ours. Labels are calibrated "
        "by template (labels=raw: not), since raw ones mostly say which template a cue has; they are distributions "
        "(labels=calibrated: the likeliest group), and cues about other attributes are learned from too (others), "
        "because a prober that has seen four concepts tells little of a fifth. It acts on all tokens, so that scoring "
        "may pack texts; positions=generated: on the prompt's last and on those written. No number of the paper was "
        "reproduced.",
        cautions="A prober made even is not a model made even: read the emission before and after, not the prober. "
        "Cues are English and name stereotypes in order to remove them. Groups are those of the cues; others are not "
        "protected by it.",
        needs="a decoder whose feed-forward parts can be told apart; items of emission",
    )
    fit_on: ClassVar[FitOn | None] = FitOn("emission")
    reads: ClassVar[tuple[str, ...]] = ("cue",)
    strength: ClassVar[str] = "size"
    grid: ClassVar[tuple[float, ...]] = (0.03, 0.1, 0.25)
    primary: ClassVar[tuple[str, ...]] = ("emission.emission_kl",)
    test_on: ClassVar[tuple[str, ...]] = ("stereoset", "crows_pairs")
    rivals: ClassVar[tuple[str, ...]] = ("logit_offset",)

    attributes: Annotated[
        tuple[str, ...],
        Field(description="Whose groups are made even, as far as there are cues; none = all that have cues."),
    ] = ("gender", "age", "religion", "race")
    layers: Annotated[
        tuple[int, ...], Field(description="Layers to choose among, counted from 0; none = all of them.")
    ] = ()
    top: Annotated[int, Field(ge=1, description="So many layers are changed, those with the best macro-F1.")] = 3
    size: Annotated[
        float, Field(gt=0, description="How far an output may be moved, in standard deviations of its numbers.")
    ] = 0.1
    steps: Annotated[int, Field(ge=1, description="Steps of the neutraliser.")] = 3
    step: Annotated[float, Field(gt=0, description="Length of a step, in shares of size / steps.")] = 1.0
    norm: Annotated[
        Norm,
        Field(
            description="l2 bounds the root mean square of the change; linf bounds each number and steps along signs, "
            "which in half precision makes rounding errors large: use it with float32."
        ),
    ] = "l2"
    project: Annotated[bool, Field(description="Put the change back into its bounds after each step.")] = True
    divergence: Annotated[Divergence, Field(description="from_uniform lowers KL(u || p), to_uniform KL(p || u).")] = (
        "from_uniform"
    )
    tolerance: Annotated[
        float, Field(ge=0, lt=1, description="A token is done when each probability is so near to uniform.")
    ] = 0.02
    gate: Annotated[
        float,
        Field(ge=0, lt=1, description="Change only tokens for which a prober gives some group more than this."),
    ] = 0.0
    positions: Annotated[
        Literal["all", "generated", "prompt_last"],
        Field(description="Which tokens; generated = the prompt's last one and those that follow."),
    ] = "all"
    labels: Annotated[
        Literal["calibrated_soft", "calibrated", "raw", "soft"],
        Field(
            description="What probers learn: the distribution over the groups once each template's median is taken "
            "off, the likeliest group of that, the likeliest as it is, or the distribution as it is."
        ),
    ] = "calibrated_soft"
    width: Annotated[int, Field(ge=0, description="Hidden units of a prober; 0 = a linear one.")] = 256
    epochs: Annotated[int, Field(ge=1, description="Passes over the cues, at most.")] = 50
    cues: Annotated[int, Field(ge=8, description="Cues of each attribute to fit on, at most.")] = 200
    others: Annotated[
        int, Field(ge=0, description="Cues about other attributes after which its groups are scored too, at most.")
    ] = 200
    without: Annotated[
        Literal["", "direction", "labels"],
        Field(description="For shams: go along random signs, or deal the labels out at random."),
    ] = ""

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """For each chosen layer the probers of all attributes side by side, and `f1` [attributes, layers]."""
        import torch

        sites = sites_of(model, self.layers, self.name)
        found = read(model, items, rng, wanted=self.attributes, limit=self.cues, others=self.others, method=self.name)
        if self.without == "labels":
            found = [one.shuffled(rng) for one in found]
        states = [model.states(list(one.texts), sites, pool="last") for one in found]
        stacked = [torch.stack([one[site] for site in sites]) for one in states]  # [layers, cues, D] each
        mean, deviation = prober.standard(torch.cat(stacked, 1))
        z = [(one - mean[:, None]) / deviation[:, None] for one in stacked]
        settings = prober.Settings(width=self.width, epochs=self.epochs)
        targets = [self._targets(one) for one in found]
        f1 = torch.tensor(
            [
                prober.held_out_f1(x, target, one.clusters, settings, rng, of=f"{one.attribute}/")
                for x, target, one in zip(z, targets, found, strict=True)
            ]
        )
        best = f1.mean(0).topk(min(self.top, len(sites))).indices.sort().values
        trained = [prober.train(x[best], target, settings, rng) for x, target in zip(z, targets, strict=True)]
        tensors: dict[str, Tensor] = {
            "f1": f1,
            "ends": torch.tensor([len(one.groups) for one in found]).cumsum(0),
        }
        for place, number in enumerate(best.tolist()):
            name = str(sites[number])
            tensors |= {f"{name}.mean": mean[number], f"{name}.deviation": deviation[number]}
            tensors |= {f"{name}.{key}": tensor for key, tensor in _joined(trained, place).items()}
            if self.without == "direction":
                signs = rng.choice([-1.0, 1.0], mean.shape[1])
                tensors[f"{name}.random"] = torch.from_numpy(signs).float()
        chosen = [sites[number] for number in best.tolist()]
        curve = by_layer(
            "Macro-F1 of the probers on concepts that they had not seen", "macro-F1", found, sites, f1, chosen
        )
        kept = {name: one.contiguous() for name, one in tensors.items()}
        return Fitted(kept, _said(found, sites, f1, best), (curve,))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """The neutraliser at each chosen layer, in the order of the layers."""
        bounds = Bounds(
            self.size,
            self.steps,
            self.step,
            self.norm,
            self.project,
            self.divergence,
            self.tolerance,
            self.gate,
        )
        ends = tuple(int(end) for end in tensors["ends"].tolist())
        where: Where = self.positions
        made = []
        for site in sorted(Site.parse(name.removesuffix(".mean")) for name in tensors if name.endswith(".mean")):
            keys = ("first", "bias", "random")
            first, bias, random = (tensors.get(f"{site}.{key}") for key in keys)
            mean, deviation, second, bias2 = (
                tensors[f"{site}.{key}"] for key in ("mean", "deviation", "second", "bias2")
            )
            network = Network(mean, deviation, first, bias, second, bias2, ends, random)
            made.append(ActivationEdit(site, neutraliser(network, bounds), where))
        return made

    def shams(self, items: Sequence[Item], tensors: Mapping[str, Tensor], rng: np.random.Generator) -> tuple[Sham, ...]:
        """Random signs instead of the gradient's, as far and in the same layers; and labels dealt out at random."""
        layers = tuple(Site.parse(name.removesuffix(".mean")).layer for name in tensors if name.endswith(".mean"))
        same = {"layers": tuple(sorted(layers))}
        return (
            Sham("random direction", self.model_copy(update={**same, "without": "direction"}), items),
            Sham("shuffled labels", self.model_copy(update={**same, "without": "labels"}), items),
        )

    def _targets(self, cues: Cues) -> Tensor:
        """The distribution that a prober learns for each cue, float32 [N, G]."""
        import torch

        told = cues.calibrated() if self.labels.startswith("calibrated") else cues
        if self.labels.endswith("soft"):
            return told.logs.softmax(1).float()
        return torch.nn.functional.one_hot(told.logs.argmax(1), len(cues.groups)).float()


def sites_of(model: Model, layers: Sequence[int], method: str, part: Part = Part.MLP) -> list[Site]:
    """A part of the layers that are named, or of all.

    Raises:
        UnsupportedSite: this architecture has no such part, or there is no such layer.
    """
    found = model.anatomy.sites(part)
    wanted = [Site(layer, part) for layer in sorted(set(layers))] if layers else found
    lacking = [site for site in wanted if site not in found]
    if lacking or not wanted:
        raise UnsupportedSite(
            f"{method} changes the part {part.value!r} of layers; {type(model.hf).__name__} has "
            f"{'no ' + str(lacking[0]) if lacking else 'none that can be told apart'}. It has {len(found)} such layers."
        )
    return wanted


def by_layer(
    title: str, unit: str, found: Sequence[Cues], sites: Sequence[Site], values: Tensor, chosen: Sequence[Site]
) -> Curve:
    """A line over the layers for each attribute; `values` is [attributes, sites]."""
    layers = tuple(float(site.layer) for site in sites)
    rows = zip(found, values.tolist(), strict=True)
    return Curve(
        title=title,
        x="layer",
        y=unit,
        series=tuple(
            Series(name=cues.attribute, x=layers, y=tuple(round(y, 4) if isfinite(y) else None for y in row))
            for cues, row in rows
        ),
        apart=True,
        chosen=tuple(float(site.layer) for site in chosen),
        note="Filled: the layers that are changed.",
    )


def _joined(trained: Sequence[prober.Probers], place: int) -> dict[str, Tensor]:
    """One layer's probers of all attributes as one network whose hidden units do not mix."""
    import torch

    bias2 = torch.cat([one.bias2[place] for one in trained])
    if trained[0].first is None:
        return {"second": torch.cat([one.second[place] for one in trained]), "bias2": bias2}
    first = torch.cat([one.first[place] for one in trained if one.first is not None])
    bias = torch.cat([one.bias[place] for one in trained if one.bias is not None])
    second = _blocks([one.second[place] for one in trained])
    return {"first": first, "bias": bias, "second": second, "bias2": bias2}


def _blocks(parts: Sequence[Tensor]) -> Tensor:
    """Matrices along the diagonal, 0 elsewhere."""
    import torch

    whole = torch.zeros(sum(len(one) for one in parts), sum(one.shape[1] for one in parts))
    row = column = 0
    for one in parts:
        whole[row : row + len(one), column : column + one.shape[1]] = one
        row, column = row + len(one), column + one.shape[1]
    return whole


def _said(found: Sequence[Cues], sites: Sequence[Site], f1: Tensor, best: Tensor) -> tuple[str, ...]:
    """How well each layer's probers do on new concepts, for the reader."""
    chosen = ", ".join(str(sites[number]) for number in best.tolist())
    notes = [f"Changed: {chosen}. Macro-F1 on concepts that a prober had not seen, by layer:"]
    for cues, row in zip(found, f1.tolist(), strict=True):
        shown = " ".join(f"{site.layer}: {value:.2f}" for site, value in zip(sites, row, strict=True))
        notes.append(f"{cues.attribute} ({len(cues.texts)} cues, {len(set(cues.clusters))} concepts): {shown}.")
    return tuple(notes)
