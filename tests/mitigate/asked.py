"""Yes/no questions with answers for tiny models, and a model with one head that looks at No too much."""

from __future__ import annotations

import numpy as np
import torch
from tests.fixtures import planted, tiny
from tests.fixtures.planted import WIDTH, Planted

from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose
from evenhand.model import Model

FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma3")
PROMPT = "Answer the following question with {} or {}.\n\nQuestion:{}?\nAnswer:"
WORDS = tuple(word for word in planted.OTHERS if word.strip().lower() not in {"yes", "no"})


def questions(count: int, *, yes: str = "Yes", no: str = "No", per_cluster: int = 1) -> list[Item]:
    """Random words as a question, in one order, yes and no in turn; clusters of so many."""
    rng = np.random.default_rng(0)
    forms = tuple(f" {form}" for word in (yes, no) for form in (word, word.lower()))
    made = []
    for number in range(count):
        text = "".join(rng.choice(WORDS, size=5, replace=False))
        request = Choose(PROMPT.format(yes, no, text), forms)
        origin = Origin("own", "own.json", number + 1)
        cluster = f"c{number // per_cluster}"
        made.append(Item(f"q{number}", cluster, origin, (request,), facts={"truth": number % 2 == 0}))
    return made


def model(family: str = "llama", *, chat: bool = False) -> Model:
    """A fresh tiny model."""
    return Model.wrap(tiny.network(family), tiny.tokenizer(chat=tiny.CHAT if chat else None), batch_tokens=1024)


def with_a_negative_head(seed: int) -> Planted:
    """A planted head that looks at No by a few nats, among heads that look at everything nearly alike."""
    made = planted.negative_head(seed, strength=4.0)
    (site,) = made.sites
    with torch.no_grad():
        for number, layer in enumerate(made.hf.model.layers):
            rows = layer.self_attn.q_proj.weight.view(-1, WIDTH, layer.self_attn.q_proj.weight.shape[1])
            for head in range(len(rows)):
                rows[head] *= 0.15 if (number, head) == (site.layer, site.unit) else 0.3
    return made


def wrapped(made: Planted) -> Model:
    """The planted model with its tokenizer."""
    return Model.wrap(made.hf, made.tokenizer, name="planted")
