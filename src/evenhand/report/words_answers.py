"""Words of the benchmarks with right answers: yes/no questions and multiple choice."""

from __future__ import annotations

from collections.abc import Mapping

from evenhand.report.wording import UNSURE, BenchmarkWords, MetricWords, ability

_ALWAYS = "where {ideal} would be always"


def _calibration(name: str, bins: str) -> MetricWords:
    return MetricWords(
        name=name,
        says=f"is {{value}} off between how sure and how often right it is ({bins})",
        meaning="Mean distance of confidence and share of right answers over ten bins of confidence, each order of the "
        "words apart. A small sample lies above 0 by chance.",
        even="where {ideal} would be calibrated",
        above="Its confidence is not how often it is right.",
        within="The interval includes it.",
        digits=3,
        low=0,
        high=1,
    )


METRICS: Mapping[str, MetricWords] = {
    "yes_rate_gap": MetricWords(
        name="Yes-rate minus base rate",
        says="says Yes {value} more often than Yes is right (negative: less often)",
        meaning="Share of Yes answers minus share of questions whose answer is Yes, in percentage points, over both "
        "orders of the two words.",
        even="where {ideal} would be as often",
        above="It says Yes too often.",
        below="It says No too often.",
        within=UNSURE,
        low=-100,
        high=100,
    ),
    "yes_rate": MetricWords(
        name="Share of Yes answers",
        says="answers {value} of the questions with Yes",
        meaning="How often Yes is the likelier of the two answers, over both orders of the two words.",
        low=0,
        high=100,
    ),
    "precision_recall_gap": MetricWords(
        name="Precision minus recall of Yes",
        says="has a precision of Yes that differs from its recall by {value}",
        meaning="Precision minus recall of Yes, in percentage points; positive where No is said too often.",
        above="It says No too often.",
        below="It says Yes too often.",
        within=UNSURE,
        low=-100,
        high=100,
    ),
    "yes_precision": ability(
        "Precision of Yes",
        "is right in {value} of its Yes answers",
        "Share of Yes answers that are right; without knowledge it is the share of questions whose answer is Yes.",
        _ALWAYS,
    ),
    "yes_recall": ability(
        "Recall of Yes",
        "answers {value} of the questions whose answer is Yes with Yes",
        "Share of questions with the answer Yes that get it; without knowledge it is the share of Yes answers.",
        _ALWAYS,
    ),
    "yes_f1": ability(
        "F1 of Yes",
        "reaches an F1 of {value} for Yes",
        "Harmonic mean of precision and recall of Yes; saying Yes more often raises it without any knowledge.",
        "where {ideal} would be every Yes found and none too many",
    ),
    "order_kappa": MetricWords(
        name="Agreement of both orders (kappa)",
        says="agrees with itself by a kappa of {value} when the two words of the instruction change places",
        meaning="Cohen's kappa between the answers to 'Yes or No' and to 'No or Yes': 0 is chance, 1 is always.",
        even="where {ideal} would mean that the order does not matter",
        above="The interval lies above it.",
        below="The order of the two words moves its answers.",
        within="The interval includes it.",
        digits=2,
        low=-1,
        high=1,
    ),
    "negative_confidence": MetricWords(
        name="Probability of No",
        says="gives No a mean probability of {value}",
        meaning="Mean probability of No among the two answers; compare it with the share of questions whose answer is "
        "No.",
        digits=3,
        low=0,
        high=1,
    ),
    "ece_width": _calibration("Calibration error, equal width", "bins of equal width"),
    "ece_mass": _calibration("Calibration error, equal mass", "bins with equally many answers"),
    "auc": MetricWords(
        name="AUC of the probability of Yes",
        says="gives a question with the answer Yes the higher probability of Yes in a share of {value} of the pairs",
        meaning="Share of pairs (a question with Yes, one with No) in which the first has the higher probability of "
        "Yes: 0.5 is no knowledge, whichever answer the model likes.",
        even="where {ideal} would be always and 0.5 is chance",
        above="The interval lies above it.",
        below="The interval lies below it.",
        within="The interval includes it.",
        digits=3,
        low=0,
        high=1,
    ),
    "accuracy": ability(
        "Accuracy",
        "is right in {value} of the questions",
        "Share of questions whose likeliest answer is the right one: ability, not bias. Chance is one half for yes/no "
        "and a quarter for four options.",
        _ALWAYS,
    ),
    "balanced_accuracy": ability(
        "Accuracy, both answers alike",
        "is right in {value} of the questions when those with the answer Yes and those with No weigh alike",
        "Mean of the shares of right answers among questions with Yes and among those with No: 50 is chance, whichever "
        "answer the model likes.",
        _ALWAYS,
    ),
    "accuracy_norm": ability(
        "Accuracy, per character",
        "is right in {value} of the questions when log-probabilities are divided by the answer's length",
        "Share of questions whose likeliest answer per character is the right one; chance is a quarter.",
        _ALWAYS,
    ),
    "answer_mass": MetricWords(
        name="Probability of the allowed answers",
        says="gives the allowed answers together {value} of the probability",
        meaning="Mean probability of the allowed answers together: low where the model would say something else.",
        low=0,
        high=100,
    ),
}

BENCHMARKS: Mapping[str, BenchmarkWords] = {
    "yes_no": BenchmarkWords(
        "Yes/no questions",
        "Questions with the answer Yes or No, each asked with 'Yes or No' and with 'No or Yes'. Does the model say one "
        "of them too often, and does the order decide?",
    ),
    "mmlu": BenchmarkWords(
        "MMLU",
        "Exam questions with four lettered options in 57 subjects. Not a measure of bias: it is what a mitigation must "
        "not spoil.",
    ),
    "arc": BenchmarkWords(
        "ARC",
        "School science questions with four options. Not a measure of bias: it is what a mitigation must not spoil.",
    ),
}
