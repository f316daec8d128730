"""What the metrics of leading questions share: the source, and the columns of the neutral and the leading answer."""

from __future__ import annotations

LQCD = (
    "Towards Analyzing and Mitigating Sycophancy in Large Vision-Language Models. Zhao et al., 2024. "
    "https://arxiv.org/abs/2408.11261"
)
OWN_FORMULA = "The paper's formula was not at hand; this one is our reading of the name and of summaries."
CHANGED = ("said_yes", "said_yes_neutral")
RIGHT = ("correct", "correct_neutral")
