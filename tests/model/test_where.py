"""Changes at the last prompt token, or from it on: against a plain hook that is told where the prompt ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import Logits, draw, greedy, logits, made, near, plainly, scores, totals
from tests.fixtures.untouched import untouched
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import ActivationEdit, BranchingEdit, Where
from evenhand.core.errors import PatchError
from evenhand.core.requests import Choose, Compare, Complete, Completion, NextToken
from evenhand.core.sites import FINAL, Part, Site
from evenhand.model.anatomy import Anatomy

FAMILIES = ["llama", "gpt2", "opt", "falcon_alibi", "gpt_neo"]
REQUESTS = [
    Choose("the cat sat on", (" the mat", " a house", " no, the big dog is walking")),
    Choose("", ("yes", "no")),  # a prompt of one token
    Choose("the dog ran and the cat sat on", (" yes", " no, the dog is bad")),
    Compare(("the cat is good", "a dog is walking on a mat. the end")),
    NextToken("is the dog big?", (" Yes", " No")),
]
OFFSET = draw(32)


def change(x: Tensor) -> Tensor:
    return 0.5 * x + OFFSET[: x.shape[-1]] if x.shape[-1] <= 32 else -x


def by_hand(hf: PreTrainedModel, site: Site, where: Where) -> Logits:
    """Logits with a plain hook that changes columns of a text that stands alone."""
    anatomy = Anatomy(hf)
    module = anatomy.module(site)

    def given(ids: list[int], end: int) -> Tensor:
        wanted = slice(end, end + 1) if where == "prompt_last" else slice(end, None)

        def new(x: Tensor) -> Tensor:
            made = x.clone()
            rows = made if made.dim() == 2 else made[0]
            rows[wanted] = change(rows[wanted])
            return made

        def after(_: nn.Module, __: Any, out: Any) -> Any:
            return (new(out[0]), *out[1:]) if isinstance(out, tuple) else new(out)

        def before(_: nn.Module, arguments: Any) -> Any:
            return (new(arguments[0]), *arguments[1:])

        reads = site.part in (Part.HEADS, Part.NEURONS)
        hook = module.register_forward_pre_hook(before) if reads else module.register_forward_hook(after)
        found = logits(hf, torch.tensor([ids]))[0]
        hook.remove()
        return found

    return given


@pytest.mark.parametrize("where", ["prompt_last", "generated"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_hook_whatever_the_batch(family: str, where: Where) -> None:
    hf = tiny.network(family)
    for part in (Part.RESIDUAL, Part.HEADS, Part.NEURONS):
        site = Site(0, part)
        wanted = scores(REQUESTS, by_hand(hf, site, where))
        for batch_tokens in (16, 512):
            model = made(hf, batch_tokens=batch_tokens)
            with untouched(hf), model.install([ActivationEdit(site, change, where)]):
                assert near(totals(model.answer(REQUESTS)), wanted), (part, batch_tokens)
        assert not near(wanted, scores(REQUESTS, plainly(hf)))


@pytest.mark.parametrize("where", ["prompt_last", "generated"])
@pytest.mark.parametrize("family", FAMILIES)
def test_continuations_are_those_of_the_hook_alone_and_padded(family: str, where: Where) -> None:
    hf = tiny.network(family)
    prompts = ["the cat", "", "the dog ran on a mat. the cat sat"]
    site = Site(0, Part.RESIDUAL)
    given = by_hand(hf, site, where)
    wanted = [greedy(prompt, 6, given) for prompt in prompts]
    model = made(hf, batch_tokens=512)
    with untouched(hf), model.install([ActivationEdit(site, change, where)]):
        asked = [Complete(prompt, 6) for prompt in prompts]
        together = model.answer(asked)
        alone = [model.answer([one])[0] for one in asked]
    assert together == alone
    for found, tokens in zip(together, wanted, strict=True):
        assert isinstance(found, Completion)
        assert list(found.tokens) == tokens
    assert wanted != [greedy(prompt, 6, plainly(hf)) for prompt in prompts]


@pytest.mark.parametrize("where", ["prompt_last", "generated"])
def test_sampled_continuations_do_not_depend_on_the_batch(where: Where) -> None:
    model = made(tiny.network("llama"), batch_tokens=512)
    asked = [Complete("the cat", 6, temperature=1.0, seed=n) for n in range(4)] + [Complete("a", 6, temperature=2.0)]
    with model.install([ActivationEdit(Site(1, Part.MLP), change, where)]):
        assert model.answer(asked) == [model.answer([one])[0] for one in asked]


@pytest.mark.parametrize("where", ["prompt_last", "generated"])
def test_pooled_states_take_the_last_token_of_each_text_for_the_end_of_its_prompt(where: Where) -> None:
    model = made(tiny.network("llama"), batch_tokens=512)
    texts = ["the cat", "the dog ran on a mat. the cat sat", "a"]
    site = Site(2, Part.RESIDUAL)
    with model.install([ActivationEdit(Site(0, Part.RESIDUAL), change, where)]):
        together = model.states(texts, [site], pool="last")[site]
        alone = torch.cat([model.states([text], [site], pool="last")[site] for text in texts])
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together, model.states(texts, [site], pool="last")[site], atol=1e-2)


@pytest.mark.parametrize("where", ["prompt_last", "generated"])
def test_several_prompts_end_where_each_of_them_ends(where: Where) -> None:
    """Only the other prompt counts here, so the answer must be that of the other request."""
    longer = "the dog ran on a mat. "

    def other(request: Any) -> tuple[Any, ...]:
        return (Choose(longer + request.prompt, request.options),)

    def take(_: Tensor, others: tuple[Tensor, ...]) -> Tensor:
        return others[0]

    requests = [request for request in REQUESTS if isinstance(request, Choose) and request.prompt]
    edit = ActivationEdit(Site(0, Part.RESIDUAL), change, where)
    model = made(tiny.network("llama"), batch_tokens=512)
    with model.install([edit]):
        wanted = totals(model.answer([other(request)[0] for request in requests]))
        with model.install([BranchingEdit(other, take)]):
            assert near(totals(model.answer(requests)), wanted)


@pytest.mark.parametrize("where", ["prompt_last", "generated"])
def test_the_final_state_cannot_be_changed_after_a_prompt_only(where: Where) -> None:
    hf = tiny.network("llama")
    with untouched(hf), pytest.raises(PatchError, match="Change the residual stream of the last layer instead"):
        made(hf).install([ActivationEdit(FINAL, change, where)])
