"""lm-evaluation-harness on the very model object and tokenizer that evenhand holds, given the same requests.

It also reads an exported folder by itself, in float32: then nothing of evenhand takes part in its scores.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand.core.requests import Choose, Compare, Request, Response, Scores
from evenhand.model import Model

Asked = tuple[str, str]
"""A context ("" = the model's own beginning of text) and the text whose log-probability is wanted."""
LIMIT = 1e-3
"""Largest difference (nats) between two programs that score the same text."""


class Referee:
    """Answers requests with lm-eval's HFLM.

    Attributes:
        lm: the HFLM around `model.hf`, with what is installed on it, or the one that lm-eval made from a folder.
    """

    def __init__(self, model: Model | Path, *, batch: int) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        os.environ.setdefault("LOGLEVEL", "ERROR")
        from lm_eval.models.huggingface import HFLM

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        given: dict[str, Any] = (
            {"pretrained": str(model), "dtype": "float32", "device": "cpu"}
            if isinstance(model, Path)
            else {"pretrained": model.hf, "tokenizer": model.tokenizer}
        )
        self.lm: Any = HFLM(**given, batch_size=batch)

    def totals(self, requests: Sequence[Request]) -> list[float]:
        """Log-probability (nats) of every text or option of every request, one after the other."""
        return [value for value, _ in self.lm.loglikelihood(instances(asked(requests)), disable_tqdm=True)]


def asked(requests: Sequence[Request]) -> list[Asked]:
    """Requests as lm-eval's pairs of context and continuation."""
    pairs: list[Asked] = []
    for request in requests:
        match request:
            case Compare(texts):
                pairs += [("", text) for text in texts]
            case Choose(prompt, options):
                pairs += [(prompt, option) for option in options]
            case _:
                raise TypeError(f"lm-eval is asked for log-probabilities of texts only, not for {request!r:.80}")
    return pairs


def instances(pairs: Sequence[Asked]) -> list[Any]:
    """Pairs as the objects that `HFLM.loglikelihood` takes."""
    from lm_eval.api.instance import Instance

    return [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=number) for number, pair in enumerate(pairs)
    ]


def totals(responses: Sequence[Response]) -> list[float]:
    """Our log-probabilities (nats) in the same order as `Referee.totals`."""
    out: list[float] = []
    for response in responses:
        if not isinstance(response, Scores):
            raise TypeError(f"expected scores, found {response!r:.80}")
        out += [score.total for score in response.scores]
    return out


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Largest |ours - theirs| (nats); infinite if a number is not finite."""
    differences = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    return max((d if d == d else float("inf") for d in differences), default=0.0)
