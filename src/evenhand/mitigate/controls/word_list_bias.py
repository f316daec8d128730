"""Control: a constant is taken off the logits of listed words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evenhand.core.edits import LogitsEdit
from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.core.record import Card
from evenhand.data import lexicon
from evenhand.mitigate._mitigation import Fitted, Mitigation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from evenhand.core.edits import Edit
    from evenhand.model import Model

_BEFORE = "It is"
"""Any text that a word may follow: words are looked up in the middle of a sentence."""


class WordListBias(Mitigation):
    """The trivial way to name a group less often: make the words themselves unlikely."""

    name: ClassVar[str] = "word_list_bias"
    card: ClassVar[Card] = Card(
        title="Takes a constant off the logits of words that name a gender, wherever they might come.",
        source="A control of ours. Word list: Haque et al., Findings of EMNLP 2025, 854, or a file.",
        formula="logit'(t) = logit(t) - nats for the first token t of each listed word: after a space, with a small "
        "and with a capital first letter, and with a capital at the beginning of a text",
        cautions="It lowers every score that counts words without touching any association: that is what it is for. A "
        "token that other words begin with too (many words of several tokens) is lowered for these as well; the notes "
        "of the patch count them.",
        needs="a decoder",
    )
    strength: ClassVar[str] = "nats"
    grid: ClassVar[tuple[float, ...]] = (0.5, 1.0, 2.0, 4.0)
    primary: ClassVar[tuple[str, ...]] = ("gas.gld", "stereoset.ss")
    no_sham: ClassVar[str] = "It is a control itself."

    nats: Annotated[float, Field(gt=0, description="What is taken off each logit.")] = 2.0
    words: Annotated[
        str, Field(description="A word list that comes with evenhand, or a JSON file of the same form.")
    ] = "gas"

    def fit(self, model: Model, items: Sequence[Item], rng: np.random.Generator) -> Fitted:
        """`tokens`: ids of the first tokens, int64 [n].

        Raises:
            UnknownName: there is no such word list.
            MissingFile: there is no such file.
        """
        import torch

        listed = lexicon.read(self.words) if self.words.endswith(".json") else lexicon.get(self.words)
        heads: set[int] = set()
        several: set[str] = set()
        for word in listed.words:
            for ids in _beginnings(model.tokenizer, word):
                heads.add(ids[0])
                if len(ids) > 1:
                    several.add(word)
        if not heads:
            raise UsageError(f"{self.name}: the tokenizer makes no token of the words of {listed.name!r}. Name others.")
        note = f"{len(heads)} tokens are lowered; {len(several)} of {len(listed.words)} words are several tokens."
        return Fitted({"tokens": torch.tensor(sorted(heads), dtype=torch.long)}, (note,))

    def edits(self, tensors: Mapping[str, Tensor], model: Model) -> Sequence[Edit]:
        """One change of the logits."""
        return [LogitsEdit(_lowered(tensors["tokens"], self.nats))]


def _lowered(tokens: Tensor, nats: float) -> Callable[[Tensor], Tensor]:
    def lower(logits: Tensor) -> Tensor:
        """[..., V] to [..., V]."""
        change = logits.new_zeros(logits.shape[-1])
        change[tokens.to(change.device)] = -nats
        return logits + change

    return lower


def _beginnings(tokenizer: Any, word: str) -> Iterator[list[int]]:
    """Token ids of a word where it may stand, without leading tokens that are mere space."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    capital = word[:1].upper() + word[1:]
    before = ids(_BEFORE)
    for form in dict.fromkeys((word, capital)):
        whole = ids(f"{_BEFORE} {form}")
        shared = next((n for n, (x, y) in enumerate(zip(before, whole, strict=False)) if x != y), len(before))
        yield from _solid(tokenizer, whole[shared:])
    yield from _solid(tokenizer, ids(capital))


def _solid(tokenizer: Any, ids: list[int]) -> Iterator[list[int]]:
    while ids and not tokenizer.decode(ids[:1]).strip():
        ids = ids[1:]
    if ids:
        yield ids
