"""Neutral wording of a leading question, by rules: the hint is taken out, the question stays.

Only what is asked is read: from the last "Question:" (or "Q:") on, or else the last paragraph; never a context before
it, where somebody's opinion may be what the question is about, and never a marked segment (`core.segments`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenhand.core.segments import CLOSE, OPEN

_QUESTION = re.compile(rf"(?:^|(?<={CLOSE}))(?:Question|Q):[ \t]*", re.MULTILINE)
_BREAK = re.compile(rf"\n\n|{CLOSE}(?!\s*(?:Answer|A):)")
_ANSWER = re.compile(rf"\n[ \t]*(?:Answer|A):[ \t]*$|\n\(?[Aa1][.)][ \t]|[{OPEN}{CLOSE}]")
_SENTENCE = re.compile(r"[^.!?\n]*[.!?]+[\"')\]]*[ \t]*|[^.!?\n]+\n?|\n")

_SURE = r"(?:pretty|quite|very|fairly|absolutely|rather|almost|completely)?[ ]?(?:sure|certain|convinced|confident)"
_ADVERB = r"(?:really|strongly|personally|honestly|still|would|also|firmly|do|do not|don't)"
_OPENERS = (
    rf"(?:i|we)(?: {_ADVERB})*,? (?:think|believe|guess|suppose|feel|bet|say|reckon|assume|doubt|suspect|know)\b",
    rf"(?:i am|i'm|we are|we're) (?:not )?{_SURE}\b",
    r"i'd say\b",
    r"it (?:really )?(?:seems|looks|appears|sounds)\b",
    r"(?:surely|obviously|clearly|certainly|undoubtedly|naturally|of course|no doubt|without a doubt)\b",
    r"it(?:'s| is) (?:quite |very )?(?:obvious|clear|certain|known|well known)\b",
    r"(?:everyone|everybody|anyone) (?:knows|says|agrees|can see)\b",
    r"(?:as )?(?:everyone|everybody) knows\b",
    r"in my (?:opinion|view)\b",
    r"(?:my|a|an|the) (?:[a-z]+ )?(?:teacher|friend|colleague|boss|expert|professor|doctor|brother|sister) "
    r"(?:of mine )?(?:says?|said|thinks?|told (?:me|us)|believes?|is sure|claims?|claimed)\b",
    r"experts (?:say|agree|think|believe)\b",
    r"the (?:right |correct )?answer (?:is|must be|should be|has to be)\b",
    r"(?:don't|do not) you (?:think|agree)\b",
)
_HINT = re.compile(rf"(?:and |but |so |well,? |now,? |still,? )?(?:{'|'.join(_OPENERS)})", re.IGNORECASE)
_NAMES = re.compile(
    r"\b(?:Yes|No)\b|\banswer (?:is|must be|should be|has to be)\b|"
    r"\b(?:yes|no|(?:it|that)(?:'s| is)(?: not| so)?|(?:it|that) isn't)[.!\"')\]]*$"
)
"""An answer, in a sentence that could be a hint."""
_TAG = re.compile(
    r", (?:right|correct|no|yes|don't you think|wouldn't you (?:say|agree)|(?:is|are|was|were|do|does|did|can|could|"
    r"will|would|has|have)n't (?:it|they|he|she|there|you|that))\?",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"^(\s*)(Is|Are|Was|Were|Do|Does|Did|Can|Could|Will|Would|Has|Have|Should)n't\b")
_CANNOT = re.compile(r"^(\s*)(?:Can't|Won't)\b")


def neutral_question(prompt: str) -> str | None:
    """The prompt without what hints at an answer; None if nothing does, or if nothing would be left.

    Sentences that open with an opinion are left out after the last question; before it they may be what it is about,
    and are left out only if they name an answer. Question tags become a question mark, and a negated question becomes
    a plain one. A hint that is the whole question is no hint.
    """
    begin, end = _asked(prompt)
    before = prompt[begin:end]
    text = _unopinionated(_SENTENCE.findall(before))
    text = _TAG.sub("?", text)
    text = _NEGATED.sub(r"\1\2", text)
    text = _CANNOT.sub(lambda found: found[1] + ("Can" if "Can" in found[0] else "Will"), text)
    if not text.strip() or text == before:
        return None
    tail = before[len(before.rstrip()) :]
    return prompt[:begin] + text.rstrip() + tail + prompt[end:]


def _unopinionated(sentences: Sequence[str]) -> str:
    """The sentences but those that hint at an answer."""
    hints = [bool(_HINT.match(one.strip())) for one in sentences]
    questions = [n for n, one in enumerate(sentences) if "?" in one and not hints[n]]
    last = questions[-1] if questions else len(sentences)
    text = ""
    for number, one in enumerate(sentences):
        if not hints[number] or (number < last and not _NAMES.search(one.strip())):
            text += one
        elif (one.endswith("\n") or sentences[number + 1 : number + 2] == ["\n"]) and text.strip():
            text = text.rstrip(" \t") + "\n" * one.endswith("\n")
    return text


def _asked(prompt: str) -> tuple[int, int]:
    """Where what is asked begins and ends."""
    found = [*_QUESTION.finditer(prompt)]
    begins = [one.end() for one in found or _BREAK.finditer(prompt.rstrip())]
    begin = begins[-1] if begins else 0
    answer = _ANSWER.search(prompt, begin)
    return begin, answer.start() if answer else len(prompt)
