"""Fits a single-label head to labelled rows: a temperature and an offset per label.

Sets agree on what is good and bad news, but not on where neutral ends; a user's own stream has a boundary of
its own, and some fifty labelled rows tell where it is. That is multinomial logistic regression of the model's
scores with one slope for all labels (bias-corrected temperature scaling, Alexandari et al. 2020), with Gaussian
priors around what the bundle has. The cost is convex, and Newton's method finds its minimum in a few steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.bundle import Head
from stream.evaluation.scores import Bools, Floats, softmax

OFFSET_SPREAD = 1.0
"""Standard deviation of the prior of an offset, in logits."""
SLOPE_SPREAD = 0.5
"""That of the slope, relative to the bundle's."""
LOWEST_SLOPE = 0.1
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted, relative to the head as it was."""

    slope: float
    """Factor on the scaled logits."""
    shift: NDArray[np.float64]
    """Added to the offsets, one per label; they add up to 0."""

    def applied_to(self, head: Head) -> Head:
        """The head with another temperature and other offsets."""
        offsets = (np.array(head.offsets) if head.offsets else np.zeros(len(head.labels))) * self.slope
        return head.model_copy(
            update={
                "temperature": round(head.temperature / self.slope, 4),
                "offsets": [round(float(offset), 4) for offset in offsets + self.shift],
            }
        )


def fit(scores: Floats, gold: NDArray[np.int64], possible: Bools) -> Fit:
    """Fit to rows: their scores (rows × labels), their labels' indices, and which labels they could have."""
    labels = scores.shape[1]
    theta = np.concatenate([[1.0], np.zeros(labels)])
    start = theta.copy()
    precision = np.concatenate([[SLOPE_SPREAD**-2], np.full(labels, OFFSET_SPREAD**-2)])
    onehot = np.eye(labels)[gold]
    # Each label's score as a linear function of (slope, offsets): rows × labels × parameters.
    design = np.concatenate(
        [scores[:, :, None], np.broadcast_to(np.eye(labels), (len(scores), labels, labels))], axis=2
    )

    def cost(point: Floats) -> float:
        values = np.where(possible, design @ point, -np.inf)
        probability = softmax(values)[np.arange(len(gold)), gold]
        return float(
            -np.log(np.maximum(probability, 1e-300)).sum() + 0.5 * (precision * (point - start) ** 2).sum()
        )

    for _ in range(50):
        probabilities = softmax(np.where(possible, design @ theta, -np.inf))
        gradient = np.einsum("nk,nkp->p", probabilities - onehot, design) + precision * (theta - start)
        spread = np.einsum("nk,nkp,nkq->pq", probabilities, design, design)
        mean = np.einsum("nk,nkp->np", probabilities, design)
        hessian = spread - mean.T @ mean + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and cost(theta - size * step) > cost(theta):
            size /= 2
        theta = theta - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    shift = theta[1:] - theta[1:].mean()
    return Fit(max(float(theta[0]), LOWEST_SLOPE), shift)


def folds(gold: NDArray[np.int64], keys: Sequence[str], count: int = FOLDS) -> NDArray[np.int64]:
    """A fold for each row, in turn within each label, so that every fold has its share of all; those of the same
    text, by its key, are in one."""
    place: dict[str, int] = {}
    for label in np.unique(gold):
        new = dict.fromkeys(keys[index] for index in np.flatnonzero(gold == label).tolist())
        texts = [key for key in new if key not in place]
        place |= {key: number % count for number, key in enumerate(texts)}
    return np.array([place[key] for key in keys], dtype=np.int64)


def cross_fitted(scores: Floats, gold: NDArray[np.int64], possible: Bools, keys: Sequence[str]) -> Floats:
    """Each row's scores by a fit to the other folds: what to expect of texts that were not fitted to."""
    place = folds(gold, keys)
    result = scores.copy()
    for number in np.unique(place):
        held_out = place == number
        found = fit(scores[~held_out], gold[~held_out], possible[~held_out])
        result[held_out] = found.slope * scores[held_out] + found.shift
    return result
