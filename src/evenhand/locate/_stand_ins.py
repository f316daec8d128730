"""Stand-ins: tokens of the vocabulary that take the place of words, to see what any other words would have done.

A test of "this head attends to one of two words more than to the other" against zero finds most heads of a model with
random weights: two words have different keys, and so every head prefers one of them, whichever they are. What can be
asked is whether a head tells *these* two apart more than any other two in their place. So the same prompts are read
again and again with other tokens of the same kind (a leading space, letters, a capital) and of like rank in the
vocabulary (nearest by token id, which in most vocabularies goes by frequency), token for token, so that no position
moves. With random weights the words of a prompt and their stand-ins are exchangeable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

NEAR = 400
"""Stand-ins are drawn from so many tokens next in rank, at least."""
_SPACES = "\u0120\u2581"
"""How byte-level and SentencePiece vocabularies write a leading space."""


def stand_ins(
    tokenizer: Any, tokens: Collection[int], count: int, avoid: Collection[int], rng: np.random.Generator
) -> list[Mapping[int, int]]:
    """For each of `count` rivals, a stand-in for each token; within a rival they differ, across rivals mostly.

    Args:
        tokenizer: whose vocabulary it is.
        tokens: token ids to be replaced.
        count: how many rivals.
        avoid: token ids that are no stand-ins, unless there are too few without them.
        rng: the only source of chance.

    Raises:
        DataError: the vocabulary has too few tokens.
    """
    wanted = sorted(set(tokens))
    named = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    kinds = [None if n in special or name is None else _kind(name) for n, name in enumerate(named)]
    pools = {token: _pool(token, kinds, set(avoid) | set(wanted), set(wanted), 2 * max(count, len(wanted)))
             for token in wanted}  # fmt: skip
    used: dict[int, int] = {}
    out: list[Mapping[int, int]] = []
    for _ in range(count):
        chosen: dict[int, int] = {}
        for token in (wanted[n] for n in rng.permutation(len(wanted))):
            free = [one for one in pools[token] if one not in chosen.values()]
            if not free:
                raise DataError(
                    f"The vocabulary of {len(named):,} tokens has too few to stand in for {len(wanted):,} different "
                    "ones. Give fewer items."
                )
            fewest = min(used.get(one, 0) for one in free)
            fresh = [one for one in free if used.get(one, 0) == fewest]
            chosen[token] = fresh[int(rng.integers(len(fresh)))]
            used[chosen[token]] = fewest + 1
        out.append(chosen)
    return out


def _kind(name: str) -> tuple[bool, bool, bool]:
    """Whether a token opens a word, is made of plain letters, has a capital."""
    bare = name.lstrip(_SPACES)
    return name[:1] in _SPACES and name != "", bare.isascii() and bare.isalpha(), bare[:1].isupper()


def _pool(
    token: int, kinds: Sequence[tuple[bool, bool, bool] | None], avoid: set[int], never: set[int], enough: int
) -> list[int]:
    """Tokens of the same kind, the nearest by id; less alike ones where there are too few."""
    own = kinds[token] or (False, True, False)
    found: list[int] = []
    for alike, without in ((3, avoid), (2, avoid), (1, avoid), (0, avoid), (0, never)):
        found = [
            n for n, kind in enumerate(kinds) if kind is not None and n not in without and kind[:alike] == own[:alike]
        ]
        if len(found) >= enough:
            break
    found.sort(key=lambda n: (abs(n - token), n))
    return found[: max(NEAR, enough)]
