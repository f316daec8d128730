"""Columns that an edit marks while prompts are read, and keeps while they are continued."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from evenhand.core.edits import Marked
from evenhand.model.positions import kept, last_of_prompt, tokens_of


def marks(hf: PreTrainedModel, owner: object, marked: Marked, weights: Tensor, added: Tensor | None) -> Tensor:
    """Marks of the columns of this pass, bool [B, heads, Lk].

    Args:
        hf: the model.
        owner: whose marks they are; compared by identity.
        marked: finds them.
        weights: [B, heads, Lq, Lk].
        added: what was added to the scores, [B or 1, 1 or H, Lq, Lk]; None = every query sees every key.
    """
    rows, heads, queries, columns = weights.shape
    last = last_of_prompt(hf, rows, queries).to(weights.device)
    memory = kept(hf)
    if bool((last >= 0).any()):
        found = marked.find(weights, counted(weights, added, last))
        if marked.never:
            tokens = tokens_of(hf, rows, columns).to(weights.device)
            found = found & ~torch.isin(tokens, torch.tensor(marked.never, device=weights.device))[:, None]
    else:  # the prompt lies in the cache; a cache with a window has forgotten its first columns
        before = memory.get(id(owner), torch.zeros((rows, heads, columns - queries), dtype=torch.bool))
        found = functional.pad(before.to(weights.device), (0, queries))
    memory[id(owner)] = found
    return found[..., found.shape[-1] - columns :]


def forget(hf: PreTrainedModel, owner: object) -> None:
    """Drop what is kept for an edit that is taken away."""
    kept(hf).pop(id(owner), None)


def counted(weights: Tensor, added: Tensor | None, last: Tensor) -> Tensor:
    """Queries of the prompts and the keys that they see, bool [B, 1, Lq, Lk].

    A query is padding if no later query of its row sees it: from the last token of the prompt backwards, each token
    must see the one before it.
    """
    rows, _, queries, columns = weights.shape
    seen = torch.ones((rows, 1, queries, columns), dtype=torch.bool, device=weights.device)
    if added is not None:
        seen = seen & (added[:, :1] > torch.finfo(added.dtype).min / 2)
    before = columns - queries  # in the cache
    places = torch.arange(queries, device=weights.device)[None]
    follows = torch.ones((rows, queries), dtype=torch.bool, device=weights.device)
    follows[:, :-1] = seen[:, 0, 1:].diagonal(before, dim1=-2, dim2=-1)
    chain = (follows | (places >= last[:, None])).flip(-1).cumprod(-1).flip(-1).bool()
    return seen & (chain & (places <= last[:, None]))[:, None, :, None]
