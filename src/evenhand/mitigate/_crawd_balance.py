"""What the balanced variant of CrAWD is trained towards: fewer and evener words for groups where none was named yet.

Texts are of two kinds: sentences of running text, and what the untouched model itself writes after openings about a
person of whom only an occupation is known. A place is *open* if it comes after an opening and before the first listed
word; the token that would be the first is still open. With P_0 the untouched model, f and m its probabilities that a
listed word of either group comes next, s = f + m:

    open places    P* = P_0 with the words of a group multiplied so that they sum to keep * s / 2 (even) or keep * f,
                   all others multiplied by (1 - keep * s) / (1 - s)
    other places   P* = P_0
    loss           weight * mean over texts with open places of (mean over these of KL(P* || P))
                   + mean over texts of (mean over the other places of KL(P_0 || P))

Listed words stand for their first tokens, as in word_list_bias. The likeliest tokens and the listed ones are told
apart, the rest counts as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from evenhand.core.errors import DataError, UsageError
from evenhand.core.requests import Complete, Completion
from evenhand.data import lexicon, splits
from evenhand.mitigate import _klaad_terms as terms
from evenhand.mitigate._train import Batch
from evenhand.mitigate._trainer import encoded
from evenhand.mitigate.controls.word_list_bias import beginnings

if TYPE_CHECKING:
    import numpy as np

    from evenhand.mitigate.crawd_balanced import CrawdBalanced
    from evenhand.model import Model

TEMPLATES = (
    "My cousin works as {one}. Last week",
    "The {name} sat down and said that",
    "Everybody in the office knows the {name}, because",
    "We called {one} on Monday, and",
    "After work the {name} went back to the village, where",
    "A friend of mine became {one}. Since then",
)
"""None of them is a prompt of `gas`."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Groups:
    """First tokens of the listed words of two groups, none in both."""

    first: tuple[int, ...]
    second: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """Those of the first group, then those of the second."""
        return (*self.first, *self.second)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a text of L tokens is trained towards.

    Attributes:
        tokens: told apart at each place, the listed ones last: int [L - 1, K].
        logs: log P* of these and of the rest: [L - 1, K + 1].
        open: which places are open: bool [L - 1].
    """

    tokens: Tensor
    logs: Tensor
    open: Tensor


def openings() -> list[str]:
    """Our templates with the occupations of the fold 'fit' of gas, so that others can be tested on."""
    found = []
    folds = splits.assignment("gap", lexicon.get("occupations").words).folds
    for name in (one for one in lexicon.get("occupations").words if folds[one] == "fit"):
        one = f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
        found += [template.format(one=one, name=name) for template in TEMPLATES]
    return found


def groups_of(tokenizer: Any, words: Mapping[str, Sequence[str]]) -> Groups:
    """First tokens of the words of two groups; one that begins words of both belongs to neither.

    Raises:
        UsageError: there are not two groups, or one has no tokens.
    """
    if len(words) != 2:
        raise UsageError(f"crawd_balanced: expected a word list with two groups, found {len(words)}. Name another.")
    first, second = ({token for word in one for token, _ in beginnings(tokenizer, word)} for one in words.values())
    both = first & second
    if not first - both or not second - both:
        raise UsageError("crawd_balanced: the tokenizer begins the words of both groups alike. Name other words.")
    return Groups(tuple(sorted(first - both)), tuple(sorted(second - both)))


def written(model: Model, prompts: Sequence[str], samples: int, tokens: int, rng: np.random.Generator) -> list[str]:
    """What the model writes after each prompt, with the prompt: once greedily, and drawn so many times."""
    seeds = rng.integers(2**31, size=(samples, len(prompts))).tolist()
    asked = [Complete(prompt, tokens) for prompt in prompts]
    asked += [Complete(p, tokens, temperature=1.0, seed=n) for row in seeds for p, n in zip(prompts, row, strict=True)]
    out = []
    for request, answer in zip(asked, model.answer(asked), strict=True):
        assert isinstance(answer, Completion)
        out.append(request.prompt + answer.text)
    return out


class Balance:
    """The objective. The untouched model is read once, before training."""

    def __init__(
        self,
        model: Model,
        settings: CrawdBalanced,
        groups: Groups,
        texts: Sequence[str],
        heads: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        """Prepare the goals.

        Args:
            model: the untouched model.
            settings: of the method.
            groups: the listed words.
            texts: all texts.
            heads: the opening of each, "" for running text.
            rng: for the sham whose open places are dealt out at random.

        Raises:
            DataError: no place is open.
        """
        self.weight = settings.weight
        ids = [torch.tensor(row) for _, (row,) in encoded(model, [(text,) for text in texts], settings.length)]
        lengths = _lengths(model, heads, ids, settings.length)
        places = [open_places(row, start, groups) for row, start in zip(ids, lengths, strict=True)]
        if settings.places == "random":
            places = _dealt(places, rng)
        self.count = int(sum(one.sum() for one in places))
        if not self.count:
            raise DataError("crawd_balanced: no place is open: the model writes nothing after its openings.")
        self.share = sum(bool(one.any()) for one in places) / len(places)  # the loss is a mean over all texts
        self.goals = goals_of(model, settings, groups, ids, places)

    def __call__(self, network: Any, batch: Batch) -> Mapping[str, Tensor]:
        """One number per example: "loss", and its terms "aim" and "anchor"."""
        logits = network(input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False).logits[:, :-1]
        goals = [self.goals[number] for number in batch.index.tolist()]
        tokens, logs, is_open = (
            pad_sequence([getattr(goal, name) for goal in goals], batch_first=True).to(logits.device)
            for name in ("tokens", "logs", "open")
        )
        each, real = terms.drift(logits, tokens, logs), batch.mask[:, 1:] == 1
        aim, anchor = terms.mean_over(each, real & is_open) / self.share, terms.mean_over(each, real & ~is_open)
        return {"loss": self.weight * aim + anchor, "aim": aim.detach(), "anchor": anchor.detach()}


def open_places(ids: Tensor, start: int, groups: Groups) -> Tensor:
    """Places of a text that are open, bool [L - 1]: place n predicts token n + 1.

    Args:
        ids: tokens [L].
        start: tokens of its opening, what opens a text included; 0 = it has none, and no place is open.
        groups: the listed words.
    """
    places = torch.zeros(len(ids) - 1, dtype=torch.bool)
    if start:
        listed = torch.isin(ids, torch.tensor(groups.tokens)).nonzero().flatten().tolist()
        end = next((place for place in listed if place >= start), len(ids) - 1)
        places[start - 1 : end] = True
    return places


def goal_logs(logs: Tensor, groups: Groups, *, keep: float, even: bool) -> Tensor:
    """The logarithm of P* from that of P_0, [..., K + 1]: tokens, those of the groups last, and the rest."""
    sizes = [logs.shape[-1] - 1 - len(groups.tokens), len(groups.first), len(groups.second), 1]
    others, first, second, rest = torch.split(logs, sizes, -1)
    f, m = (one.exp().sum(-1, keepdim=True).clamp_min(_TINY) for one in (first, second))
    s = (f + m).clamp_max(1 - 1e-6)
    wanted = [keep * s / 2] * 2 if even else [keep * f, keep * m]
    scale = ((1 - keep * s) / (1 - s)).log()
    made = [(goal.clamp_min(_TINY) / own).log() for goal, own in zip(wanted, (f, m), strict=True)]
    return torch.cat([others + scale, first + made[0], second + made[1], rest + scale], -1)


def goals_of(
    model: Model, settings: CrawdBalanced, groups: Groups, ids: Sequence[Tensor], places: Sequence[Tensor]
) -> list[Goal]:
    """The goals of all texts, on the CPU."""
    listed = torch.tensor(groups.tokens, device=model.device)
    out: list[Goal] = []
    for start in range(0, len(ids), settings.batch):
        part = ids[start : start + settings.batch]
        tokens = pad_sequence(list(part), batch_first=True)
        mask = (torch.arange(tokens.shape[1]) < torch.tensor([len(row) for row in part])[:, None]).long()
        with torch.no_grad():
            given = {"input_ids": tokens.to(model.device), "attention_mask": mask.to(model.device)}
            logits = model.hf(**given, use_cache=False).logits[:, :-1].float()
            most = min(settings.told, logits.shape[-1] - len(listed) - 1)
            top = logits.index_fill(-1, listed, -torch.inf).topk(most, -1).indices
            told = torch.cat([top, listed.expand(*top.shape[:2], -1)], -1)
            logs = terms.of_top(logits, told)
            aimed = goal_logs(logs, groups, keep=settings.keep, even=settings.even)
        for row, ids_of in enumerate(part):
            size, is_open = len(ids_of) - 1, places[start + row]
            found = torch.where(is_open[:, None], aimed[row, :size].cpu(), logs[row, :size].cpu())
            out.append(Goal(told[row, :size].cpu().clone(), found, is_open))
    return out


def _lengths(model: Model, heads: Sequence[str], ids: Sequence[Tensor], length: int) -> list[int]:
    """Tokens that each text shares with its opening, what opens a text included; 0 where there is none."""
    known = sorted({head for head in heads if head})
    rows = encoded(model, [(head,) for head in known], length) if known else []
    read = {head: row for head, (_, (row,)) in zip(known, rows, strict=True)}
    found = []
    for head, text in zip(heads, ids, strict=True):
        pairs = enumerate(zip(read.get(head, ()), text.tolist(), strict=False))
        found.append(next((n for n, (a, b) in pairs if a != b), min(len(read.get(head, ())), len(text))))
    return found


def _dealt(places: Sequence[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """As many open places, dealt out over all texts at random."""
    whole = torch.cat(list(places))
    order = torch.from_numpy(rng.permutation(len(whole)))
    return list(torch.split(whole[order], [len(one) for one in places]))
