"""How good the predictions are, counting only what the rows know.

Sources: expected calibration error after Guo et al. 2017; macro-F1 is the unweighted mean of the
labels' F1, over the labels that occur.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.rows import Row

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def masks(rows: Sequence[Row], head: str, labels: Sequence[str]) -> tuple[Bools, Bools]:
    """`allowed` and `possible` of each row (rows × labels); all False where nothing is known."""
    allowed = np.zeros((len(rows), len(labels)), dtype=bool)
    possible = np.zeros_like(allowed)
    for index, row in enumerate(rows):
        target = row.targets.get(head)
        if target is not None:
            allowed[index] = [label in target.allowed for label in labels]
            possible[index] = [label in target.possible for label in labels]
    return allowed, possible


def softmax(logits: Floats) -> Floats:
    """Along the last axis; entries of -inf get probability 0."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))
    return result


def label_accuracy(logits: Floats, allowed: Bools, possible: Bools) -> dict[str, Any]:
    """In how many of the rows that rule a label out the best of the possible labels is right, and of how many."""
    known = allowed.any(axis=1) & (possible & ~allowed).any(axis=1)
    if not known.any():
        return {}
    best = np.where(possible, logits, -np.inf)[known].argmax(axis=1)
    right = allowed[known, best]
    return {"rows": len(right), "accuracy": float(right.mean())}


def single_scores(logits: Floats, allowed: Bools, possible: Bools, labels: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro-F1, confusion (gold × predicted) and calibration of a single-label head.

    Rows that rule a label out count; each prediction is the best among the row's possible labels. Where a row
    allows several, such as all but negative, one of these is right but finds none of them, and another is a
    false one of its label. Confusion and calibration are of rows with one allowed label. `logits` are already
    divided by the temperature.
    """
    known = allowed.any(axis=1) & (possible & ~allowed).any(axis=1)
    exact = allowed[known].sum(axis=1) == 1
    if not exact.any():
        return {}
    logits, allowed, possible = logits[known], allowed[known], possible[known]
    probabilities = softmax(np.where(possible, logits, -np.inf))
    predicted = probabilities.argmax(axis=1)
    right = allowed[np.arange(len(predicted)), predicted]
    gold = allowed[exact].argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (gold, predicted[exact]), 1)
    found = np.diag(confusion)
    given = np.bincount(predicted[exact | ~right], minlength=len(labels))
    bins = reliability(probabilities[exact].max(axis=1), right[exact])
    by_label = {
        label: _label_scores(int(found[index]), int(given[index]), int(confusion[index].sum()))
        for index, label in enumerate(labels)
    }
    return {
        "rows": len(right),
        "accuracy": float(right.mean()),
        "macro_f1": _macro_f1(by_label),
        "labels": by_label,
        "confusion": confusion.tolist(),
        "calibration_error": calibration_error(bins),
        "reliability": bins,
    }


def multi_scores(
    probabilities: Floats,
    thresholds: Floats,
    allowed: Bools,
    possible: Bools,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Precision, recall and F1 per label, over the rows that know it; their macro-F1 and micro-F1."""
    if not possible.any():
        return {}
    given = probabilities >= thresholds
    by_label = {
        label: _label_scores(
            int((given & allowed)[:, index].sum()),
            int((given & possible)[:, index].sum()),
            int(allowed[:, index].sum()),
        )
        for index, label in enumerate(labels)
        if possible[:, index].any()
    }
    right = int((given & allowed).sum())
    everything = _label_scores(right, int((given & possible).sum()), int(allowed.sum()))
    known = possible.sum()
    bins = reliability(
        np.maximum(probabilities, 1 - probabilities)[possible],
        ((probabilities >= 0.5) == allowed)[possible],
    )
    return {
        "rows": int(possible.any(axis=1).sum()),
        "accuracy": float(((given == allowed) & possible).sum() / known),
        "macro_f1": _macro_f1(by_label),
        "micro_f1": everything["f1"],
        "labels": by_label,
        "calibration_error": calibration_error(bins),
        "reliability": bins,
    }


def negative_scores(
    logits: Floats, allowed: Bools, possible: Bools, labels: Sequence[str], precision: float = 0.8
) -> dict[str, Any]:
    """How well P(negative) finds negatives: what an alerting service lives by.

    `polarity_accuracy` is over rows that are positive or negative, between these two alone; `auc`
    and `recall_at_precision` (the highest recall at a precision of at least `precision`) are over
    all rows that know whether they are negative, neutral told apart or not.
    """
    negative, positive = labels.index("negative"), labels.index("positive")
    polar = (allowed.sum(axis=1) == 1) & (allowed[:, negative] | allowed[:, positive])
    result: dict[str, Any] = {}
    if polar.any():
        more_negative = logits[polar, negative] > logits[polar, positive]
        result["polarity_accuracy"] = float((more_negative == allowed[polar, negative]).mean())
        result["polarity_rows"] = int(polar.sum())
    known = possible[:, negative] & ((allowed.sum(axis=1) == 1) | ~allowed[:, negative])
    gold = allowed[known, negative]
    if gold.any() and not gold.all():
        # Among the possible labels, or a set without neutral would be judged by its absence.
        score = softmax(np.where(possible[known], logits[known], -np.inf))[:, negative]
        result["auc"] = area_under_roc(score, gold)
        result["recall_at_precision"] = recall_at_precision(score, gold, precision)
        result["negative_rows"] = int(gold.sum())
    return result


def area_under_roc(score: Floats, gold: Bools) -> float:
    """Probability that a random gold row scores above a random other one, ties counted half (Mann-Whitney)."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(gold.sum())
    above = ranks[gold].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(gold) - positives)))


def recall_at_precision(score: Floats, gold: Bools, precision: float) -> float:
    """The highest recall of any threshold whose precision is at least `precision`; 0 where none is."""
    order = np.argsort(-score, kind="stable")
    right = np.cumsum(gold[order])
    # Rows of the same score are taken together.
    last = np.append(score[order][1:] != score[order][:-1], True)
    precise = last & (right >= precision * np.arange(1, len(order) + 1))
    return float(right[precise].max(initial=0) / gold.sum())


def reliability(confidence: Floats, right: Bools, bins: int = 15) -> list[dict[str, float]]:
    """Mean confidence and accuracy in equally wide bins of confidence; empty bins are left out."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[place == index].mean()),
            "accuracy": float(right[place == index].mean()),
            "rows": int((place == index).sum()),
        }
        for index in np.unique(place)
    ]


def calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """Expected calibration error: the mean gap of confidence and accuracy, over all rows."""
    rows = sum(item["rows"] for item in bins)
    gap = sum(item["rows"] * abs(item["confidence"] - item["accuracy"]) for item in bins)
    return gap / rows if rows else 0.0


def _label_scores(right: int, predicted: int, gold: int) -> dict[str, float]:
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / gold if gold else 0.0,
        "f1": 2 * right / (predicted + gold) if predicted + gold else 0.0,
        "rows": gold,
    }


def _macro_f1(by_label: dict[str, dict[str, float]]) -> float:
    occurring = [scores["f1"] for scores in by_label.values() if scores["rows"]]
    return float(np.mean(occurring)) if occurring else 0.0
