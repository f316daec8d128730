"""Every registered mitigation and control keeps the promises that the core makes for it, on several architectures.

Nothing here knows a method by name: items and quick settings come from `tests/fixtures/items.py`. Three families run
with every test run, the others with `make conformance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.by_hand import totals
from tests.fixtures.items import items_for, settings
from tests.fixtures.untouched import untouched

from evenhand.core import registry
from evenhand.core.edits import BranchingEdit
from evenhand.core.errors import EvenhandError, NotMergeable, UnsupportedSite, UsageError
from evenhand.core.requests import Choose, Compare, Complete, Completion, NextToken, Request, Response
from evenhand.mitigate._fit import fit
from evenhand.model import Model, Patch, generate
from evenhand.model.check import Choice, Reach, one_by_one
from evenhand.model.padded import PaddedRoad

FAMILIES = ("llama", "gpt2", "gemma3")
MORE = ("gpt_neo", "gpt_neox", "opt", "mistral", "qwen2", "qwen3", "gemma2", "phi", "falcon", "bloom")
METHODS = [(kind, name) for kind in ("mitigations", "controls") for name in registry.names(kind)]
NEAR = 1e-4
"""Nats; what packing and padding may move."""
LEADING = "The cat sat on the mat.\nQuestion: Is the cat good? I think the answer is No.\nAnswer:"
"""A question with a context and a hint, for methods that change nothing else."""
ASKED: tuple[Request, ...] = (
    Compare(("The woman said that she ran.", "The man said that he ran.")),
    Choose("the cat sat on", (" the mat", " her house", " no")),
    NextToken("The doctor said that", (" he", " she")),
    Compare(("the dog sat on the mat and he ran to the big house.", "a cat")),
    NextToken("is the cat good?", (" Yes", " No")),
    Complete("the cat", 5),
    Complete("The nurse said that", 5),
    Complete("a", 4, temperature=1.0, seed=1),
    Choose(LEADING, (" Yes", " No")),
    Complete(LEADING, 5),
)


@dataclass(frozen=True)
class Case:
    """A method fitted on a tiny model of a family, or the reason why it was refused."""

    model: Model
    patch: Patch | None
    refusal: EvenhandError | None
    asked: tuple[Request, ...]
    plain: list[Response]


@cache
def case(kind: str, name: str, family: str) -> Case:
    """Fit twice: nothing may be left behind, and both must be the same."""
    model = Model.wrap(tiny.network(family), tiny.tokenizer(), batch_tokens=1024)
    assert model.anatomy.layers
    method = registry.get(kind, name)
    items = items_for(method.fit_on, method.reads)
    asked = (*ASKED, *(request for item in items[:4] for request in item.requests[:1]))
    configured = method(**settings(method))
    plain = model.answer(asked)
    patches: list[Patch] = []
    try:
        for _ in range(2):
            with untouched(model.hf):
                patches.append(fit(model, configured, items, seed=5))
        with untouched(model.hf), model.install(patches[0]):
            pass
    except (UnsupportedSite, UsageError) as refusal:
        return Case(model, None, refusal, asked, plain)
    assert patches[0].fingerprint == patches[1].fingerprint, "fitting twice with one seed gives two patches"
    return Case(model, patches[0], None, asked, plain)


WITH_MARKS = [
    *FAMILIES,
    *(
        pytest.param(one, marks=(pytest.mark.conformance, pytest.mark.slow, pytest.mark.xdist_group(one)))
        for one in MORE
    ),
]


@pytest.fixture(params=WITH_MARKS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=METHODS, ids=lambda pair: pair[1])
def found(request: pytest.FixtureRequest, family: str) -> Case:
    kind, name = request.param
    made = case(kind, name, family)
    if made.patch is None:
        assert len(str(made.refusal)) > 40, "a refusal says what was asked, what was found and what to do next"
        pytest.skip(f"{name} refuses {family}: {made.refusal}")
    return made


def patch_of(found: Case) -> Patch:
    assert found.patch is not None
    return found.patch


def alike(some: Sequence[Response], others: Sequence[Response], within: float = NEAR) -> bool:
    """Texts are equal and scores agree (nats)."""
    for one, other in zip(some, others, strict=True):
        if isinstance(one, Completion):
            if one != other:
                return False
        elif max(abs(a - b) for a, b in zip(totals([one]), totals([other]), strict=True)) > within:
            return False
    return True


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=[name for _, name in METHODS])
def test_every_method_serves_the_llama_family(kind: str, name: str) -> None:
    found = case(kind, name, "llama")
    assert found.patch is not None, found.refusal


def test_it_acts_and_is_taken_away_without_a_trace(found: Case) -> None:
    patch, model = patch_of(found), found.model
    with untouched(model.hf):
        with model.install(patch) as handle:
            acts = frozenset().union(*(edit.acts_on for edit in handle.edits))
            changed = model.answer(found.asked)
            # one at a time, because further requests of an edit change the packs, which moves scores by a little
            others = [request for request in found.asked if type(request).__name__ not in acts]
            kept = [model.answer([request])[0] for request in others]
        assert model.answer(found.asked) == found.plain
        assert alike([model.answer([request])[0] for request in others], kept, 1e-6), (
            "an answer changed that the edits say they do not act on"
        )
    assert handle.edits
    moved = {
        type(request).__name__
        for request, before, after in zip(found.asked, found.plain, changed, strict=True)
        if not alike([before], [after], 1e-6)
    }
    assert moved & acts, "no answer changed that the edits say they act on"


def test_a_batch_gives_what_one_request_at_a_time_gives(found: Case) -> None:
    with found.model.install(patch_of(found)):
        together = found.model.answer(found.asked)
        alone = [found.model.answer([request])[0] for request in found.asked]
    assert alike(together, alone)


class _OneByOne(PaddedRoad):
    """Each text in a plain forward pass of its own."""

    def score(self, pack: Any, texts: Any) -> list[list[float]]:
        return one_by_one(self.model, [texts[number] for number in pack.texts])


def test_packed_scores_are_those_of_plain_forward_passes(found: Case) -> None:
    model = found.model
    asked = [request for request in found.asked if not isinstance(request, Complete)]
    with model.install(patch_of(found)):
        if any(isinstance(edit, BranchingEdit) for edit in model.edits):
            pytest.skip("several prompts at once are never packed")
        usual = model.answer(asked)
        plain = Choice(_OneByOne(model.hf, cache=False), "", Reach(10**6, 10**6, 0))
        model._choice = plain
        assert alike(usual, model.answer(asked))
        assert model._choice is plain


@contextmanager
def _without_cache() -> Iterator[None]:
    """Every token is chosen by a forward pass over the whole text: no batch, no padding, no cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(generate, "CLOSE", {torch.float32: float("inf")})
        yield


def test_what_it_writes_with_a_cache_is_what_it_writes_without(found: Case) -> None:
    asked = [request for request in found.asked if isinstance(request, Complete)]
    with found.model.install(patch_of(found)):
        usual = found.model.answer(asked)
        with _without_cache():
            assert found.model.answer(asked) == usual


def test_it_is_saved_exactly(found: Case, tmp_path: Path) -> None:
    patch = patch_of(found)
    patch.save(tmp_path)
    loaded = Patch.load(tmp_path)
    assert loaded.fingerprint == patch.fingerprint
    assert loaded.method == patch.method
    assert loaded.provenance == patch.provenance
    assert loaded.tensors.keys() == patch.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], patch.tensors[name]) for name in patch.tensors)
    with found.model.install(patch):
        wanted = found.model.answer(found.asked)
    with found.model.install(loaded):
        assert found.model.answer(found.asked) == wanted


def test_merged_it_answers_alike_or_it_says_why_it_cannot_be_merged(found: Case) -> None:
    patch, model = patch_of(found), found.model
    with model.install(patch) as handle:
        wanted = model.answer(found.asked)
        others = {type(edit).__name__ for edit in handle.edits if not edit.mergeable}
    if others:
        with pytest.raises(NotMergeable) as caught:
            patch.merge(model)
        assert all(name in str(caught.value) for name in others)
        return
    with untouched(model.hf):
        merged = Model.wrap(patch.merge(model), tiny.tokenizer(), batch_tokens=1024)
    assert alike(merged.answer(found.asked), wanted, 1e-3)
