"""Control: a constant is taken off the logits of listed words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

_LETTERS = 3
_BEFORE = "It is"
"""Any text that a word may follow: words are looked up in the middle of a sentence."""


class WordListBias(Mitigation):
    """The trivial way to name a group less often: make the words themselves unlikely."""

    name: ClassVar[str] = "word_list_bias"
    card: ClassVar[Card] = Card(
        title="Takes a constant off the logits of words that name a gender, wherever they might come.",
        source="A control of ours. Word list: Haque et al., Findings of EMNLP 2025, 854, or a file.",
        formula="logit'(t) = logit(t) - nats for the first token t of each listed word: after a space, with a small "
        "and with a capital first letter, and with a capital at the beginning of a text; first tokens of one or two "
        "letters are left out if the word has others",
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
        found = {word: beginnings(model.tokenizer, word) for word in listed.words}
        heads = sorted({token for places in found.values() for token, _ in places})
        split = sum(not all(single for _, single in places) for places in found.values())
        if not heads:
            raise UsageError(f"{self.name}: the tokenizer makes no token of the words of {listed.name!r}. Name others.")
        note = f"{len(heads)} tokens are lowered; those of {split} of {len(found)} words begin other words too."
        return Fitted({"tokens": torch.tensor(heads, dtype=torch.long)}, (note,))

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


def beginnings(tokenizer: Any, word: str) -> list[tuple[int, bool]]:
    """First tokens of a word where it may stand, and whether each is the whole word.

    Leading tokens that are mere space do not count. A first token of one or two letters begins too many other words
    and is left out, unless the word has no other.
    """

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    capital = word[:1].upper() + word[1:]
    before = ids(_BEFORE)
    found: list[tuple[int, bool, int]] = []
    for text in (f"{_BEFORE} {word}", f"{_BEFORE} {capital}", capital):
        whole = ids(text)
        start = 0
        if text != capital:
            start = next((n for n, (x, y) in enumerate(zip(before, whole, strict=False)) if x != y), len(before))
        solid = [token for token in whole[start:] if tokenizer.decode([token]).strip()]
        if solid:
            found.append((solid[0], len(solid) == 1, len(tokenizer.decode(solid[:1]).strip())))
    long = [(token, single) for token, single, letters in found if single or letters >= _LETTERS]
    return long or [(token, single) for token, single, _ in found[:1]]
