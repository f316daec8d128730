"""Reading activations: whole forward passes for locators that need gradients, pooled texts for everybody else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from evenhand.core.edits import ActivationEdit
from evenhand.core.sites import FINAL, Site
from evenhand.model.anatomy import Anatomy
from evenhand.model.edits.activation import at_site
from evenhand.model.encode import Counts, fitted_ids
from evenhand.model.jobs import batches
from evenhand.model.packed import input_device
from evenhand.model.positions import prompts_end

if TYPE_CHECKING:
    from evenhand.model.model import Model

Pool = Literal["mean", "last"]


@contextmanager
def traced(
    hf: PreTrainedModel, anatomy: Anatomy, sites: Collection[Site], *, grad: bool
) -> Iterator[dict[Site, list[Tensor]]]:
    """Keep activations [B, L, D] of the forward passes inside, in or out of the graph."""
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}

    def keeper(site: Site) -> ActivationEdit:
        def keep(x: Tensor) -> Tensor | None:
            if not grad:
                found[site].append(x.detach().clone())
                return None
            x = x if x.requires_grad else x.detach().requires_grad_()
            x.retain_grad()
            found[site].append(x)
            return x.clone()  # some models add to it in place, which a leaf does not allow

        return ActivationEdit(site, keep)  # type: ignore[arg-type]  # a reader may leave the activation alone

    with ExitStack() as undo:
        for site in sites:
            reader = keeper(site)
            undo.enter_context(at_site(hf, anatomy, reader, reader.fn))
        yield found


def pooled(model: Model, texts: Sequence[str], sites: Sequence[Site], pool: Pool) -> dict[Site, Tensor]:
    """Activations of texts, float32 [N, D] on the CPU, in batches of similar length padded on the right."""
    hf, tokenizer = model.hf, model.tokenizer
    device = input_device(hf)
    ids = fitted_ids(tokenizer, hf.config, list(texts), Counts())
    empty = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    ids = [row or [int(empty or 0)] for row in ids]
    out: dict[Site, list[Tensor]] = {site: [torch.empty(0)] * len(ids) for site in sites}
    for group in batches([len(row) for row in ids], model.budget.pack):
        longest = max(len(ids[n]) for n in group)
        tokens = torch.zeros((len(group), longest), dtype=torch.long)
        real = torch.zeros_like(tokens)
        for row, number in enumerate(group):
            tokens[row, : len(ids[number])] = torch.tensor(ids[number])
            real[row, : len(ids[number])] = 1
        needless = {"logits_to_keep": 1} if model.task == "decoder" and FINAL not in sites else {}
        last = [len(ids[number]) - 1 for number in group]
        with (
            torch.inference_mode(),
            prompts_end(hf, last),
            traced(hf, model.anatomy, sites, grad=False) as found,
        ):
            hf(input_ids=tokens.to(device), attention_mask=real.to(device), **needless)
        for site in sites:
            for row, number in enumerate(group):
                x = found[site][0][row, : len(ids[number])].float()
                out[site][number] = (x.mean(0) if pool == "mean" else x[-1]).cpu()
    return {site: torch.stack(rows) if rows else torch.empty(0) for site, rows in out.items()}
