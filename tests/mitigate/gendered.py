"""Small items and models for the methods of this folder."""

from __future__ import annotations

import numpy as np
import torch
from tests.fixtures import tiny
from torch import Tensor

from evenhand.core.items import Item, Origin
from evenhand.core.requests import Choose
from evenhand.model import Model

SUBJECTS = ("the cat", "a dog", "no house", "the big mat", "a small cat", "the good dog", "a bad mat", "the cats")
ENDS = ("sat on the mat.", "ran in the house.", "is good and big.", "was walking on a cat.")


def snippets() -> list[Item]:
    """Text that names a gender in every sentence: 32 snippets in 8 clusters."""
    made = []
    for number, subject in enumerate(SUBJECTS):
        for place, end in enumerate(ENDS):
            who = ("He", "his") if (number + place) % 2 else ("She", "her")
            text = f"{who[0]} saw {subject} and {who[1]} dog {end}"
            name = f"{number}-{place}"
            made.append(Item(name, f"page{number}", Origin("own", "own.txt", len(made) + 1), (), texts={"text": text}))
    return made


def sentence_pairs(prompt: str = "") -> list[Item]:
    """Items as StereoSet has them, after a prompt if one is given."""
    requests = (Choose(prompt, (" a", " b")),) if prompt else ()
    return [
        Item(
            f"s{number}",
            f"c{number}",
            Origin("own", "own.json", number + 1),
            requests,
            texts={"stereotype": f"{subject} is bad", "anti-stereotype": f"{subject} is good", "unrelated": "walk"},
        )
        for number, subject in enumerate(SUBJECTS)
    ]


def model(family: str = "llama") -> Model:
    """A fresh tiny model."""
    return Model.wrap(tiny.network(family), tiny.tokenizer(), name=family)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def final_states(wrapped: Model, texts: list[str]) -> Tensor:
    """Mean last hidden state of each text by plain forward passes, float64 [N, D]: an independent way to read them."""
    rows = []
    for text in texts:
        ids = torch.tensor([wrapped.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            rows.append(wrapped.hf.model(input_ids=ids).last_hidden_state[0].double().mean(0))
    return torch.stack(rows)
