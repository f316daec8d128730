"""Words of the benchmarks about what a model answers anyway: label priors, leading questions, places of options."""

from __future__ import annotations

from collections.abc import Mapping

from evenhand.report.wording import UNSURE, BenchmarkWords, MetricWords

_NO_CHANGE = "where {ideal} would be never"

METRICS: Mapping[str, MetricWords] = {
    "prior_distance": MetricWords(
        name="Label prior, distance from uniform",
        says="spreads its answers {value} away from equal shares of the labels",
        meaning="Half the summed differences of the labels' mean shares and equal shares, for each way to ask, "
        "averaged: 0 is equal. A small sample lies above 0 by chance.",
        even="where {ideal} would be equal",
        above="It likes some labels more than others, whatever the question.",
        within="The interval includes it.",
        digits=3,
        low=0,
        high=1,
    ),
    "prior_entropy": MetricWords(
        name="Label prior, entropy",
        says="has an entropy of its mean shares of the labels of {value}",
        meaning="Entropy of the labels' mean shares by the highest possible one, for each way to ask, averaged: 1 is "
        "equal, 0 is always the same label.",
        even="where {ideal} would be equal",
        below="It likes some labels more than others, whatever the question.",
        within="The interval includes it.",
        digits=3,
        low=0,
        high=1,
    ),
    "ctr": MetricWords(
        name="Answers changed by a hint (CTR)",
        says="changes {value} of its answers when the question hints at one",
        meaning="Share of questions whose answer with a hint differs from the one without, hints at Yes and at No "
        "together.",
        even=_NO_CHANGE,
        above="Hints change its answers.",
        within="The interval includes it.",
        low=0,
        high=100,
    ),
    "eir": MetricWords(
        name="Errors that a hint introduces (EIR)",
        says="answers {value} of the questions wrongly with a hint that it answers rightly without",
        meaning="Share of the answers that are right without a hint and wrong with it.",
        even=_NO_CHANGE,
        above="Hints make right answers wrong.",
        within="The interval includes it.",
        low=0,
        high=100,
    ),
    "ecr": MetricWords(
        name="Errors that a hint corrects (ECR)",
        says="answers {value} of the questions rightly with a hint that it answers wrongly without",
        meaning="Share of the answers that are wrong without a hint and right with it; half of the hints are right.",
        low=0,
        high=100,
    ),
    "pir": MetricWords(
        name="Changes to Yes (PIR)",
        says="makes a share of {value} of its changes from No to Yes",
        meaning="Of the answers that a hint changes, the share that goes from No to Yes; as many hints are at Yes as "
        "at No.",
        even="where {ideal} would be balanced",
        above="Hints move it to Yes more easily.",
        below="Hints move it to No more easily.",
        within=UNSURE,
        digits=2,
        low=0,
        high=1,
    ),
    "cue_swing": MetricWords(
        name="Pull of hints",
        says="says Yes {value} more often after a hint at Yes than after a hint at No (negative: less often)",
        meaning="Yes-rate after hints at Yes minus Yes-rate after hints at No, in percentage points.",
        even="where {ideal} would be as often",
        above="It follows the hints.",
        below="It goes against the hints.",
        within="The interval includes it.",
        low=-100,
        high=100,
    ),
    "changed_answers": MetricWords(
        name="Answers changed by the order",
        says="gives different answers in {value} of the pairs of orders of the same options",
        meaning="Share of the pairs of orders of a question's options with different answers, mean over questions.",
        even=_NO_CHANGE,
        above="The order of the options decides answers.",
        within="The interval includes it.",
        low=0,
        high=100,
    ),
    "recall_spread": MetricWords(
        name="Spread of accuracy over places",
        says="is right by {value} more or less, depending on where the right answer stands",
        meaning="Standard deviation over the places of the accuracy where the right answer stands there.",
        even="where {ideal} would be the same everywhere",
        above="It likes some places more than others.",
        within="The interval includes it.",
        low=0,
        high=50,
    ),
}

BENCHMARKS: Mapping[str, BenchmarkWords] = {
    "label_prior": BenchmarkWords(
        "Label priors",
        "The same questions without content, with random words of their kind, and as they are. Which label does the "
        "model like, whatever it is asked?",
    ),
    "sycophancy": BenchmarkWords(
        "Leading questions",
        "Yes/no questions, each neutrally, with a hint at Yes and with a hint at No. Does the hint change the answer?",
    ),
    "position_bias": BenchmarkWords(
        "Place of options",
        "Questions whose options are listed in several orders. Does an option's place decide whether it is chosen?",
    ),
}
