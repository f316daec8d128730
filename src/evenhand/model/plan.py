"""From token sequences to packs: which tokens go through the model together. Pure, no torch.

All sequences are sorted, so that neighbours share the longest prefixes: the sorted list is a prefix trie in depth-first
order. A *row* is a run of neighbours; a token that several of them share is computed once. Rows are cut where cutting
duplicates least (a shortest-path problem over the sorted list, solved exactly). A *trunk* is a prefix longer than half
a row that several rows share: it is computed once and kept as key/value cache. A *pack* is a batch of rows of similar
length with one trunk: one forward pass, one commit.

The plan depends on nothing but the sequences and the budget, so that a killed run can go on with the same packs.
The last token of a sequence is only ever predicted, so it is never fed to the model.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Text:
    """A token sequence of which `tokens[start:]` are scored, each given all before it; `start >= 1`.

    `segments`: places of the first token of each segment of its prompt and of the one after the last; () without.
    """

    tokens: tuple[int, ...]
    start: int
    segments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """How large packs may grow.

    Attributes:
        row: tokens in a row; a longer text gets a row of its own. Longer rows share more but cost more attention.
        pack: tokens in a pack, padding included.
        scored: positions in a pack at which the vocabulary head is computed (logits = scored x vocabulary).
    """

    row: int = 256
    pack: int = 1024
    scored: int = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """Texts (numbers into the list that was planned) that share one row, in depth-first order."""

    texts: tuple[int, ...]
    shared: tuple[int, ...]  # tokens that each text shares with the one before it in the row, trunk included
    length: int  # tokens fed to the model, trunk not counted


@dataclass(frozen=True, slots=True)
class Pack:
    """Rows that go through the model together after `trunk` tokens of key/value cache."""

    rows: tuple[Row, ...]
    trunk: int

    @property
    def texts(self) -> tuple[int, ...]:
        """Numbers of the texts whose scores this pack yields, in the order in which they are committed."""
        return tuple(text for row in self.rows for text in row.texts)

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, padding and trunk not counted."""
        return sum(row.length for row in self.rows)


@dataclass(frozen=True, slots=True)
class Plan:
    """All packs of a list of texts, in the order in which they are run."""

    packs: tuple[Pack, ...]
    digest: str

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, trunks not counted."""
        return sum(pack.tokens for pack in self.packs)


def plan(texts: Sequence[Text], budget: Budget) -> Plan:
    """Cut texts into packs. The same texts and budget give the same plan and digest, whatever the machine."""
    order, shared = neighbours(texts)
    groups: list[list[Pack]] = []  # packs of one trunk stay together, so that its cache is made once
    loose: list[Row] = []
    for first, last in _runs(shared, budget.row // 2):
        members = order[first:last]
        inner = [0, *shared[first + 1 : last]]
        lengths = [len(texts[i].tokens) - 1 for i in members]
        trunk, limit = _trunk([texts[i] for i in members], inner, budget.row)
        rows = _rows(lengths, inner, members, trunk, limit)
        if trunk:
            groups.append(batch_rows(rows, texts, trunk, budget))
        else:
            loose += rows
    groups += [[pack] for pack in batch_rows(loose, texts, 0, budget)]
    groups.sort(key=lambda group: -max(row.length + pack.trunk for pack in group for row in pack.rows))
    packs = [pack for group in groups for pack in group]
    return Plan(tuple(packs), digest(texts, packs))


def neighbours(texts: Sequence[Text]) -> tuple[list[int], list[int]]:
    """Numbers of the texts in sorted order, and how many fed tokens each shares with the one before it."""
    arrays = [np.asarray(text.tokens[:-1], dtype=">u4") for text in texts]
    keys = [array.tobytes() for array in arrays]
    order = sorted(range(len(texts)), key=keys.__getitem__)
    return order, [0] + [_common(arrays[a], arrays[b]) for a, b in itertools.pairwise(order)]


def _common(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> int:
    """Length of the common prefix."""
    n = min(len(a), len(b))
    different = a[:n] != b[:n]
    first = int(different.argmax()) if n else 0
    return first if n and different[first] else n


def _runs(shared: Sequence[int], long: int) -> list[tuple[int, int]]:
    """Half-open ranges: runs whose neighbours share at least `long` tokens, and the stretches between them."""
    runs: list[tuple[int, int]] = []
    start = 0
    n = len(shared)
    while start < n:
        end = start + 1
        if end < n and shared[end] >= long:
            while end < n and shared[end] >= long:
                end += 1
        else:
            while end < n and shared[end] < long and not (end + 1 < n and shared[end + 1] >= long):
                end += 1
        runs.append((start, end))
        start = end
    return runs


def _trunk(members: Sequence[Text], shared: Sequence[int], row: int) -> tuple[int, int]:
    """Tokens of cache that a run of neighbours gets, and how long its rows may be.

    A prefix that all members share and that is longer than half a row becomes a trunk if what hangs on it fills more
    than one row. Otherwise the whole run is one row, a little longer than the others: a cache would not pay.
    """
    if len(members) < 2 or min(shared[1:]) <= row // 2:
        return 0, row
    common = min(*shared[1:], *(min(text.start - 1, len(text.tokens) - 2) for text in members))
    nodes = sum(len(text.tokens) - 1 - s for text, s in zip(members, shared, strict=True))
    if nodes - common <= row:
        return 0, max(row, nodes)
    return (common, row) if common > row // 2 else (0, row)


def _rows(lengths: Sequence[int], shared: Sequence[int], members: Sequence[int], trunk: int, row: int) -> list[Row]:
    """Cut a sorted stretch into rows of at most `row` tokens such that the fewest tokens are computed twice.

    best[j] = least number of tokens for the first j texts. A row over texts i..j-1 costs
    lengths[i] - trunk + sum of what each later text adds, so best[j] = added[j] + min_i (best[i] + offset[i]) over the
    i for which the row fits; the minimum slides with j, hence one pass.
    """
    n = len(lengths)
    added = np.zeros(n + 1, dtype=np.int64)
    added[1:] = np.cumsum([length - s for length, s in zip(lengths, shared, strict=True)])
    best = [0] * (n + 1)
    cut = [0] * (n + 1)
    # cost of the row i..j-1 = added[j] - added[i + 1] + lengths[i] - trunk
    offset = [lengths[i] - trunk - int(added[i + 1]) for i in range(n)]
    window: deque[int] = deque()
    first = 0
    for j in range(1, n + 1):
        i = j - 1
        while window and best[window[-1]] + offset[window[-1]] >= best[i] + offset[i]:
            window.pop()
        window.append(i)
        while first < i and int(added[j]) + offset[first] > row:
            first += 1
        while window[0] < first:
            window.popleft()
        cut[j] = window[0]
        best[j] = int(added[j]) + best[cut[j]] + offset[cut[j]]
    rows: list[Row] = []
    j = n
    while j:
        i = cut[j]
        rows.append(Row(tuple(members[i:j]), (trunk, *shared[i + 1 : j]), int(added[j]) + offset[i]))
        j = i
    return rows[::-1]


def batch_rows(rows: Sequence[Row], texts: Sequence[Text], trunk: int, budget: Budget) -> list[Pack]:
    """Batch rows of similar length, the longest first."""
    packs: list[Pack] = []
    batch: list[Row] = []
    longest = scored = 0
    for row in sorted(rows, key=lambda r: (-r.length, r.texts)):
        predicted = sum(len(texts[i].tokens) - texts[i].start for i in row.texts)
        longest = longest or row.length
        if batch and (longest * (len(batch) + 1) > budget.pack or scored + predicted > budget.scored):
            packs.append(Pack(tuple(batch), trunk))
            batch, longest, scored = [], row.length, 0
        batch.append(row)
        scored += predicted
    if batch:
        packs.append(Pack(tuple(batch), trunk))
    return packs


def digest(texts: Sequence[Text], packs: Sequence[Pack]) -> str:
    """Hash of texts and cuts."""
    hashed = hashlib.sha256()
    for text in texts:
        hashed.update(np.asarray((text.start, *text.tokens), dtype="<u4").tobytes())
        hashed.update(b"|")
    for pack in packs:
        hashed.update(repr((pack.trunk, [row.texts for row in pack.rows])).encode())
    return hashed.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Layout:
    """One row as arrays: `N` tokens in depth-first order.

    Attributes:
        tokens: int [N].
        depth: int [N], position in the text, trunk counted.
        end: int [N], number of the first token after this one's subtree: token i sees token j iff j <= i < end[j].
        predictors: int [S], number of the token whose logits predict each scored token, texts in the row's order.
        targets: int [S], the scored tokens.
    """

    tokens: Ints
    depth: Ints
    end: Ints
    predictors: Ints
    targets: Ints


def layout(row: Row, texts: Sequence[Text], trunk: int) -> Layout:
    """Lay the texts of a row out in depth-first order."""
    tokens: list[int] = []
    depth: list[int] = []
    path: list[int] = []  # numbers of the tokens on the way from the trunk to the last token laid
    end: list[int] = []
    predictors: list[int] = []
    targets: list[int] = []
    for number, shared in zip(row.texts, row.shared, strict=True):
        text = texts[number]
        keep = shared - trunk
        for node in path[keep:]:
            end[node] = len(tokens)
        del path[keep:]
        for position in range(shared, len(text.tokens) - 1):
            path.append(len(tokens))
            tokens.append(text.tokens[position])
            depth.append(position)
            end.append(-1)
        predictors += [path[position - 1 - trunk] for position in range(text.start, len(text.tokens))]
        targets += text.tokens[text.start :]
    for node in path:
        end[node] = len(tokens)
    return Layout(*(np.asarray(values, dtype=np.int64) for values in (tokens, depth, end, predictors, targets)))
