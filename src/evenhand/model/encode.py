"""From requests to token sequences, with the conventions of lm-evaluation-harness so that scores can be compared.

A prompt is encoded as the model's tokenizer does by default; an empty prompt is the beginning-of-text token (the
end-of-text token where a tokenizer has none). Prompt and option are encoded together and the option is what follows the
prompt's tokens; trailing spaces of the prompt belong to the option. *Differs*: where the tokenizer merges characters
across the border, the prompt's tokens are no prefix of the whole; then all options of the request are scored from the
first token at which any of them leaves the prompt, so that the options stay comparable.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evenhand.core.errors import ModelError, UnsupportedRequest, UsageError
from evenhand.core.requests import Choose, Compare, Complete, NextToken, Request
from evenhand.core.segments import CLOSE, OPEN, split
from evenhand.model.plan import Text

DEFAULT_LENGTH = 2048


class Tokens(list[int]):
    """Token ids that know where the segments of their prompt lie; see `Text.segments`."""

    segments: tuple[int, ...] = ()

    @classmethod
    def of(cls, ids: Sequence[int], marked: tuple[int, ...], moved: int) -> Tokens:
        """Ids whose segments lie `moved` places further to the right than `marked`; what lies before 0 is cut off."""
        made = cls(ids)
        made.segments = tuple(max(0, place + moved) for place in marked)
        return made


def segments(ids: Sequence[int]) -> tuple[int, ...]:
    """Where the segments of a prompt lie, () if it has none."""
    return getattr(ids, "segments", ())


def has_segments(request: Request) -> bool:
    """Whether a request's prompt marks segments."""
    return OPEN in getattr(request, "prompt", "")


@dataclass(slots=True)
class Counts:
    """What had to be done to requests; goes into the record."""

    merged: int = 0  # requests whose tokenizer merged characters across prompt and option
    cut: int = 0  # texts longer than the model's context, cut or scored in windows

    def add(self, other: Counts) -> None:
        """Count what other requests needed."""
        self.merged += other.merged
        self.cut += other.cut


@dataclass(frozen=True, slots=True)
class Encoded:
    """Requests as texts.

    Attributes:
        texts: distinct sequences to score.
        parts: for each request, for each of its options, the numbers of the texts whose scores make it up.
        counts: merged and cut requests.
    """

    texts: list[Text]
    parts: list[tuple[tuple[int, ...], ...]]
    counts: Counts = field(default_factory=Counts)


class Encoder:
    """Turns requests into texts for one tokenizer."""

    def __init__(self, tokenizer: Any, config: Any, *, chat: bool = False) -> None:
        self.tokenizer = tokenizer
        self.chat = chat
        self.length = max_length(tokenizer, config)
        opening = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.opening: int | None = opening
        if chat and not getattr(tokenizer, "chat_template", None):
            raise UsageError("--chat on: this model's tokenizer has no chat template. Use --chat off.")

    @property
    def special_tokens(self) -> str:
        """What opens a text, for the record."""
        by_itself = len(self.ids(["a"])[0]) > len(self.ids(["a"], special=False)[0])
        name = self.tokenizer.convert_ids_to_tokens(self.opening) if self.opening is not None else None
        return f"empty prompt = {name}; prompts {'get' if by_itself else 'do not get'} the tokenizer's special tokens"

    def ids(self, texts: Sequence[str], *, special: bool | None = None) -> list[list[int]]:
        """Token ids; `special` None leaves special tokens to the tokenizer."""
        if not texts:
            return []
        given = {} if special is None else {"add_special_tokens": special}
        quiet = {"verbose": False}  # long texts are cut into windows here, so there is nothing to warn of
        marked = {text for text in texts if OPEN in text or CLOSE in text}
        if not marked:
            encoded: list[list[int]] = self.tokenizer(list(texts), **given, **quiet)["input_ids"]
            return encoded
        usual = iter(self.ids([text for text in texts if text not in marked], special=special))
        return [self._apart(text, special) if text in marked else next(usual) for text in texts]

    def _apart(self, text: str, special: bool | None) -> list[int]:
        """Token ids of a prompt with segments: its parts are encoded apart, special tokens open the first."""
        prefix, parts, suffix = split(text)
        pieces = [self.ids([prefix], special=special)[0] if prefix or special is not False else []]
        pieces += [self.ids([part], special=False)[0] if part else [] for part in (*parts, suffix)]
        ends = list(itertools.accumulate(map(len, pieces)))
        return Tokens.of([token for piece in pieces for token in piece], tuple(ends[:-1]), 0)

    def encode(self, requests: Sequence[Request]) -> Encoded:
        """Texts of `Choose`, `Compare` and `NextToken` requests; equal texts are scored once."""
        self._known = self._encode_strings(requests)
        numbers: dict[Text, int] = {}
        counts = Counts()
        parts = [
            tuple(tuple(numbers.setdefault(text, len(numbers)) for text in option) for option in self._texts(r, counts))
            for r in requests
        ]
        del self._known
        return Encoded(list(numbers), parts, counts)

    def prompts(self, requests: Sequence[Complete], counts: Counts) -> list[list[int]]:
        """Token ids of prompts to be continued, cut on the left so that the continuation fits into the context."""
        heads = [self.formatted(request.prompt) for request in requests]
        out: list[list[int]] = []
        for row, request in zip(self.ids(heads, special=False if self.chat else None), requests, strict=True):
            room = self.length - request.max_new_tokens
            if room < 1:
                raise UsageError(
                    f"{request.max_new_tokens} new tokens leave no room for a prompt: the model's context is "
                    f"{self.length} tokens. Ask for fewer."
                )
            counts.cut += len(row) > room
            opened = row or self._opened([])
            over = max(0, len(opened) - room)
            out.append(Tokens.of(opened[over:], segments(opened), -over))
        return out

    def formatted(self, prompt: str) -> str:
        """The prompt as the tokenizer gets it: as the user's turn of a chat if that was asked for."""
        if not self.chat:
            return prompt
        turns = [{"role": "user", "content": prompt}]
        try:
            text: str = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program: it raises what it likes
            raise ModelError(
                f"The model's chat template fails on a plain question ({type(error).__name__}: {error}). "
                "Use --chat off, or mend the template in the model's folder."
            ) from error
        return text

    def _encode_strings(self, requests: Sequence[Request]) -> dict[tuple[str, bool | None], list[int]]:
        """All strings of all requests encoded in two calls: tokenizers are fast in bulk."""
        default: dict[str, None] = {}
        plain: dict[str, None] = {}
        for request in requests:
            match request:
                case Compare(texts):
                    plain.update(dict.fromkeys(texts))
                case Choose(prompt, options) | NextToken(prompt, options):
                    head, whole = self._head_and_wholes(prompt, options)
                    if prompt and not self.chat:
                        default.update(dict.fromkeys((head, *whole)))
                    else:
                        plain.update(dict.fromkeys((head, *whole)))
                case _:
                    raise UnsupportedRequest(f"{type(request).__name__} is not scored")
        out: dict[tuple[str, bool | None], list[int]] = {}
        for special, strings in ((None, default), (False, plain)):
            out.update(zip(((s, special) for s in strings), self.ids(list(strings), special=special), strict=True))
        return out

    def _head_and_wholes(self, prompt: str, options: Sequence[str]) -> tuple[str, list[str]]:
        """The prompt as it is encoded, and prompt and option together, for each option.

        Trailing spaces of the prompt go to the option. In the chat format the answer begins a turn, so there it has no
        leading space.
        """
        if self.chat and prompt:
            head = self.formatted(prompt)
            return head, [head + option.lstrip(" ") for option in options]
        head = prompt.rstrip()
        return head, [prompt + option for option in options]

    def _texts(self, request: Request, counts: Counts) -> list[list[Text]]:
        match request:
            case Compare(texts):
                return [self._whole(self._known[text, False], counts) for text in texts]
            case Choose(prompt, options):
                wholes, start, _ = self._options(prompt, options, counts)
                return [[self._fitted(whole, start, counts)] for whole in wholes]
            case NextToken(prompt, words):
                wholes, start, own = self._options(prompt, words, counts)
                cut = [Tokens.of(w[: first + 1], segments(w), 0) for w, first in zip(wholes, own, strict=True)]
                return [[self._fitted(w, start, counts)] for w in cut]
        raise UnsupportedRequest(f"{type(request).__name__} is not scored")

    def _whole(self, ids: Sequence[int], counts: Counts) -> list[Text]:
        """A text from its beginning; in windows if it is longer than the model's context."""
        opened = self._opened(ids)
        if len(opened) < 2:
            raise UsageError("A text without any token cannot be scored.")
        if len(opened) <= self.length + 1:
            return [Text(tuple(opened), 1)]
        counts.cut += 1
        starts = range(0, len(opened) - 1, self.length)
        return [Text(tuple(opened[start : start + self.length + 1]), 1) for start in starts]

    def _opened(self, ids: Sequence[int]) -> list[int]:
        if self.opening is None:
            raise UnsupportedRequest("This tokenizer has neither a beginning- nor an end-of-text token to open a text.")
        if ids and ids[0] == self.opening:
            return Tokens.of(ids, segments(ids), 0)
        return Tokens.of([self.opening, *ids], segments(ids), 1)

    def _options(self, prompt: str, options: Sequence[str], counts: Counts) -> tuple[list[list[int]], int, list[int]]:
        """Prompt and option as one sequence each, where scoring begins in all, and each option's own first token."""
        if not options:
            raise UsageError("A request without any option cannot be scored.")
        head, strings = self._head_and_wholes(prompt, options)
        special = None if prompt and not self.chat else False
        before = self._known[head, special]
        wholes = [self._known[whole, special] for whole in strings]
        if not head:
            before, wholes = self._opened([]), [self._opened(whole) for whole in wholes]
        start = len(before)
        own = [_common(before, whole) for whole in wholes]
        agreed = min(own)
        if agreed < start:
            counts.merged += 1
            start = agreed
        for option, whole in zip(options, wholes, strict=True):
            if len(whole) <= start:
                raise UsageError(f"The option {option!r} adds no token to its prompt and cannot be scored.")
        if start == 0:
            opened = [self._opened(whole) for whole in wholes]
            own = [first + len(longer) - len(whole) for first, longer, whole in zip(own, opened, wholes, strict=True)]
            wholes, start = opened, 1
        return wholes, start, own

    def _fitted(self, whole: Sequence[int], start: int, counts: Counts) -> Text:
        """The last tokens that the model's context holds, as lm-evaluation-harness does."""
        over = len(whole) - (self.length + 1)
        if over <= 0:
            return Text(tuple(whole), start, segments(whole))
        counts.cut += 1
        return Text(tuple(whole[over:]), max(1, start - over), Tokens.of((), segments(whole), -over).segments)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def max_length(tokenizer: Any, config: Any) -> int:
    """Tokens that the model takes: what its configuration says, else its tokenizer, else 2,048."""
    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 1:
            return value
    stated = getattr(tokenizer, "model_max_length", None)
    return stated if isinstance(stated, int) and 1 < stated < 10**9 else DEFAULT_LENGTH


def fitted_ids(tokenizer: Any, config: Any, texts: Sequence[str], counts: Counts) -> list[list[int]]:
    """Token ids with special tokens of whole texts for an encoder, cut on the right to its context."""
    if not texts:
        return []
    length = min(max_length(tokenizer, config), tokenizer.model_max_length)
    whole = tokenizer(list(texts), verbose=False)["input_ids"]
    counts.cut += sum(len(row) > length for row in whole)
    cut: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=length)["input_ids"]
    return cut


def requests_hash(requests: Sequence[Request]) -> str:
    """Hash of a list of requests, part of a run's plan."""
    digest = hashlib.sha256()
    for line in itertools.chain(map(repr, requests)):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
