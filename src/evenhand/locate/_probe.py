"""Probes: how well labels are predicted from activations, for groups of items that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, assert_never

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Kind = Literal["ridge", "logistic", "mlp"]
Predict = Callable[["Ints", int], "Ints"]
"""Labels [N] and a seed to the labels [N] that are predicted for each item when its group is held out."""


def held_out(groups: Sequence[str], folds: int, rng: np.random.Generator) -> Ints:
    """The fold of each item, int [N]: whole groups, as evenly as their number allows."""
    import numpy as np

    names, number = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    of_group = np.empty(len(names), dtype=np.int64)
    of_group[rng.permutation(len(names))] = np.arange(len(names)) % min(folds, len(names))
    return of_group[number]


def predictor(kind: Kind, x: Floats, folds: Ints, classes: int, *, penalty: float, hidden: int) -> Predict:
    """A probe on activations [N, D], brought to mean 0 and spread 1 by the training items of each fold.

    `ridge`: least squares on labels coded +1 and -1, one column for each class, with an intercept that is not
    penalised; the largest column wins. What it predicts is linear in the coded labels, so that a thousand shuffled
    labels cost one matrix product. `logistic` and `mlp` (one hidden layer of ReLU) are fitted afresh for all labels.
    """
    match kind:
        case "ridge":
            return _ridge(x, folds, classes, penalty)
        case "logistic" | "mlp":
            return _fitted(kind, x, folds, penalty, hidden)
        case _:
            assert_never(kind)


def macro_f1(labels: Ints, predicted: Ints) -> float:
    """Mean over the classes that occur among the labels of 2 TP / (2 TP + FP + FN)."""
    import numpy as np

    found = []
    for one in np.unique(labels):
        both = np.sum((labels == one) & (predicted == one))
        found.append(2 * both / (np.sum(labels == one) + np.sum(predicted == one)))
    return float(np.mean(found))


def _standard(x: Floats, train: NDArray[np.bool_]) -> Floats:
    import numpy as np

    spread = x[train].std(axis=0)
    out: Floats = (x - x[train].mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    return out


def _ridge(x: Floats, folds: Ints, classes: int, penalty: float) -> Predict:
    """The hat matrix of each fold: held-out items by training items."""
    import numpy as np

    hats = []
    for fold in np.unique(folds):
        train = folds != fold
        z = _standard(x, train)
        kernel = z[train] @ z[train].T + penalty * np.eye(int(train.sum()))
        centring = np.eye(int(train.sum())) - 1 / train.sum()
        hat = z[~train] @ z[train].T @ np.linalg.solve(kernel, centring) + 1 / train.sum()
        hats.append((train, hat))

    def predict(labels: Ints, seed: int) -> Ints:
        coded = np.where(np.arange(classes) == labels[:, None], 1.0, -1.0)
        out = np.empty(len(labels), dtype=np.int64)
        for train, hat in hats:
            out[~train] = np.argmax(hat @ coded[train], axis=1)
        return out

    return predict


def _fitted(kind: Literal["logistic", "mlp"], x: Floats, folds: Ints, penalty: float, hidden: int) -> Predict:
    """scikit-learn's classifiers, fitted for every fold."""
    import numpy as np

    parts = [(folds != fold, _standard(x, folds != fold)) for fold in np.unique(folds)]

    def predict(labels: Ints, seed: int) -> Ints:
        out = np.empty(len(labels), dtype=np.int64)
        for train, z in parts:
            if len(np.unique(labels[train])) < 2:
                out[~train] = labels[train][0]
                continue
            made = _classifier(kind, penalty, hidden, seed)
            made.fit(z[train], labels[train])
            out[~train] = made.predict(z[~train])
        return out

    return predict


def _classifier(kind: Literal["logistic", "mlp"], penalty: float, hidden: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if kind == "logistic":
        return LogisticRegression(C=1.0 / penalty, max_iter=2000)
    return MLPClassifier((hidden,), alpha=1e-4, learning_rate_init=1e-3, max_iter=1000, tol=1e-3, random_state=seed)
