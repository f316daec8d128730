"""A prompt without its evidence: without what the answer has to be drawn from.

The evidence of a question with a context is the context: the lines or the paragraph before the last "Question:" (or
"Q:"), unless that paragraph is an instruction. Without a context it is the question itself, or what stands before the
first listed option. What stands round it (instruction, listed options, "Answer:") is kept. Marked segments
(`core.segments`) are the context where they stand before the question, and listed options where they follow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from evenhand.core.requests import Choose, Complete, NextToken, Request
from evenhand.core.segments import CLOSE, OPEN, plain

Free = Literal["none", "na", "both"]
_QUESTION = re.compile(rf"(?:^|(?<={CLOSE}))(?:Question|Q):[ \t]*", re.MULTILINE)
_LISTED = re.compile(r"^\(?[Aa1][.)][ \t]", re.MULTILINE)
_END = re.compile(
    rf"(?:^|(?<={CLOSE}))(?:Answer|A):|{_LISTED.pattern}|(?:^[^\n]*:\n)?{OPEN}",  # segments, and a line that says so
    re.MULTILINE,
)
_INSTRUCTION = re.compile(
    r"(?:answer|choose|pick|select|decide|say|tell|reply|respond|read|please|the following)\b", re.IGNORECASE
)


def without(prompt: str, stand_in: str) -> str | None:
    """The prompt with a stand-in for its evidence; "" leaves it out. None if no evidence is found.

    A context that is left out takes the line ends after it along. No blanks are left at the end that the prompt did
    not have: they would change the tokens of what follows. Where all segments go, so do their marks.
    """
    made = _without(prompt, stand_in)
    if made is None:
        return None
    made = made.rstrip() + prompt[len(prompt.rstrip()) :]
    return made if OPEN in made and CLOSE in made else plain(made)


def _without(prompt: str, stand_in: str) -> str | None:
    asked = [*_QUESTION.finditer(prompt)]
    if not asked:
        first = _LISTED.search(prompt)
        if first is None:
            return None
        begin = prompt.rfind("\n\n", 0, first.start()) + 2 if "\n\n" in prompt[: first.start()] else 0
        return _replaced(prompt, begin, first.start(), stand_in)
    question = asked[-1]
    head = prompt[: question.start()].rstrip(f" \t\n{CLOSE}")
    begin = head.rfind("\n\n") + 2 if "\n\n" in head else 0
    begin = min(begin, head.find(OPEN)) if OPEN in head else begin
    context = head[begin:]
    if context.strip() and not _INSTRUCTION.match(context.strip()) and not _QUESTION.search(context):
        if not stand_in:
            return prompt[:begin] + prompt[question.start() :]
        return prompt[:begin] + stand_in + prompt[len(head) :]
    end = _END.search(prompt, question.end())
    return _replaced(prompt, question.end(), end.start() if end else len(prompt), stand_in)


def branches(free: Free) -> Callable[[Request], tuple[Request, ...]]:
    """What asks a request again without its evidence, once or twice; nothing where there is none."""
    stand_ins = {"none": ("",), "na": ("N/A",), "both": ("", "N/A")}[free]

    def prompts(request: Request) -> tuple[Request, ...]:
        if not isinstance(request, Choose | NextToken | Complete):
            return ()
        found = [bare for text in stand_ins if (bare := without(request.prompt, text)) is not None]
        return tuple(with_prompt(request, prompt) for prompt in found if prompt != request.prompt)

    return prompts


def with_prompt(request: Choose | NextToken | Complete, prompt: str) -> Request:
    """The same request under another prompt."""
    return replace(request, prompt=prompt)


def _replaced(prompt: str, begin: int, end: int, stand_in: str) -> str | None:
    """The prompt with a stand-in for what lies there; None if nothing but space does."""
    text = prompt[begin:end]
    kept = text[len(text.rstrip()) :]
    return prompt[:begin] + stand_in + kept + prompt[end:] if text.strip() else None
