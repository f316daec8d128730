"""What the numbers are called and how they are said in a sentence.

One entry per metric that ships with evenhand; any other metric gets plain words made from its own name. A sentence says
what was seen and where no bias would lie. It never calls a model free of bias: an interval that includes the ideal
means that these items cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from evenhand.core.record import BenchmarkRun
from evenhand.report import numbers, words_answers, words_groups, words_priors
from evenhand.report.wording import UNSURE, BenchmarkWords, ability, answer_bias, preference
from evenhand.report.wording import MetricWords as MetricWords

METRICS: Mapping[str, MetricWords] = {
    "stereotype_rate": preference(
        "Stereotype rate, whole sentence",
        "prefers the stereotypical sentence in {value} of cases",
        "Share of pairs in which the stereotypical sentence has the higher log-probability (sum over its tokens).",
    ),
    "stereotype_rate_per_token": preference(
        "Stereotype rate, per token",
        "prefers the stereotypical sentence in {value} of cases when log-probabilities are averaged over tokens",
        "The same share with the mean log-probability per token, so that length does not count.",
    ),
    "stereotype_rate_shared": preference(
        "Stereotype rate, shared tokens",
        "prefers the stereotypical sentence in {value} of cases when only the tokens that both sentences share count",
        "The same share over the tokens that the two sentences have in common: the words for the groups do not count.",
    ),
    "log_ratio": MetricWords(
        name="Mean log-ratio",
        says="puts the mean log-ratio of the stereotypical to the other sentence at {value}",
        meaning="Mean of log P(stereotypical) minus log P(other) over the pairs, in nats; strong pairs weigh more.",
        above="On average it leans towards the stereotype.",
        below="On average it leans against the stereotype.",
        within=UNSURE,
        digits=2,
    ),
    "abs_log_ratio": MetricWords(
        name="Mean size of the log-ratio",
        says="sets the two sentences of a pair {value} apart on average, in either direction",
        meaning="Mean absolute difference of the log-probabilities of a pair, in nats; it cannot be below 0.",
        digits=2,
        low=0,
    ),
    "ss": preference(
        "Stereotype score (SS)",
        "prefers the stereotypical to the anti-stereotypical continuation in {value} of cases",
        "Share of items in which the stereotypical continuation scores higher; mean over the target terms.",
    ),
    "lms": ability(
        "Language modelling score (LMS)",
        "prefers a continuation that makes sense to an unrelated one in {value} of cases",
        "Share of comparisons in which a continuation that makes sense beats the unrelated one: ability, not bias.",
        "where {ideal} would be always and 50 is chance",
    ),
    "icat": ability(
        "Idealised CAT score (ICAT)",
        "reaches an ICAT of {value}",
        "LMS x min(SS, 100 - SS) / 50: it falls with a lean in either direction and with less ability.",
        "where {ideal} would be full ability without any lean",
    ),
    "bbq_bias_ambiguous": answer_bias(
        "Bias score, ambiguous",
        "when the context does not hold the answer",
        "Balance of answers with and against the stereotype among those that name a person, times the share of "
        "wrong answers; only contexts that do not hold the answer.",
    ),
    "bbq_bias_disambiguated": answer_bias(
        "Bias score, disambiguated",
        "when the context holds the answer",
        "Balance of answers with and against the stereotype among those that name a person; contexts that hold the "
        "answer.",
    ),
    "bbq_bias_ambiguous_pooled": answer_bias(
        "Bias score, ambiguous, pooled",
        "when the context does not hold the answer, all categories counted together",
        "The bias score in ambiguous contexts over all items at once instead of as a mean over categories.",
    ),
    "bbq_bias_disambiguated_pooled": answer_bias(
        "Bias score, disambiguated, pooled",
        "when the context holds the answer, all categories counted together",
        "The bias score in disambiguated contexts over all items at once instead of as a mean over categories.",
    ),
    "bbq_bias_ambiguous_helm": answer_bias(
        "Bias score, ambiguous, as in HELM",
        "when the context does not hold the answer, scaled as in HELM",
        "The bias score in ambiguous contexts times the share of wrong answers over all contexts, as HELM has it.",
    ),
    "bbq_accuracy_ambiguous": ability(
        "Accuracy, ambiguous",
        "is right in {value} of the questions whose context does not hold the answer",
        "Share of right answers where the right answer is that it cannot be known.",
        "where {ideal} would be always and 33 is chance",
    ),
    "bbq_accuracy_disambiguated": ability(
        "Accuracy, disambiguated",
        "is right in {value} of the questions whose context holds the answer",
        "Share of right answers where the context says who it was.",
        "where {ideal} would be always and 33 is chance",
    ),
    "bbq_alignment_cost": MetricWords(
        name="Accuracy gap, against stereotype",
        says="changes its accuracy by {value} when the right answer goes against the stereotype instead of with it",
        meaning="Accuracy where the right answer goes against the stereotype minus accuracy where it goes with it.",
        above="It is right more often when the answer goes against the stereotype.",
        below="It is right less often when the answer goes against the stereotype.",
        within=UNSURE,
        low=-100,
        high=100,
    ),
    "bbq_unknown_rate": MetricWords(
        name="Share of 'unknown' answers",
        says="answers that it cannot be known in {value} of the questions",
        meaning="How often the model picks the 'unknown' option; a model that never picks it must name a person.",
        low=0,
        high=100,
    ),
    "bbq_first_option_rate": MetricWords(
        name="Share of first options",
        says="chooses the first listed option in {value} of the orders",
        meaning="Every order of the answers is asked, so a choice that does not depend on place gives a third.",
        even="where {ideal} would mean that place does not matter",
        above="It leans towards the first place.",
        below="It leans away from the first place.",
        within="The interval includes it: on these items no liking for the first place shows.",
        low=0,
        high=100,
    ),
    "tpr_gap": MetricWords(
        name="Gap of true positive rates",
        says="finds the positive texts of one group more often than those of another by {value}",
        meaning="Largest minus smallest share of a group's positive texts that are found. Chance makes it positive.",
        even="where {ideal} would be alike for all groups",
        low=0,
        high=100,
    ),
    "perplexity": MetricWords(
        name="Perplexity",
        says="has a perplexity of {value} on running text",
        meaning="exp of the mean negative log-probability per token; only comparable between equal tokenizers.",
        digits=2,
        low=1,
    ),
    "bits_per_byte": MetricWords(
        name="Bits per byte",
        says="needs {value} per byte of running text",
        meaning="Negative log-probability in bits per byte of UTF-8; comparable between tokenizers.",
        digits=3,
        low=0,
    ),
    **words_answers.METRICS,
    **words_groups.METRICS,
    **words_priors.METRICS,
}

_BBQ = (
    "Questions about two people, with contexts that hold the answer and contexts that do not. "
    "Does the model fall back on stereotypes?"
)

BENCHMARKS: Mapping[str, BenchmarkWords] = {
    "crows_pairs": BenchmarkWords(
        "CrowS-Pairs",
        "Pairs of sentences that differ in the group they are about; one is more stereotypical. "
        "Which one does the model find more likely?",
    ),
    "pairs": BenchmarkWords(
        "Your own sentence pairs",
        "Pairs of sentences from your file; one is more stereotypical. Which one does the model find more likely?",
    ),
    "stereoset": BenchmarkWords(
        "StereoSet",
        "A sentence about a group with a stereotypical, an anti-stereotypical and an unrelated continuation. "
        "Which does the model find more likely?",
        unit="nats per token",
    ),
    "bbq": BenchmarkWords("BBQ", f"{_BBQ} Answers are scored as text.", unit="nats per token"),
    "bbq_letters": BenchmarkWords("BBQ, lettered answers", f"{_BBQ} Letters are scored, in all orders of the answers."),
    "bbq_lm_eval": BenchmarkWords("BBQ, twelve options", f"{_BBQ} Ten of twelve options say that it cannot be known."),
    "classes": BenchmarkWords(
        "Your own classes",
        "Texts from your file with their classes and groups. Does the classifier find them alike for all groups?",
    ),
    "corpus": BenchmarkWords(
        "Your own text",
        "How well the model predicts text from your file. Not a measure of bias: what a mitigation must not spoil.",
    ),
    "perplexity": BenchmarkWords(
        "Perplexity",
        "How well the model predicts ordinary text. Not a measure of bias: it is what a mitigation must not spoil.",
    ),
    **words_answers.BENCHMARKS,
    **words_groups.BENCHMARKS,
    **words_priors.BENCHMARKS,
}

_SLICES: Mapping[str, str] = {
    "attribute": "attribute",
    "category": "category",
    "concept": "concept",
    "contents": "contents of the prompt",
    "context": "context condition",
    "domain": "domain",
    "field": "field",
    "group": "group",
    "hint": "answer hinted at",
    "label_type": "kind of label",
    "order": "order of the two words",
    "polarity": "polarity of the item",
    "side": "whether the hint is right",
    "subject": "subject",
    "target_group": "target group",
    "task": "task",
}


def metric(name: str, unit: str) -> MetricWords:
    """The words of a metric; plain ones made from its name if it is not ours."""
    known = METRICS.get(name)
    if known is not None:
        return known
    plain = _plain(name)
    return MetricWords(
        name=plain,
        says=f"scores {{value}} on {plain.replace('{', '{{').replace('}', '}}')}",
        meaning="No words for this metric ship with evenhand; see the card of the package it comes from.",
        even="where the ideal is {ideal}",
        digits=1 if unit == "%" else 3,
    )


def benchmark(name: str) -> BenchmarkWords:
    """The words of a benchmark; `bbq[options=letters]` and the like take those of `bbq`, with their own title."""
    base = re.split(r"[^A-Za-z0-9_]", name, maxsplit=1)[0]
    known = BENCHMARKS.get(base)
    if known is None:
        return BenchmarkWords(_plain(name), "")
    return known if base == name else replace(known, title=f"{known.title} {name.removeprefix(base)}")


def number(benchmark_name: str, metric_name: str, unit: str) -> str:
    """`StereoSet: Stereotype score (SS)`; the name once where benchmark and metric are called the same."""
    home, named = benchmark(benchmark_name).title, metric(metric_name, unit).name
    return home if home == named else f"{home}: {named}"


def column(name: str) -> str:
    """`target group`: what a column of an item's groups is called."""
    return _SLICES.get(name, _plain(name))


def slice_title(columns: tuple[str, ...]) -> str:
    """`By category`, `By category and polarity of the item`."""
    return "By " + " and ".join(map(column, columns))


def counts(run: BenchmarkRun) -> str:
    """`1,000 items of 58,492 in 66 clusters, 4 not scored`."""
    text = f"{numbers.count(run.n_items)} items"
    if run.n_items < run.n_available:
        text += f" of {numbers.count(run.n_available)}"
    text += f" in {numbers.count(run.n_clusters)} clusters"
    return text + (f", {numbers.count(run.n_unscored)} not scored" if run.n_unscored else "")


def _plain(name: str) -> str:
    return name.replace("_", " ").strip() or "unnamed"
