"""Word Embedding Association Test: are the words of one set nearer to A than to B, compared with those of another set?

Caliskan, Bryson, Narayanan, Science 356, 2017 (https://doi.org/10.1126/science.aal4230):

    s(w) = mean over a in A of cos(w, a) - mean over b in B of cos(w, b)
    d    = (mean over X of s - mean over Y of s) / standard deviation of s over X and Y, with n - 1
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


def effect_size(x: Vectors, y: Vectors, a: Vectors, b: Vectors) -> float:
    """Effect size d of four sets of vectors, [n, D] each: -2 to 2, NaN if all words of X and Y associate alike."""
    associations = [_unit(w) @ _unit(a).T for w in (x, y)], [_unit(w) @ _unit(b).T for w in (x, y)]
    first, second = (to_a.mean(1) - to_b.mean(1) for to_a, to_b in zip(*associations, strict=True))
    spread = np.concatenate([first, second]).std(ddof=1)
    return float((first.mean() - second.mean()) / spread) if spread > 0 else float("nan")


def _unit(vectors: Vectors) -> Vectors:
    made: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made
