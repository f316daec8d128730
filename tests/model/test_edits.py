"""Each kind of edit against the same change made by hand, on several architectures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import NEAR, draw, greedy, logits, made, near, plainly, scores, totals
from tests.fixtures.untouched import untouched
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenhand.core.edits import (
    ActivationEdit,
    BranchEdit,
    Dense,
    Edit,
    EmbeddingEdit,
    LogitsEdit,
    LowRank,
    Slice,
    WeightEdit,
)
from evenhand.core.errors import PatchError, UnsupportedSite
from evenhand.core.requests import Choose, Compare, Complete, Completion, NextToken
from evenhand.core.sites import FINAL, Part, Site

FAMILIES = ["llama", "gpt2", "gpt_neox", "gemma3", "opt", "falcon", "bloom"]
PATHS = {
    "llama": ("model.layers.1", "self_attn.o_proj", "mlp.down_proj", "lm_head"),
    "gemma3": ("model.layers.1", "self_attn.o_proj", "mlp.down_proj", "lm_head"),
    "gpt2": ("transformer.h.1", "attn.c_proj", "mlp.c_proj", "lm_head"),
    "gpt_neox": ("gpt_neox.layers.1", "attention.dense", "mlp.dense_4h_to_h", "lm_head"),
    "opt": ("model.decoder.layers.1", "self_attn.out_proj", "fc2", "lm_head"),
    "falcon": ("transformer.h.1", "self_attention.dense", "mlp.dense_4h_to_h", "lm_head"),
    "bloom": ("transformer.h.1", "self_attention.dense", "mlp.dense_4h_to_h", "lm_head"),
}
"""Second block, and its parts below it; the vocabulary head."""
IDS = torch.tensor([[1, 40, 7, 90, 33, 12, 8]])
REQUESTS = [
    Choose("the cat sat on", (" the mat", " a house", " no")),
    Choose("the dog ran and the cat sat on", (" yes", " no, the dog is bad")),
    Compare(("the cat is good", "a dog is walking on a mat. the end")),
    NextToken("is the dog big?", (" Yes", " No")),
]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Activations


def by_hand(hf: PreTrainedModel, family: str, part: Part, change: Callable[[Tensor], Tensor]) -> Any:
    """A plain hook at the module that the source names."""
    block, attention, mlp, head = PATHS[family]
    path = {
        Part.RESIDUAL: block,
        Part.ATTENTION: f"{block}.{attention}",
        Part.HEADS: f"{block}.{attention}",
        Part.MLP: f"{block}.{mlp}",
        Part.NEURONS: f"{block}.{mlp}",
        Part.FINAL: head,
    }[part]

    def after(_: nn.Module, __: Any, out: Any) -> Any:
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    def before(_: nn.Module, given: Any) -> Any:
        return (change(given[0]), *given[1:])

    module = hf.get_submodule(path)
    if part in (Part.HEADS, Part.NEURONS, Part.FINAL):
        return module.register_forward_pre_hook(before)
    return module.register_forward_hook(after)


@pytest.mark.parametrize("part", list(Part))
def test_an_activation_edit_is_a_plain_hook_at_its_site(family: str, part: Part) -> None:
    hf = tiny.network(family)
    width = {Part.NEURONS: 64 if family in ("llama", "gemma3", "gpt_neox", "opt") else 128}.get(part, 32)
    offset = draw(width)

    def change(x: Tensor) -> Tensor:
        return 0.5 * x + offset

    site = FINAL if part is Part.FINAL else Site(1, part)
    model = made(hf)
    plain = totals(model.answer(REQUESTS))
    with untouched(hf):
        with model.install([ActivationEdit(site, change)]):
            found, scored = logits(hf, IDS), totals(model.answer(REQUESTS))
            written = model.answer([Complete("the cat sat", 4)] if part is Part.MLP else [])
        if part is Part.MLP:
            assert totals(model.answer(REQUESTS)) == plain
    by_hand(hf, family, part, change)
    assert torch.equal(found, logits(hf, IDS))
    assert near(scored, scores(REQUESTS, plainly(hf)))
    assert not near(scored, plain)
    for one in written:
        assert isinstance(one, Completion)
        assert list(one.tokens) == greedy("the cat sat", 4, plainly(hf))[: len(one.tokens)]


def test_an_activation_has_texts_tokens_and_numbers_wherever_it_is(family: str) -> None:
    hf = tiny.network(family)
    shapes: list[tuple[int, ...]] = []

    def look(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape[:2]))
        return x

    edits = [ActivationEdit(Site(0, part), look) for part in Part if part is not Part.FINAL]
    with made(hf).install(edits):
        logits(hf, IDS.repeat(3, 1))
    assert shapes == [(3, 7)] * 5


# Weights


def parameter(family: str) -> str:
    return PATHS[family][0] + "." + PATHS[family][2] + ".weight"


@pytest.mark.parametrize("kind", ["low rank", "dense", "slice of rows", "slice of columns"])
def test_a_weight_edit_adds_and_puts_back_the_same_bits(family: str, kind: str) -> None:
    hf = tiny.network(family)
    rows, columns = hf.get_parameter(parameter(family)).shape
    deltas: dict[str, Any] = {
        "low rank": LowRank(draw(rows, 2), draw(2, columns, seed=1)),
        "dense": Dense(draw(rows, columns)),
        "slice of rows": Slice(0, (3, 1), draw(2, columns)),
        "slice of columns": Slice(1, (0, 5, 2), draw(rows, 3)),
    }
    whole = {
        "low rank": lambda: deltas["low rank"].up @ deltas["low rank"].down,
        "dense": lambda: deltas["dense"].delta,
        "slice of rows": lambda: torch.zeros(rows, columns).index_copy(
            0, torch.tensor([3, 1]), deltas["slice of rows"].values
        ),
        "slice of columns": lambda: torch.zeros(rows, columns).index_copy(
            1, torch.tensor([0, 5, 2]), deltas["slice of columns"].values
        ),
    }[kind]()
    twin = copy.deepcopy(hf)
    with torch.no_grad():
        twin.get_parameter(parameter(family)).add_(whole)
    model = made(hf)
    with untouched(hf), model.install([WeightEdit(parameter(family), deltas[kind])]):
        assert torch.allclose(logits(hf, IDS), logits(twin, IDS), atol=NEAR)
        if kind == "low rank":
            assert near(totals(model.answer(REQUESTS)), scores(REQUESTS, plainly(twin)))
            model.answer([Complete("the cat", 4)])


def test_bits_come_back_after_an_error_and_in_half_precision() -> None:
    hf = tiny.network("llama").to(torch.bfloat16)
    edit = WeightEdit(parameter("llama"), Dense(draw(32, 64)))
    with untouched(hf), pytest.raises(KeyboardInterrupt), made(hf).install([edit]):
        raise KeyboardInterrupt
    with untouched(hf), made(hf).install([edit, edit]), made(hf).install([edit]):
        assert logits(hf, IDS).isfinite().all()


def test_a_bias_and_a_norm_can_be_changed() -> None:
    hf = tiny.network("gpt2")
    twin = copy.deepcopy(hf)
    names = ("transformer.h.0.mlp.c_proj.bias", "transformer.h.0.ln_1.weight")
    edits = [WeightEdit(name, Dense(draw(32))) for name in names]
    edits.append(WeightEdit("transformer.h.1.mlp.c_proj.bias", Slice(0, (4,), torch.ones(1))))
    with torch.no_grad():
        for name in names:
            twin.get_parameter(name).add_(draw(32))
        twin.get_parameter("transformer.h.1.mlp.c_proj.bias")[4] += 1.0
    with untouched(hf), made(hf).install(edits):
        assert torch.allclose(logits(hf, IDS), logits(twin, IDS), atol=NEAR)


def test_a_tied_weight_changes_in_both_places_under_either_name() -> None:
    hf = tiny.network("gpt2")
    twin = copy.deepcopy(hf)
    delta = draw(tiny.vocabulary_size(), 32)
    with torch.no_grad():
        twin.get_parameter("transformer.wte.weight").add_(delta)
    for name in ("transformer.wte.weight", "lm_head.weight"):
        with untouched(hf), made(hf).install([WeightEdit(name, Dense(delta))]):
            assert torch.allclose(logits(hf, IDS), logits(twin, IDS), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "delta", "message"),
    [
        ("model.no.such.weight", Dense(torch.zeros(1)), "no parameter 'model.no.such.weight'"),
        ("lm_head.weight", Dense(torch.zeros(2, 2)), r"does not fit its shape"),
        ("lm_head.weight", LowRank(torch.zeros(3, 1), torch.zeros(1, 32)), r"does not fit its shape"),
        ("lm_head.weight", LowRank(torch.zeros(1, 1), torch.zeros(1, 32)), r"does not fit its shape"),
        ("lm_head.weight", Slice(0, (0, 99999), torch.zeros(2, 32)), r"does not fit its shape"),
        ("lm_head.weight", Slice(1, (0,), torch.zeros(1, 1)), r"does not fit its shape"),
        ("lm_head.weight", Slice(2, (0,), torch.zeros(1, 1)), r"does not fit its shape"),
    ],
)
def test_weight_edits_that_do_not_fit_are_refused_and_leave_nothing(name: str, delta: Any, message: str) -> None:
    hf = tiny.network("llama")
    with untouched(hf), pytest.raises(PatchError, match=message):
        made(hf).install([WeightEdit(parameter("llama"), Dense(draw(32, 64))), WeightEdit(name, delta)])


# Embeddings


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "opt", "bloom"])
@pytest.mark.parametrize("head", ["untie", "follow"])
def test_embedding_rows_change_with_the_head_or_without_it(family: str, head: Any) -> None:
    hf = tiny.network(family)
    twin = copy.deepcopy(hf)
    table: Any = twin.get_input_embeddings()
    other: Any = twin.get_output_embeddings()
    was_tied = other.weight is table.weight
    assert was_tied == (family != "llama")
    rows, values = (7, 33), draw(2, 32)
    new = table.weight.detach().clone()
    new[list(rows)] = values
    if head == "follow" and was_tied:
        other.weight = nn.Parameter(new)
    elif was_tied:
        other.weight = nn.Parameter(other.weight.detach().clone())
    table.weight = nn.Parameter(new)
    model = made(hf)
    with untouched(hf), model.install([EmbeddingEdit(rows, values, head)]):
        assert torch.allclose(logits(hf, IDS), logits(twin, IDS), atol=NEAR)
        assert near(totals(model.answer(REQUESTS)), scores(REQUESTS, plainly(twin)))
        model.answer([Complete("the cat", 3)])


@pytest.mark.parametrize("rows", [(7, 7), (7, 99999), (-1, 3), (7,)])
def test_embedding_rows_that_do_not_fit_are_refused_and_leave_nothing(rows: tuple[int, ...]) -> None:
    for family in ("llama", "gpt2"):
        hf = tiny.network(family)
        with untouched(hf), pytest.raises(PatchError, match="do not fit a table"):
            made(hf).install([EmbeddingEdit(rows, draw(2, 32))])


def test_embedding_edits_untie_twice_and_come_back() -> None:
    hf = tiny.network("gpt2")
    model = made(hf)
    first, second = EmbeddingEdit((7,), draw(1, 32)), EmbeddingEdit((7, 8), draw(2, 32, seed=1), "follow")
    with untouched(hf), model.install([first]), model.install([second]):
        assert torch.equal(hf.get_input_embeddings().weight[7], draw(2, 32, seed=1)[0])  # type: ignore[index]


# The vocabulary head


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "opt", "bloom", "gemma3"])
def test_a_branch_adds_what_it_makes_of_the_last_state_and_its_reference(family: str) -> None:
    hf = tiny.network(family)
    weight, reference = draw(32, tiny.vocabulary_size()) * 0.1, (5, 44, 60)

    def add(hidden: Tensor, states: Tensor | None) -> Tensor:
        assert states is not None
        assert states.shape == (3, 32)
        return (hidden * torch.tanh(states.mean(0))) @ weight

    steeper = WeightEdit(parameter(family), Dense(draw(*hf.get_parameter(parameter(family)).shape) * 0.1))
    twin = copy.deepcopy(hf)
    with torch.no_grad():
        twin.get_parameter(parameter(family)).add_(steeper.delta.delta)  # type: ignore[union-attr]
    caught: list[Tensor] = []
    handle = twin.get_output_embeddings().register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    logits(twin, torch.tensor([reference]))
    wanted = logits(twin, IDS) + add(caught[1], caught[0][0])
    handle.remove()
    model = made(hf)
    with untouched(hf), model.install([steeper, BranchEdit(add, reference)]):
        assert torch.allclose(logits(hf, IDS), wanted, atol=1e-3)
        assert len(totals(model.answer(REQUESTS))) == len(scores(REQUESTS, plainly(hf)))
        assert near(totals(model.answer(REQUESTS)), scores(REQUESTS, plainly(hf)))


def test_a_branch_without_a_reference_is_given_none_and_an_encoder_has_no_place_for_one() -> None:
    seen: list[Any] = []

    def add(hidden: Tensor, states: Tensor | None) -> Tensor:
        seen.append(states)
        return torch.zeros(())

    hf = tiny.network("llama")
    with made(hf).install([BranchEdit(add)]):
        logits(hf, IDS)
    assert seen == [None]
    encoder = tiny.encoder("encoder")
    with untouched(encoder), pytest.raises(UnsupportedSite, match="no vocabulary head"):
        made(encoder).install([BranchEdit(add)])


def test_beside_classes_a_branch_reads_the_first_tokens_state() -> None:
    hf = tiny.encoder("classifier")
    weight, ids = draw(32, 3), torch.tensor([[4, 44, 60, 12, 5]])

    def add(hidden: Tensor, states: Tensor | None) -> Tensor:
        assert states is not None
        return (hidden * states.mean(0)) @ weight

    with torch.no_grad():
        wanted = hf(input_ids=ids).logits
        first = hf.base_model(input_ids=ids).last_hidden_state[:, 0]
        wanted = wanted + add(first, hf.base_model(input_ids=torch.tensor([[4, 30, 5]])).last_hidden_state[0])
    with untouched(hf), torch.no_grad(), made(hf).install([BranchEdit(add, (4, 30, 5))]):
        assert torch.allclose(hf(input_ids=ids).logits, wanted, atol=1e-5)


def test_a_logits_edit_acts_on_what_the_model_gives_in_scoring_and_in_writing(family: str) -> None:
    hf = tiny.network(family)
    bias = draw(tiny.vocabulary_size()) * 2

    def change(x: Tensor) -> Tensor:
        return 0.8 * x + bias

    model = made(hf)
    plain = scores(REQUESTS, lambda ids, _: change(logits(hf, torch.tensor([ids]))[0]))
    with untouched(hf), model.install([LogitsEdit(change)]):
        assert near(totals(model.answer(REQUESTS)), plain)
        written = model.answer([Complete("the cat sat", 5)])[0]
        wanted = greedy("the cat sat", 5, plainly(hf))
    assert isinstance(written, Completion)
    assert list(written.tokens) == wanted[: len(written.tokens)]
    ids = torch.tensor([tiny.tokenizer()("the cat sat").input_ids])
    assert wanted[0] == int(change(logits(hf, ids))[0, -1].argmax())


def test_every_kind_says_whether_it_becomes_weights_and_whether_texts_may_share_a_row() -> None:
    residual = Site(0, Part.RESIDUAL)
    said: list[tuple[Edit, bool, bool]] = [
        (ActivationEdit(residual, torch.relu), True, False),
        (ActivationEdit(residual, torch.relu, "prompt_last"), False, False),
        (ActivationEdit(residual, torch.relu, "generated"), False, False),
        (WeightEdit("x", Dense(torch.zeros(1))), True, True),
        (EmbeddingEdit((0,), torch.zeros(1, 1)), True, True),
        (BranchEdit(lambda hidden, _: hidden), True, False),
        (LogitsEdit(torch.relu), True, False),
    ]
    for edit, pointwise, mergeable in said:
        assert (edit.pointwise, edit.mergeable) == (pointwise, mergeable), edit
