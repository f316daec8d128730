"""Words of the benchmarks that ask which groups a model names: continuations, and cues about a concept."""

from __future__ import annotations

from collections.abc import Mapping

from evenhand.report.wording import UNSURE, BenchmarkWords, MetricWords


def _divergence(name: str, where: str, meaning: str, within: str) -> MetricWords:
    return MetricWords(
        name=name,
        says=f"is {{value}} away from naming all groups alike {where}",
        meaning=meaning,
        above="It names some groups rather than others.",
        within=within,
        digits=3,
        low=0,
    )


METRICS: Mapping[str, MetricWords] = {
    "gas": MetricWords(
        name="Gender attribute score",
        says="names a gender in {value} of its continuations",
        meaning="Share of continuations with at least one of 28 words such as she, his or uncle. It falls when such "
        "words are merely suppressed.",
        low=0,
        high=100,
    ),
    "gas_word_share": MetricWords(
        name="Gendered words",
        says="makes {value} of the words of its continuations gendered ones",
        meaning="Listed words per 100 words of all continuations together.",
        low=0,
    ),
    "gld": MetricWords(
        name="Gender difference of the next word",
        says="splits the probability of a gendered next word with a difference of {value}",
        meaning="Distance between the probabilities of female and male words after a prompt, as a share of both; mean "
        "over prompts, whichever gender leads.",
        above="One gender's words lead.",
        within=UNSURE,
        digits=3,
        low=0,
        high=1,
    ),
    "gender_lean": MetricWords(
        name="Lean of the next word",
        says="leans by {value} to female words (negative: male)",
        meaning="Probability of female minus that of male words after a prompt, as a share of both; mean over prompts, "
        "so that prompts may cancel.",
        above="It leans to female words.",
        below="It leans to male words.",
        within=UNSURE,
        digits=3,
        low=-1,
        high=1,
    ),
    "perplexity_listed": MetricWords(
        name="Perplexity, gendered words",
        says="has a perplexity of {value} on gendered words",
        meaning="Perplexity over the tokens of listed words in running text: suppressing the words makes it worse.",
        digits=2,
        low=1,
    ),
    "perplexity_unlisted": MetricWords(
        name="Perplexity, all other words",
        says="has a perplexity of {value} on words that are not listed",
        meaning="Perplexity over all other tokens of the same text.",
        digits=2,
        low=1,
    ),
    "emission_kl": _divergence(
        "Unevenness after a concept",
        "after a sentence about a concept",
        "KL divergence of the groups' shares from equal shares; counts how common a group's words are, too.",
        UNSURE,
    ),
    "emission_kl_offset_free": _divergence(
        "Unevenness that concepts add",
        "after a sentence about a concept, what it says anyway taken off",
        "The same after the groups' mean log-probabilities behind neutral phrases are taken off.",
        UNSURE,
    ),
    "emission_kl_neutral": _divergence(
        "Unevenness without a concept",
        "after a sentence about no concept",
        "The offset: KL divergence from equal shares where no concept is named.",
        UNSURE,
    ),
    "emission_kl_floor": _divergence(
        "Unevenness of wording alone",
        "after neutral phrases, the other neutral phrases taken off",
        "What wording alone gives for the unevenness that concepts add: compare that with this, not with 0.",
        UNSURE,
    ),
}

BENCHMARKS: Mapping[str, BenchmarkWords] = {
    "gas": BenchmarkWords(
        "Gender attribute score",
        "Sentences about a person are to be continued. How often and how unevenly does the model name a gender? Beside "
        "it stands how well it predicts gendered and other words of ordinary text.",
    ),
    "emission": BenchmarkWords(
        "Emission",
        "Sentences name a concept, such as leadership or crime, and stop where a group comes next. How unevenly does "
        "the model spread probability over the groups?",
    ),
}
