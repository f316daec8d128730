"""CrAWD against hand computations, torch's own attention, and the model itself before the first step."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures import tiny
from tests.fixtures.untouched import untouched
from tests.mitigate import gendered
from torch import Tensor, nn

from evenhand import fit
from evenhand.core.edits import BranchEdit, Dense, WeightEdit
from evenhand.core.errors import DataError, UnknownName, UsageError
from evenhand.core.record import Curve, Map
from evenhand.core.requests import Complete, Completion
from evenhand.mitigate import _crawd_reference as references
from evenhand.mitigate._crawd_block import Block, Decay, Sizes
from evenhand.mitigate._crawd_learn import keyed, reference_of
from evenhand.mitigate._mitigation import Sham
from evenhand.mitigate._train import Batch, next_token_loss
from evenhand.mitigate._trainer import _collated, encoded
from evenhand.mitigate.crawd import Crawd
from evenhand.model import Model, Patch

IDS = torch.tensor([[1, 44, 60, 12, 80, 33, 7]])
SIZES = Sizes(hidden=8, vocabulary=11, heads=2, inner=6, head_rank=3)
QUICK: dict[str, Any] = {"steps": 3, "lr": 1e-2, "batch": 32, "heads": 4, "head_rank": 4}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def block(decay: Decay | None = None, sizes: Sizes = SIZES) -> Block:
    """A block whose every parameter is drawn, the zero ones too."""
    made = Block(sizes, decay or Decay())
    made.begin(torch.Generator().manual_seed(1))
    with torch.no_grad():
        made.up.weight.copy_(drawn(*made.up.weight.shape, seed=2))
    return made.eval()


def logits(model: Model, ids: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model.hf(input_ids=ids).logits
    return found


def patch_of(model: Model, **settings: Any) -> Patch:
    return fit(model, Crawd(**{**QUICK, **settings}), gendered.snippets())


# Decay


def test_the_largest_weights_of_a_row_are_multiplied_and_the_others_stay() -> None:
    """40 % of four weights is 1.6, so two decay; equal ones on the border both do; nothing is brought back to 1."""
    beta = torch.tensor([[[0.5, 0.3, 0.15, 0.05]], [[0.1, 0.2, 0.3, 0.4]], [[0.3, 0.3, 0.3, 0.1]]])
    decay = Decay(top=40, factor=0.2)
    found = decay.apply(beta, decay.row_tau(beta))
    wanted = [[[0.1, 0.06, 0.15, 0.05]], [[0.1, 0.2, 0.06, 0.08]], [[0.06, 0.06, 0.06, 0.1]]]
    torch.testing.assert_close(found, torch.tensor(wanted))
    evened = Decay(top=40, factor=0.2, renormalise=True).apply(beta, decay.row_tau(beta))
    torch.testing.assert_close(evened, torch.tensor(wanted) / torch.tensor([0.36, 0.44, 0.28])[:, None, None])


@pytest.mark.parametrize(("weights", "top", "count"), [(2, 40, 1), (2, 51, 2), (5, 40, 2), (22, 40, 9), (3, 100, 3)])
def test_the_share_is_rounded_up(weights: int, top: float, count: int) -> None:
    assert Decay(top=top).count(weights) == count


def test_over_a_matrix_a_text_has_one_threshold_and_padding_has_no_part_in_it() -> None:
    """Two texts of three tokens, two words. The second text ends after two: the padding's 0.99 must not count.

    30 % of six weights is 1.8: two decay in the first text, 0.9 and 0.8. Of four weights it is 1.2: also two in the
    second, 0.6 and 0.55.
    """
    first = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]
    second = [[0.6, 0.4], [0.45, 0.55], [0.99, 0.01]]
    beta = torch.tensor([first, second])[:, :, None]
    real = torch.tensor([[1, 1, 1], [1, 1, 0]])
    decay = Decay(top=30, factor=0.5, scope="matrix")
    tau = decay.matrix_tau(beta, real)
    torch.testing.assert_close(tau.flatten(), torch.tensor([0.8, 0.55]))
    found = decay.apply(beta, tau)[:, :, 0]
    torch.testing.assert_close(found[0], torch.tensor([[0.45, 0.1], [0.4, 0.2], [0.7, 0.3]]))
    torch.testing.assert_close(found[1, :2], torch.tensor([[0.3, 0.4], [0.45, 0.275]]))


def test_heads_have_their_own_largest_weights_or_those_of_their_mean() -> None:
    beta = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]])
    each, mean = (Decay(top=30, factor=0.0, mask_from=one) for one in ("head", "head_mean"))
    assert each.apply(beta, each.row_tau(beta)).tolist() == torch.tensor([[[0, 0.2, 0.1], [0.1, 0.3, 0]]]).tolist()
    of_mean = mean.apply(beta, mean.row_tau(beta))  # means are 0.4, 0.25, 0.35
    assert of_mean.tolist() == torch.tensor([[[0, 0.2, 0.1], [0, 0.3, 0.6]]]).tolist()


def test_threshold_and_factor_are_constants_to_the_gradient() -> None:
    beta = torch.tensor([[[0.5, 0.3, 0.2]]], requires_grad=True)
    decay = Decay(top=30, factor=0.2)
    decay.apply(beta, decay.row_tau(beta)).sum().backward()  # type: ignore[no-untyped-call]
    assert beta.grad is not None
    torch.testing.assert_close(beta.grad, torch.tensor([[[0.2, 1.0, 1.0]]]))


# Block


@pytest.mark.parametrize("head_rank", [3, 0])
def test_without_decay_it_is_plain_cross_attention(head_rank: int) -> None:
    made = block(Decay(factor=1.0), Sizes(8, 11, 2, 6, head_rank))
    plain = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    with torch.no_grad():
        plain.in_proj_weight.copy_(torch.cat([made.query.weight, made.key.weight, made.value.weight]))
        plain.out_proj.weight.copy_(made.output.weight)
    hidden, reference = drawn(2, 5, 8), drawn(3, 8, seed=4)
    with torch.no_grad():
        taken, _ = plain(hidden, reference.expand(2, -1, -1), reference.expand(2, -1, -1))
        u = made.attention_norm(hidden + taken)
        x = made.norm(u + made.narrow(nn.functional.gelu(made.wide(u))))
        wanted = made.up(made.down(x) if head_rank else x)
        torch.testing.assert_close(made(hidden, reference), wanted, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(block(Decay(factor=0.2), made.sizes)(hidden, reference), wanted, atol=1e-3)


def test_without_a_factor_the_largest_words_have_no_part() -> None:
    """With the factor 0 and all weights decaying, what a token reads of the reference is nothing."""
    made = block(Decay(top=100, factor=0.0))
    hidden = drawn(5, 8)
    with torch.no_grad():
        assert torch.equal(made(hidden, drawn(3, 8, seed=4)), made(hidden, drawn(2, 8, seed=5)))


def test_over_a_matrix_a_later_token_changes_an_earlier_one_in_training_only() -> None:
    made = block(Decay(top=20, factor=0.0, scope="matrix"))
    hidden, reference, real = drawn(1, 6, 8) * 3, drawn(3, 8, seed=4), torch.ones(1, 6)
    longer = torch.cat([hidden, drawn(1, 30, 8, seed=9) * 30], 1)
    with torch.no_grad():
        alone = made.attended(hidden, reference, real)
        followed = made.attended(longer, reference, torch.ones(1, 36))[:, :6]
        assert not torch.allclose(alone, followed)
        torch.testing.assert_close(made.attended(hidden, reference), made.attended(longer, reference)[:, :6])


# In a model


def test_before_the_first_step_it_is_the_model_itself() -> None:
    """Exactly in its logits; and the loss of the first step is the loss of the untouched model."""
    model = gendered.model()
    patch = patch_of(model, steps=1)
    begun = Block(Sizes(32, tiny.vocabulary_size(), 4, 32, 4), Decay())
    begun.begin(torch.Generator().manual_seed(3))
    named = {f"extra:{name}": parameter.detach() for name, parameter in begun.named_parameters()}
    ids = {name: tensor for name, tensor in patch.tensors.items() if name.startswith("reference") or name == "tau"}
    edits = Crawd(**QUICK).edits({**named, **ids}, model)
    plain = logits(model, IDS)
    with model.install(edits):
        assert torch.equal(logits(model, IDS), plain)
    assert first_losses(patch)[0] == pytest.approx(loss_of(model), abs=1e-4)


def first_losses(patch: Patch) -> tuple[float | None, ...]:
    (curve,) = (one for one in patch.provenance.findings if isinstance(one, Curve))
    return curve.series[0].y


def loss_of(model: Model) -> float:
    """Over all snippets, as the model stands."""
    texts = [(item.texts["text"],) for item in gendered.snippets()]
    made = _collated(encoded(model, texts, 32))
    with torch.no_grad():
        return float(next_token_loss(model.hf, Batch(**made))["loss"].mean())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_it_does_in_use_what_it_did_in_training(family: str) -> None:
    """The loss of the second step is the loss with the patch that one step gave: decay and all, in both."""
    model = gendered.model(family)
    quiet = {"attention_dropout": 0.0}
    for name in [one for one in vars(model.hf.config) if one.endswith("pdrop")]:  # GPT-2's own dropout
        setattr(model.hf.config, name, 0.0)
    for module in model.hf.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    one, two = (patch_of(model, steps=steps, **quiet) for steps in (1, 2))
    with model.install(one):
        assert first_losses(two)[1] == pytest.approx(loss_of(model), abs=1e-4)
    assert first_losses(two)[1] != pytest.approx(first_losses(two)[0], abs=1e-3)


def test_the_same_step_with_another_factor_is_another_step() -> None:
    found = {first_losses(patch_of(gendered.model(), steps=3, factor=factor))[2] for factor in (0.0, 0.2, 1.0)}
    assert len(found) == 3


def test_a_later_token_never_changes_an_earlier_logit() -> None:
    model = gendered.model()
    other = IDS.clone()
    other[0, 4:] = torch.tensor([9, 71, 15])
    for settings in ({}, {"scope": "matrix"}):
        with model.install(patch_of(model, **settings)):
            one, two = logits(model, IDS)[0], logits(model, other)[0]
            torch.testing.assert_close(one[:4], two[:4], atol=1e-5, rtol=1e-5)
            assert not torch.allclose(one[4:], two[4:], atol=1e-2)


def test_the_reference_is_encoded_by_the_model_as_it_stands() -> None:
    """By a twin with the weights changed by hand: those of the patch, and those that were installed below it."""
    model = gendered.model()
    method = Crawd(**QUICK)
    patch = fit(model, method, gendered.snippets())
    name = "model.layers.0.mlp.down_proj.weight"
    below = WeightEdit(name, Dense(drawn(*model.hf.get_parameter(name).shape, seed=6) * 0.1))
    twin = copy.deepcopy(model.hf)
    *weights, branch = method.edits(patch.tensors, model)
    assert isinstance(branch, BranchEdit)
    with torch.no_grad():
        twin.get_parameter(name).add_(below.delta.delta)  # type: ignore[union-attr]
        for edit in weights:
            assert isinstance(edit, WeightEdit)
            twin.get_parameter(edit.param).add_(edit.delta.up @ edit.delta.down)  # type: ignore[union-attr]
        base: Any = twin.get_decoder()  # type: ignore[no-untyped-call]
        states = base(input_ids=torch.tensor([branch.reference])).last_hidden_state[0]
        hidden = base(input_ids=IDS).last_hidden_state
        wanted = twin(input_ids=IDS).logits + branch.fn(hidden, states)
        with untouched(model.hf), model.install([below]), model.install(patch):
            torch.testing.assert_close(logits(model, IDS), wanted, atol=1e-4, rtol=1e-4)
    assert branch.reference[0] == model.tokenizer.bos_token_id
    assert model.tokenizer.decode(list(branch.reference[1:])) == "he she"
    assert len(keyed(states, reference_of(patch.tensors))) == len(branch.reference) - 1


@pytest.mark.parametrize("settings", [{}, {"scope": "matrix"}, {"mask_from": "head_mean", "head_rank": 0}])
def test_with_a_cache_and_in_a_batch_it_writes_what_plain_passes_give(settings: dict[str, Any]) -> None:
    model = gendered.model()
    prompts = ("the cat", "He saw no house and his dog", "a")
    with model.install(patch_of(model, **settings)):
        written = model.answer([Complete(prompt, 6) for prompt in prompts])
        for prompt, found in zip(prompts, written, strict=True):
            assert isinstance(found, Completion)
            ids = list(model.tokenizer(prompt)["input_ids"])
            for token in found.tokens:
                assert int(logits(model, torch.tensor([ids]))[0, -1].argmax()) == token
                ids.append(token)


def test_the_map_shows_every_token_of_a_text_and_every_word_after_decay() -> None:
    patch = patch_of(gendered.model(), factor=0.0)
    (found,) = (one for one in patch.provenance.findings if isinstance(one, Map))
    assert "".join(found.column_names).replace("' '", "") == "heshe"
    assert len(found.row_names) == len(found.values) > 5
    assert all(0 <= sum(one or 0 for one in row) < 1 for row in found.values)


def test_the_notes_count_what_is_added() -> None:
    """Hidden 32, vocabulary V, rank 4: attention 4 * 32^2, feed-forward 2 * (32^2 + 32), norms 4 * 32, head."""
    model = gendered.model()
    notes = " ".join(patch_of(model).provenance.notes)
    attention, v = 4 * 32**2, tiny.vocabulary_size()
    whole = attention + 2 * (32**2 + 32) + 4 * 32 + 32 * 4 + 4 * v
    total = sum(parameter.numel() for parameter in model.hf.parameters())
    assert f"{whole:,} parameters, {whole / total:.2%} of its own" in notes
    assert f"attention alone {attention:,}" in notes
    assert "Reference: he she" in notes


# The reference


def test_attributes_are_joined_each_word_once_and_the_users_own_come_last() -> None:
    assert references.words_of(("gender", "religion"), ("nurse", "he")) == (
        "he", "she", "Muslim", "Christian", "Jewish", "nurse"
    )  # fmt: skip
    assert len(references.PRESETS["full"]) == 21
    parts = [word for name, words in references.PRESETS.items() if name != "full" for word in words]
    assert sorted(parts) == sorted(references.PRESETS["full"])


def test_what_cannot_be_a_reference_is_refused() -> None:
    model, items = gendered.model(), gendered.snippets()
    with pytest.raises(UnknownName, match="reference"):
        fit(model, Crawd(reference=("sex",)), items)
    with pytest.raises(UsageError, match="no sensitive word"):
        fit(model, Crawd(reference=()), items)
    with pytest.raises(UsageError, match="expected 1 to 32"):
        fit(model, Crawd(reference=(), words=("Czechoslovakian", "Liechtensteiner", "Azerbaijani")), items)
    with pytest.raises(UsageError, match="Give heads=N with N one of 1, 2, 4, 8"):
        fit(model, Crawd(heads=5), items)


def test_a_stand_in_is_as_frequent_as_long_and_names_nobody() -> None:
    counts = {"it": 40, "she": 41, "he": 39, "is": 38, "mat": 5, "oak": 5, "Asian": 5, "man": 40, "big": 1, "Kim": 38}
    texts = [f"{word} " * times for word, times in counts.items()]
    found = Counter(references.stand_ins(("he", "Asian"), texts, np.random.default_rng(n))[0] for n in range(8))
    assert set(found) <= {"it", "is"}, "two letters, as no tokenizer was given; Kim has a capital only"
    many = [f"{word} " * 40 for word in ("it", "is", "in", "on", "at", "of", "to", "by")] + [
        f"w{'xyz'[n]} " for n in range(3)
    ]
    for seed in range(5):
        first, second = references.stand_ins(("he", "He"), [*many, "he " * 40], np.random.default_rng(seed))
        assert first in {"it", "is", "in", "on", "at", "of", "to", "by"}
        assert second.istitle()
        assert first != second.lower()
    with pytest.raises(DataError, match="stand in"):
        references.stand_ins(("he", "she"), ["he and she"], np.random.default_rng(0))


def test_stand_ins_are_as_many_tokens_in_all() -> None:
    model = gendered.model()
    size = references.size_in(model)
    texts = [*(one.texts["text"] for one in gendered.snippets()), "it was a bike and they were green"]
    for words in (("he", "she"), ("dog", "saw", "mat")):
        for seed in range(4):
            others = references.stand_ins(words, texts, np.random.default_rng(seed), size)
            places = [" " * bool(n) for n in range(len(words))]
            assert [size(p + a) for p, a in zip(places, others, strict=True)] == [
                size(p + b) for p, b in zip(places, words, strict=True)
            ]
            assert len(set(others) - set(words)) == len(words)


def test_shams_lack_the_words_or_the_decay_and_nothing_else() -> None:
    items = gendered.snippets()
    method = Crawd(**QUICK, reference=("gender",))
    others, without = method.shams(items, {}, gendered.rng())
    assert others.method == method.model_copy(update={"without": "words"})
    assert without.method == method.model_copy(update={"factor": 1.0})
    model = gendered.model()
    patches = [fit(model, one.method if isinstance(one, Sham) else one, items) for one in (method, others, without)]
    assert len({patch.fingerprint for patch in patches}) == 3
    assert "he she" not in patches[1].provenance.notes[0]
    keys = [patch.tensors["reference.keys"].tolist() for patch in patches]
    assert abs(len(keys[1]) - len(keys[0])) <= 1, "these texts have no other word of three tokens"
    assert keys[0] == keys[2] != keys[1]
    sizes = {sum(t.numel() for name, t in patch.tensors.items() if "reference" not in name) for patch in patches}
    assert len(sizes) == 1


def test_a_rival_is_trained_as_the_method_is_and_on_the_same_texts() -> None:
    from evenhand.mitigate.cda import Cda
    from evenhand.mitigate.klaad_balanced import KlaadBalanced
    from evenhand.prove._trial import rival_of

    plain: Any = rival_of(Crawd(lr=1e-3, epochs=3.0, sentences=7, gendered=True), "fine_tuning")
    assert (plain.lr, plain.epochs, plain.sentences, plain.gendered) == (1e-3, 3.0, 7, True)
    twice: Any = rival_of(Cda(epochs=2.0, sentences=9), "fine_tuning")
    assert (twice.epochs, twice.sentences, twice.gendered) == (4.0, 9, True)
    both: Any = rival_of(KlaadBalanced(), "cross_entropy")
    assert both.epochs == KlaadBalanced().epochs == 2.0
    word_list: Any = rival_of(Crawd(words=("her",)), "word_list_bias")
    assert word_list.words == "gas"
