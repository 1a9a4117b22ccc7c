"""Probabilities that mean what they say: a temperature per head, a threshold per topic.

Both are fitted on validation rows, never on test rows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logit

from stream.bundle import Head
from stream.evaluation.scores import Bools, Floats, sigmoid

MINIMUM_ROWS = 20
"""Below so many rows a temperature would be luck; the head keeps what was fitted to it before."""

MINIMUM_POSITIVES = 10
"""Below so many positives a tuned threshold would be luck; the label keeps the one that it has."""

LEAST_PRECISION = 0.5
"""A label that is given must be right more often than wrong: F1 alone would give a rare label that
the model has not learnt to every third text of a stream, where most are about something else."""


_THRESHOLDS = sigmoid(np.linspace(-3, 3, 121))
# Of some dozens of rows with a label the best F1 is where chance has put a gap between two of them. So rows count
# by how far they are from a threshold, on the scale of this many logits. On halves of the validation rows, judged
# by the other halves, that gives 0.887 macro-F1 and 0.882 without, and about as much with any blur from 0.5 to 1.
_BLUR = 0.7


def fit_temperature(kind: str, logits: Floats, allowed: Bools, possible: Bools) -> float:
    """The temperature that makes the known labels most likely (Guo et al. 2017); 1.0 without rows.

    Between 0.25 and 8: outside lies a model that validation rows cannot repair.
    """
    known = possible.any(axis=1)
    if not known.any():
        return 1.0
    logits, allowed, possible = logits[known], allowed[known], possible[known]

    def cost(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if kind == "single":
            gap = _logsumexp(scaled, possible) - _logsumexp(scaled, allowed)
            return float(gap.mean())
        each = np.logaddexp(0.0, np.where(allowed, -scaled, scaled))
        return float(each[possible].mean())

    best = minimize_scalar(cost, bounds=(np.log(0.25), np.log(8.0)), method="bounded")
    return float(np.exp(best.x))


def _logsumexp(logits: Floats, mask: Bools) -> Floats:
    masked = np.where(mask, logits, -np.inf)
    result: Floats = np.logaddexp.reduce(masked, axis=1)
    return result


def tune_thresholds(
    probabilities: Floats, allowed: Bools, possible: Bools, earlier: Sequence[float]
) -> list[float]:
    """Per label the threshold of the best F1, of counts that are blurred around it, at a precision of at least
    `LEAST_PRECISION`, on the rows that know it. The `earlier` one where too few rows have the label; at least
    0.5 where no threshold is so precise, since the earlier one is not either."""
    thresholds = []
    for index, threshold in enumerate(earlier):
        known = possible[:, index]
        gold = allowed[known, index]
        if gold.sum() < MINIMUM_POSITIVES or gold.all():
            thresholds.append(threshold)
        else:
            thresholds.append(_best_threshold(probabilities[known, index], gold) or max(threshold, 0.5))
    return thresholds


def _best_threshold(score: Floats, gold: Bools) -> float | None:
    # How far each row is beyond each threshold; a row near it counts in part.
    beyond = logit(np.clip(score, 1e-9, 1 - 1e-9))[:, None] - logit(_THRESHOLDS)
    given = sigmoid(beyond / _BLUR)
    f1 = 2 * given[gold].sum(axis=0) / (given.sum(axis=0) + gold.sum())
    over = beyond >= 0
    right = over[gold].sum(axis=0)
    f1[(right == 0) | (right < LEAST_PRECISION * over.sum(axis=0))] = 0
    best = int(f1.argmax())
    return round(float(_THRESHOLDS[best]), 4) if f1[best] else None


def calibrate(head: Head, logits: NDArray[np.float32], allowed: Bools, possible: Bools) -> Head:
    """The head with its temperature and, for a multi-label one, thresholds."""
    exact = logits.astype(np.float64)
    temperature = fit_temperature(head.kind, exact, allowed, possible)
    update: dict[str, object] = {"temperature": round(temperature, 4)}
    if head.kind == "multi":
        probabilities = sigmoid(exact / temperature)
        update["thresholds"] = tune_thresholds(probabilities, allowed, possible, head.thresholds)
    return head.model_copy(update=update)
