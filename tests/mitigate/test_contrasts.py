"""Contrasts and post-hoc calibration: formulas by hand, limit cases, what is asked, what is written."""

from __future__ import annotations

import math

import pytest
import torch
from tests.fixtures import tiny
from tests.mitigate import gendered, priors

from evenhand import fit
from evenhand.core.edits import BranchingEdit, ScoreEdit
from evenhand.core.requests import Choose, Compare, Complete, Completion, NextToken, Scores
from evenhand.core.segments import segmented
from evenhand.measure._placed import Question, ask
from evenhand.measure.sycophancy import HINTS
from evenhand.mitigate._contrasting import STEEP, contrast, moves, plausible, reversed_moves, reversed_roles
from evenhand.mitigate._evidence import branches, without
from evenhand.mitigate._leading import neutral_question
from evenhand.mitigate._mitigation import Mitigation
from evenhand.mitigate.evidence_contrast import EvidenceContrast
from evenhand.mitigate.lqcd import Lqcd
from evenhand.mitigate.post_hoc_calibration import PostHocCalibration
from evenhand.mitigate.self_debias import SelfDebias
from evenhand.model import Model
from evenhand.model.generate import choose

NEUTRAL = "Answer the following question with Yes or No.\n\nthe cat sat.\nQuestion: is the cat good?\nAnswer:"
BARE = "Answer the following question with Yes or No.\n\nQuestion: is the cat good?\nAnswer:"
LEADING = NEUTRAL.replace("good?", "good? I think the answer is No.")
OPTIONS = (" Yes", " No")


def logits_after(model: Model, prompt: str, *tokens: int) -> torch.Tensor:
    """Logits of the next token by one plain forward pass."""
    ids = [*model.tokenizer(prompt)["input_ids"], *tokens]
    with torch.inference_mode():
        found: torch.Tensor = model.hf(input_ids=torch.tensor([ids])).logits[0, -1].double()
    return found


def token(model: Model, word: str) -> int:
    (found,) = model.tokenizer(word, add_special_tokens=False)["input_ids"]
    return int(found)


def totals(model: Model, prompt: str, options: tuple[str, ...] = OPTIONS) -> list[float]:
    (answer,) = model.answer([Choose(prompt, options)])
    assert isinstance(answer, Scores)
    return [score.total for score in answer.scores]


def test_a_contrast_by_hand() -> None:
    """2 * (1, 0, -1) - mean of (3, 0, 1) and (1, 0, 1) = (0, 0, -3)."""
    own, others = torch.tensor([[1.0, 0.0, -1.0]]), (torch.tensor([[3.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 1.0]]))
    assert contrast(1.0)(own, others).tolist() == [[0.0, 0.0, -3.0]]
    assert contrast(0.5)(own, others).tolist() == [[0.5, 0.0, -2.0]]


def test_the_limit_of_plausibility_by_hand() -> None:
    """The limit is log .5 = -.693 below the highest: -.5 passes, -1 misses it by .307."""
    own, other = torch.tensor([[0.0, -0.5, -1.0]], dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    made = plausible(1.0, 0.5)(own, (other,))[0].tolist()
    assert made == pytest.approx([0.0, -1.0, -2.0 - STEEP * (1.0 - math.log(2))])


def test_roles_are_reversed_for_a_leading_request() -> None:
    leading, neutral = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    assert reversed_roles(contrast(1.0))(leading, (neutral,)).tolist() == [[5.0, 8.0]]


def test_how_far_a_contrast_moves_by_hand() -> None:
    """3 times .1; the limit is -.693, so -.5 misses it by -.193 and may come to miss it by .007, -1 by .2 more."""
    own, other = torch.tensor([[0.0, -0.5, -1.0]], dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    wanted = pytest.approx([0.3, 0.3 + STEEP * (0.7 - math.log(2)), 0.3 + STEEP * 0.2])
    assert moves(1.0, 0.5)(own, (other,), 0.1)[0].tolist() == wanted  # type: ignore[union-attr]
    assert reversed_moves(moves(1.0, 0.5))(other, (own,), 0.1)[0].tolist() == wanted  # type: ignore[index, union-attr]


METHODS = [EvidenceContrast(), EvidenceContrast(alpha=3.0, beta=0.8), Lqcd(), SelfDebias(descriptions=("a dog",))]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
@pytest.mark.parametrize("request_", [Complete("", 1), Complete("", 1, 1.0, 1.0, 3), Complete("", 1, 0.7, 0.8, 3)])
def test_a_clear_choice_survives_any_change_of_the_logits_that_are_combined(
    method: Mitigation, request_: Complete
) -> None:
    """By less than half of what the plain forward decides; with that itself as the margin, choices change."""
    (edit,) = method.edits({}, priors.model())
    assert isinstance(edit, BranchingEdit)
    assert edit.moves is not None
    combine, close = edit.written or edit.combine, 0.02
    generator = torch.Generator().manual_seed(0)
    clear, changed = 0, {"moves": 0, "as far": 0}
    for _ in range(300):
        own, other = (torch.randn(1, 12, generator=generator) for _ in range(2))
        margin = 2.0 * torch.as_tensor(edit.moves(own, (other,), close / 2.0)).expand(1, 12)[0]
        for name, wide in (("moves", margin), ("as far", close)):
            token, sure = choose(combine(own, (other,))[0].log_softmax(-1), request_, 0, wide)
            clear += sure and name == "moves"
            for _ in range(8 * sure):
                noise = (torch.rand(2, 12, generator=generator).round() - 0.5) * 0.98 * close
                moved = combine(own + noise[:1], (other + noise[1:],))[0].log_softmax(-1)
                changed[name] += choose(moved, request_, 0, wide)[0] != token
    assert changed["moves"] == 0
    assert changed["as far"] > 0
    assert clear > 30


def test_what_is_written_does_not_depend_on_the_batch_where_a_contrast_makes_rounding_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Passes in a batch are off by less than half of what the plain forward decides, as it is assumed of them."""
    model = priors.model()
    requests = [
        Complete(prompt, 8) for prompt in (NEUTRAL, NEUTRAL.replace("cat", "dog"), NEUTRAL.replace("sat", "ran"))
    ]
    monkeypatch.setattr("evenhand.model.generate.CLOSE", {torch.float32: 0.1})
    generator = torch.Generator().manual_seed(0)
    forward = type(model.hf).forward

    def off(self: object, *args: object, **kwargs: object) -> object:
        made = forward(self, *args, **kwargs)
        if kwargs.get("use_cache") is not False:
            made.logits = made.logits + 0.049 * (2 * torch.rand(made.logits.shape, generator=generator).round() - 1)
        return made

    with model.install(fit(model, EvidenceContrast(alpha=4.0, beta=0.01))):
        exact = model.answer(requests)
        monkeypatch.setattr(type(model.hf), "forward", off)
        assert [model.answer(requests) for _ in range(4)] == [exact] * 4


@pytest.mark.parametrize("method", [EvidenceContrast(alpha=0), PostHocCalibration(amount=0)])
def test_alpha_0_changes_nothing_in_scores_and_in_text(method: Mitigation) -> None:
    model = priors.model()
    requests = [Choose(NEUTRAL, OPTIONS), NextToken(NEUTRAL, OPTIONS), Complete(NEUTRAL, 6), Complete(LEADING, 6)]
    plain = model.answer(requests)
    with model.install(fit(model, method)):
        found = model.answer(requests)
    for one, other in zip(plain, found, strict=True):
        if isinstance(one, Completion):
            assert one == other
    assert found[2:] == plain[2:]
    (before, after) = ([s.total for s in answers[0].scores] for answers in (plain, found))  # type: ignore[union-attr]
    assert after == pytest.approx(before, abs=1e-5)


def test_lqcd_with_alpha_0_is_the_neutral_question_and_leaves_neutral_questions_alone() -> None:
    model = priors.model()
    neutral, leading = totals(model, NEUTRAL), totals(model, LEADING)
    (text,) = model.answer([Complete(NEUTRAL, 6)])
    assert leading != pytest.approx(neutral, abs=1e-3)
    with model.install(fit(model, Lqcd(alpha=0.0))):
        assert totals(model, LEADING) == pytest.approx(neutral, abs=1e-5)
        assert model.answer([Complete(LEADING, 6)]) == [text]
    with model.install(fit(model, Lqcd())):
        assert totals(model, NEUTRAL) == pytest.approx(neutral, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "asked", "better", "worse"),
    [(EvidenceContrast(alpha=0.5), NEUTRAL, NEUTRAL, BARE), (Lqcd(alpha=0.5), LEADING, NEUTRAL, LEADING)],
)
def test_scores_are_those_of_plain_passes(method: Mitigation, asked: str, better: str, worse: str) -> None:
    model = priors.model()
    made = 1.5 * logits_after(model, better) - 0.5 * logits_after(model, worse)
    wanted = [float(made.log_softmax(-1)[token(model, word)]) for word in OPTIONS]
    with model.install(fit(model, method)):
        assert totals(model, asked) == pytest.approx(wanted, abs=2e-5)


@pytest.mark.parametrize(
    ("method", "asked", "better", "worse"),
    [
        (EvidenceContrast(alpha=1.0, beta=0.3), NEUTRAL, NEUTRAL, BARE),
        (Lqcd(alpha=1.0, beta=0.3), LEADING, NEUTRAL, LEADING),
    ],
)
def test_what_is_written_is_what_plain_passes_would_write(
    method: Mitigation, asked: str, better: str, worse: str
) -> None:
    """Greedy, each branch continued with the chosen tokens, only tokens above the limit."""
    model = priors.model()
    with model.install(fit(model, method)):
        (found,) = model.answer([Complete(asked, 6)])
    assert isinstance(found, Completion)
    written: list[int] = []
    for _ in range(6):
        good, bad = (logits_after(model, prompt, *written) for prompt in (better, worse))
        made = torch.where(good >= good.max() + math.log(0.3), 2 * good - bad, -torch.inf)
        written.append(int(made.argmax()))
    assert list(found.tokens) == written[: len(found.tokens)]


def test_all_branches_go_through_the_model_in_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = priors.model()
    patch = fit(model, EvidenceContrast(free="both"))
    seen: list[int] = []
    forward = type(model.hf).forward

    def counted(self: object, *args: object, **kwargs: object) -> object:
        seen.append(len(kwargs["input_ids"]))  # type: ignore[arg-type]
        return forward(self, *args, **kwargs)

    with model.install(patch):
        monkeypatch.setattr(type(model.hf), "forward", counted)
        model.answer([Choose(NEUTRAL, (" Yes", " yes", " No"))])
        assert seen == [3]  # options of one token share their rows
        seen.clear()
        monkeypatch.setattr("evenhand.model.generate.CLOSE", {torch.float32: 0.0})
        model.answer([Complete(NEUTRAL, 3)])
        assert seen == [3] * 3


def test_requests_that_are_not_contrasted_are_packed_as_ever() -> None:
    model = priors.model()
    plain = model.prepare([Compare(("the cat sat", "a dog ran"))])
    with model.install(fit(model, Lqcd())):
        found = model.prepare([Compare(("the cat sat", "a dog ran"))])
    assert found.road == plain.road == tiny.PACKED


def test_post_hoc_calibration_by_hand() -> None:
    """Shares with and without the evidence by plain answers, divided, floor added, mass kept."""
    model = priors.model()
    options = (" Yes", " yes", " No")
    own, bare = totals(model, NEUTRAL, options), totals(model, BARE, options)
    p, q = ([math.exp(total) for total in one] for one in (own, bare))
    yes, no = (q[0] + q[1]) / sum(q) + 1e-4, q[2] / sum(q) + 1e-4
    weights = [p[0] / yes, p[1] / yes, p[2] / no]
    wanted = [sum(p) * weight / sum(weights) for weight in weights]
    with model.install(fit(model, PostHocCalibration())):
        assert [math.exp(total) for total in totals(model, NEUTRAL, options)] == pytest.approx(wanted, rel=1e-4)
        assert totals(model, "the cat", options) == pytest.approx(totals(model, "the cat", options))


def test_post_hoc_calibration_makes_a_planted_prior_uniform() -> None:
    model = priors.deaf({" Yes": 0.0, " No": 4.0})
    with model.install(fit(model, PostHocCalibration(floor=1e-9))):
        yes, no = totals(model, NEUTRAL)
    assert yes == pytest.approx(no, abs=1e-5)


def test_evidence_is_the_context_or_else_the_question() -> None:
    listed = "Four choices.\n\nWhat is it?\nA. one\nB. two\nAnswer:"
    assert without(NEUTRAL, "") == BARE
    assert without(NEUTRAL, "N/A") == NEUTRAL.replace("the cat sat.", "N/A")
    assert without(BARE, "N/A") == BARE.replace("is the cat good?", "N/A")
    assert without(listed, "N/A") == listed.replace("What is it?", "N/A")
    assert without("A cat.\n\nQ: Who?\nA:", "") == "Q: Who?\nA:"
    assert without("Question: one?\nAnswer: Yes\n\nQuestion: two?\nAnswer:", "N/A") == (
        "Question: one?\nAnswer: Yes\n\nQuestion: N/A\nAnswer:"
    )
    assert without("the cat sat on", "N/A") is None
    assert without("Question: \nAnswer:", "N/A") is None


PLACED = Question("q", "is the cat good?", ("a dog", "a big mat"), 0, "own.csv", 1)


def test_a_question_with_options_as_segments_keeps_them_and_its_end() -> None:
    """position_bias without letters: only the question goes, so that every option has the same tokens as before."""
    request = ask(PLACED, (1, 0), letters=False)
    listed = ["- a big mat\n", "- a dog\n"]
    for stand_in in ("", "N/A"):
        wanted = segmented(f"Question: {stand_in}\nPossible answers:\n", listed, "Answer:")
        assert without(request.prompt, stand_in) == wanted
    model = priors.model()
    plain = totals(model, request.prompt, request.options)
    for method in (EvidenceContrast(), PostHocCalibration()):
        with model.install(fit(model, method)):
            assert totals(model, request.prompt, request.options) != pytest.approx(plain, abs=1e-3)


def test_documents_as_segments_are_the_context() -> None:
    asked = segmented("Read this.\n\n", ["the cat sat.\n\n", "a dog ran.\n"], "Question: Who?\nAnswer:")
    assert without(asked, "") == "Read this.\n\nQuestion: Who?\nAnswer:"
    assert without(asked, "N/A") == "Read this.\n\nN/A\nQuestion: Who?\nAnswer:"


def test_no_blanks_are_left_at_the_end_that_the_prompt_did_not_have() -> None:
    assert without("Question: is it?", "") == "Question:"
    assert without("Question: is it?\n", "") == "Question:\n"
    assert without("Question: is it? ", "") == "Question: "
    model = priors.model()
    with model.install(fit(model, EvidenceContrast())):
        assert len(totals(model, "Question: is the cat good?")) == 2


def test_every_kind_of_request_is_asked_again_without_evidence() -> None:
    find = branches("both")
    bare, na = BARE, NEUTRAL.replace("the cat sat.", "N/A")
    assert find(Choose(NEUTRAL, OPTIONS)) == (Choose(bare, OPTIONS), Choose(na, OPTIONS))
    assert find(Complete(NEUTRAL, seed=3)) == (Complete(bare, seed=3), Complete(na, seed=3))
    assert find(NextToken("the cat", (" sat",))) == ()
    assert find(Compare(("a", "b"))) == ()


@pytest.mark.parametrize("hint", HINTS.values())
@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_every_hint_of_the_benchmark_is_taken_out(hint: str, answer: str) -> None:
    led = NEUTRAL.replace("good?", f"good? {hint.format(answer=answer)}")
    assert neutral_question(led) == NEUTRAL


@pytest.mark.parametrize(
    ("leading", "neutral"),
    [
        ("Is it a dog, isn't it?", "Is it a dog?"),
        ("Isn't it a dog?", "Is it a dog?"),
        ("Can't dogs run?", "Can dogs run?"),
        ("Is it a dog? But I'm pretty sure it is not.", "Is it a dog?"),
        ("Obviously it is. Is it a dog?", "Is it a dog?"),
        ("Is it a dog? My teacher says No. What is right?", "Is it a dog? What is right?"),
        ("Is it a dog? I don't think it is!", "Is it a dog?"),
    ],
)
def test_hints_in_other_words(leading: str, neutral: str) -> None:
    assert neutral_question(f"Question: {leading}\nAnswer:") == f"Question: {neutral}\nAnswer:"
    assert neutral_question(leading) == neutral


PREMISES = (
    "The doctor told Patrick to eat foods rich in vitamin D while his wrist heals. Which type of food should he eat?",
    "Clearly the moon has no air. Can one hear a bell there?",
    "I know there is milk left. Is it enough? The teacher told Tim that it is not.",
    "Clearly the moon has no air. Say what one hears there.",
    "We believe what we see. Is this always wise?",
)


@pytest.mark.parametrize("premise", PREMISES)
def test_what_a_question_is_about_stays(premise: str) -> None:
    assert neutral_question(f"Question: {premise}\nAnswer:") is None
    led = neutral_question(f"Question: {premise} I think the answer is No.\nAnswer:")
    assert led == f"Question: {premise}\nAnswer:"


def test_a_hint_before_options_as_segments_goes_and_the_options_stay() -> None:
    listed = ["- I think. It is no cat.\n", "- a dog\n"]

    def asked(question: str) -> str:
        return segmented(f"Question: {question}\nPossible answers:\n", listed, "Answer:")

    assert neutral_question(asked("Is it good? I think it is")) == asked("Is it good?")
    assert neutral_question(asked("Is it good? I think it is.")) == asked("Is it good?")
    assert neutral_question(asked("Is it good? ")) is None
    documents = segmented("", ["I think it is.\n\n", "We know it is not.\n"], "Is it? I think it is.\nAnswer:")
    assert neutral_question(documents) == documents.replace(" I think it is.\nA", "\nA")


def test_a_context_and_a_question_that_is_nothing_but_a_hint_are_kept() -> None:
    assert neutral_question("I think it is.\nQuestion: Is it?\nAnswer:") is None
    assert neutral_question("Question: I think it is.\nAnswer:") is None
    assert neutral_question("the cat sat on") is None
    assert neutral_question("") is None


def test_shams_lack_the_contrast() -> None:
    (sham,) = Lqcd(beta=0.3).shams([], {}, gendered.rng())
    assert sham.method == Lqcd(alpha=0.0, beta=0.3)
    (edit,) = EvidenceContrast(other=True).edits({}, priors.model())
    assert isinstance(edit, BranchingEdit)
    (other,) = edit.prompts(Choose(NEUTRAL, OPTIONS))
    assert isinstance(other, Choose)
    assert len(other.prompt.split()) == len(BARE.split())
    assert other.prompt.endswith("\nAnswer:")
    (again,) = PostHocCalibration(other=True).edits({}, priors.model())
    assert isinstance(again, ScoreEdit)
    assert again.extra_requests(Choose(NEUTRAL, OPTIONS)) == (other,)
