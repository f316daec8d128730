"""Questions with two and with four labels, and a tiny model with a planted prior over them."""

from __future__ import annotations

import torch
from tests.fixtures import tiny

from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose
from evenhand.model import Model

NOUNS = ("cat", "dog", "mat", "house", "cats", "dogs", "small cat", "big mat", "good dog", "bad dog")
YES_NO = (" Yes", " yes", " No", " no")
FOUR = (" a", " big", " cat", " on")


def questions(options: tuple[str, ...] = YES_NO, *, first: str = "Yes", second: str = "No") -> list[Item]:
    """Questions about nouns, with a context."""
    made = []
    for number, noun in enumerate(NOUNS, start=1):
        texts = {"context": f"the {noun} sat on a mat.", "question": f"is the {noun} good?"}
        said = f"Say {first} or {second}.\n\n" if options == YES_NO else ""
        prompt = f"{said}{texts['context']}\nQuestion: {texts['question']}\nAnswer:"
        origin = Origin("own", "own.txt", number)
        made.append(Item(f"q{number}", f"c{number}", origin, (Choose(prompt, options),), texts=texts))
    return made


def asked(items: list[Item]) -> list[Choose]:
    """Their first requests."""
    return [request for item in items for request in item.requests[:1] if isinstance(request, Choose)]


def model() -> Model:
    """A fresh tiny model with random weights."""
    return Model.wrap(tiny.network("llama"), tiny.tokenizer(), name="tiny", batch_tokens=1024)


def deaf(logits: dict[str, float]) -> Model:
    """A model that says the same whatever it is asked: the logits of these words are planted, all others are 0."""
    hf = tiny.network("llama")
    tokenizer = tiny.tokenizer()
    with torch.no_grad():
        hf.lm_head.weight.zero_()
    bias = torch.zeros(hf.config.vocab_size)
    for word, value in logits.items():
        (token,) = tokenizer(word, add_special_tokens=False)["input_ids"]
        bias[token] = value
    hf.lm_head.bias = torch.nn.Parameter(bias)
    return Model.wrap(hf, tokenizer, name="deaf", batch_tokens=1024)
