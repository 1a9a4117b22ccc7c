"""All figures of a model on the test rows: overall, by language, by set."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from stream.bundle import Head
from stream.evaluation.prediction import Logits
from stream.evaluation.rows import Row, entity_rows, rows_of
from stream.evaluation.scores import (
    Bools,
    label_accuracy,
    masks,
    multi_scores,
    negative_scores,
    sigmoid,
    single_scores,
)


def summarise(
    heads: Sequence[Head], logits: Logits, rows: Sequence[Row], apart: Collection[str] = ()
) -> dict[str, Any]:
    """Per head: `all`, `by_language` and `by_set`, each with the figures of `stream.evaluation.scores`.

    Sets in `apart`, of a kind that was not trained on, are only in `by_set`.
    """
    summary = {head.name: _summarise_head(head, logits, rows_of(head.scope, rows), apart) for head in heads}
    for head in heads:
        if head.scope == "entity":
            summary[head.name] |= _summarise_opposed(head, heads, logits, rows)
    return summary


def _summarise_opposed(
    head: Head, heads: Sequence[Head], logits: Logits, rows: Sequence[Row]
) -> dict[str, Any]:
    """A head over entities on those texts that are for one entity and against another, beside its fallback:
    what a judgement of the whole text would say of them."""
    owners = np.array([index for index, row in enumerate(rows) for _ in row.entities], dtype=np.intp)
    against = np.array([_is_opposed(head, row) for row in rows], dtype=bool)
    if not against.any():
        return {}
    chosen = against[owners]
    judged = [row for row, opposed in zip(entity_rows(rows), chosen.tolist(), strict=True) if opposed]
    found = {"opposed": head_scores(head, logits[head.name][chosen].astype(np.float64), judged)}
    for text_head in heads:
        if text_head.name == head.fallback:
            as_text = text_head.model_copy(update={"name": head.name})
            answers = logits[text_head.name][owners[chosen]].astype(np.float64)
            found["opposed_as_text"] = head_scores(as_text, answers, judged)
    return found


def _is_opposed(head: Head, row: Row) -> bool:
    known = [entity.targets[head.name].allowed for entity in row.entities if head.name in entity.targets]
    return frozenset({"negative"}) in known and frozenset({"positive"}) in known


def _summarise_head(
    head: Head, logits: Logits, rows: Sequence[Row], apart: Collection[str]
) -> dict[str, Any]:
    every = np.arange(len(rows))
    languages = np.array([row.language for row in rows])
    sources = np.array([row.source for row in rows])
    counted = ~np.isin(sources, list(apart))

    def at(chosen: np.ndarray[Any, np.dtype[np.intp]]) -> dict[str, Any]:
        return head_scores(
            head, logits[head.name][chosen].astype(np.float64), [rows[index] for index in chosen]
        )

    by_language = {
        str(name): at(every[counted & (languages == name)]) for name in np.unique(languages[counted])
    }
    by_set = {str(name): at(every[sources == name]) for name in np.unique(sources)}
    return {
        "all": at(every[counted]),
        "by_language": {name: found for name, found in by_language.items() if found},
        "by_set": {name: found for name, found in by_set.items() if found},
    }


def scores_of_kind(
    head: Head, logits: np.ndarray[Any, np.dtype[np.float64]], allowed: Bools, possible: Bools
) -> dict[str, Any]:
    """The figures of `single_scores` or `multi_scores`, whichever the head is."""
    if head.kind == "single":
        return single_scores(logits, allowed, possible, head.labels)
    return multi_scores(sigmoid(logits), np.array(head.thresholds), allowed, possible, head.labels)


def head_scores(
    head: Head, logits: np.ndarray[Any, np.dtype[np.float64]], rows: Sequence[Row]
) -> dict[str, Any]:
    """The figures of one head on these rows; empty where no row knows anything of it."""
    allowed, possible = masks(rows, head.name, head.labels)
    if not possible.any():
        return {}
    calibrated = head.scaled(logits)
    found = scores_of_kind(head, calibrated, allowed, possible)
    if not found and head.kind == "single":
        # Rows that only rule a label out, such as all those of false alarms, tell this much.
        found = label_accuracy(calibrated, allowed, possible)
    raw = scores_of_kind(head, logits, allowed, possible)
    if head.kind == "single" and {"negative", "positive"} <= set(head.labels):
        found |= negative_scores(calibrated, allowed, possible, head.labels)
    if raw:
        found["calibration_error_without_temperature"] = raw["calibration_error"]
    return found
