"""The model's own gradient: where an activation has to go for a group to become likelier or less likely.

For a cue the forms of all groups are rows of one batch, so one pass forward and one back gives every group's gradient:
with w_f = P(f) / sum over the group's forms, the gradient of log sum_f P(f) is sum_f w_f grad log P(f), and a row's
gradient reaches nothing but that row. A shift is meant for every token at which it is still open which group will be
named: the cue's last one, and those of a form that it shares with forms of other groups ("a", "someone who is"). So
their gradients are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evenhand.core.errors import UnsupportedSite
from evenhand.core.requests import Choose
from evenhand.core.sites import Site
from evenhand.data.concepts import concepts

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.model import Model

Places = Literal["cue", "slot"]
"""The cue's last token only, or the tokens that forms of several groups begin with too."""


@dataclass(frozen=True)
class Opened:
    """A cue followed by each form of each group.

    Attributes:
        rows: token ids of each form's text.
        start: place of the first token that is scored, the same for all.
        owner: number of the group of each row.
    """

    rows: tuple[tuple[int, ...], ...]
    start: int
    owner: tuple[int, ...]

    def shared(self, row: int) -> int:
        """How many of a row's tokens a row of another group has too; at least those of the cue, never all."""
        others = [one for one, owner in zip(self.rows, self.owner, strict=True) if owner != self.owner[row]]
        longest = max(_common(self.rows[row], one) for one in others)
        return max(self.start, min(longest, len(self.rows[row]) - 1))


def opened(model: Model, attribute: str, texts: Sequence[str]) -> list[Opened]:
    """Token ids of cues with the forms of an attribute's groups, as they are scored."""
    from evenhand.model.encode import Encoder

    groups = concepts(attribute).groups
    options = tuple(f" {form}" for group in groups for form in group.forms)
    owner = tuple(number for number, group in enumerate(groups) for _ in group.forms)
    encoder = Encoder(model.tokenizer, model.hf.config)
    encoded = encoder.encode([Choose(text, options) for text in texts])
    found = []
    for parts in encoded.parts:
        forms = [encoded.texts[numbers[0]] for numbers in parts]
        found.append(Opened(tuple(form.tokens for form in forms), min(form.start for form in forms), owner))
    return found


def openings(attribute: str) -> tuple[str, ...]:
    """What forms of several groups begin with, in whole words and with a space before: " a", " someone who is"."""
    owners: dict[str, set[str]] = {}
    for group in concepts(attribute).groups:
        for form in group.forms:
            words = form.split()
            for end in range(1, len(words)):
                owners.setdefault("".join(f" {word}" for word in words[:end]), set()).add(group.id)
    return tuple(opening for opening, groups in owners.items() if len(groups) > 1)


def mean_gradients(
    model: Model, attribute: str, texts: Sequence[str], sites: Sequence[Site], places: Places
) -> dict[Site, Tensor]:
    """Mean over cues of the gradient of each group's log-odds by a shift of the activation, float64 [G, D] per site.

    Log-odds are log-probabilities against the mean over the groups, so the rows of each matrix add up to 0.

    Raises:
        UnsupportedSite: no gradient reaches a site.
    """
    import torch

    sums = dict.fromkeys(sites, torch.zeros(()).double())
    for cue in opened(model, attribute, texts):
        for site, gradient in _gradients(model, cue, sites, places).items():
            sums[site] = sums[site] + gradient
    means = {site: total / max(1, len(texts)) for site, total in sums.items()}
    return {site: mean - mean.mean(0) for site, mean in means.items()}


@contextmanager
def _frozen(model: Model) -> Iterator[None]:
    """Without gradients of parameters."""
    parameters = [one for one in model.hf.parameters() if one.requires_grad]
    for one in parameters:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in parameters:
            one.requires_grad_(True)


def _of(model: Model, site: Site, activation: Tensor) -> Tensor:
    """The gradient that reached an activation.

    Raises:
        UnsupportedSite: none did.
    """
    if activation.grad is None:
        raise UnsupportedSite(f"No gradient of the answers reaches {site} in {type(model.hf).__name__}.")
    return activation.grad


def _gradients(model: Model, cue: Opened, sites: Sequence[Site], places: Places) -> dict[Site, Tensor]:
    """Gradient of each group's log-probability after one cue, float64 [G, D] per site."""
    import torch

    longest = max(map(len, cue.rows))
    ids = torch.zeros((len(cue.rows), longest), dtype=torch.long)
    real = torch.zeros_like(ids)
    shifted = torch.zeros(ids.shape, dtype=torch.bool)
    for number, row in enumerate(cue.rows):
        ids[number, : len(row)] = torch.tensor(row)
        real[number, : len(row)] = 1
        shifted[number, cue.start - 1 : cue.shared(number) if places == "slot" else cue.start] = True
    ids, real, shifted = (one.to(model.device) for one in (ids, real, shifted))
    with _frozen(model), torch.enable_grad(), model.trace(sites, grad=True) as found:
        logits = model.hf(input_ids=ids, attention_mask=real).logits[:, cue.start - 1 : -1].float()
        told = logits.log_softmax(-1).gather(2, ids[:, cue.start :, None])[..., 0]
        forms = (told * real[:, cue.start :]).sum(1)
        owner = torch.tensor(cue.owner, device=forms.device)
        groups = torch.stack([forms[owner == n].logsumexp(0) for n in range(max(cue.owner) + 1)])
        torch.autograd.backward(groups.sum())  # a row belongs to one group, so nothing is mixed
    gradients: dict[Site, Tensor] = {}
    for site in sites:
        by_row = (_of(model, site, found[site][0]).double() * shifted[..., None]).sum(1)
        gradients[site] = torch.stack([by_row[owner == n].sum(0) for n in range(len(groups))]).cpu()
    return gradients


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the beginning that two rows share."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
