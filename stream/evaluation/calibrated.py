"""A bundle fitted to labelled rows: which heads change, what that brings, and the new folder."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.bundle import CARD, Bundle, Head, put_in_place, write_manifest
from stream.evaluation.fit import Fit, cross_fitted, fit
from stream.evaluation.identity import text_key
from stream.evaluation.prediction import Logits
from stream.evaluation.rows import Row, rows_of
from stream.evaluation.scores import Bools, Floats, masks, single_scores, softmax

LEAST_TEXTS = 20
"""With fewer texts, or companies of texts, the prior would decide, and the cross-validation could not tell."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Change:
    """What fitting one head brings on rows that were held out from the fit."""

    head: str
    rows: int
    """Copies of a text, or of a text's company, not counted."""
    before: Figures
    after: Figures

    @property
    def helps(self) -> bool:
        """Whether held-out labels are more probable than before, and those given no worse by both measures.

        Of a label with two rows the probabilities may gain by never giving it.
        """
        worse = all(self.after[name] < self.before[name] for name in ("accuracy", "macro_f1"))
        return self.after["log_loss"] < self.before["log_loss"] and not worse


def calibrated_heads(
    heads: Sequence[Head], logits: Logits, rows: Sequence[Row]
) -> tuple[list[Head], list[Change]]:
    """The heads, those over a single label fitted where rows know it, and what that brings.

    A head over entities of which too few are labelled moves with its fallback: both give the same labels
    for the same kind of opinion: see `moved_with`. Raises `ValueError` where no head has rows enough.
    """
    fits: dict[str, Fit] = {}
    changes: list[Change] = []
    there: list[str] = []
    for head in heads:
        if head.kind != "single":
            continue
        judged = rows_of(head.scope, rows)
        allowed, possible = masks(judged, head.name, head.labels)
        exact = allowed.sum(axis=1) == 1
        if head.scope == "entity":
            # The text answers for those that do not stand in it.
            exact &= np.array([bool(row.entities[0].spans) for row in judged], dtype=bool)
        gold = allowed[exact].argmax(axis=1)
        known = [row for row, one in zip(judged, exact.tolist(), strict=True) if one]
        keys = [text_key(row.text) for row in known]
        names = [row.entities[0].name if head.scope == "entity" else "" for row in known]
        distinct = len(set(zip(keys, names, strict=True)))
        if distinct < LEAST_TEXTS or len(np.unique(gold)) < 2:
            vague = int((allowed.any(axis=1) & (allowed.sum(axis=1) > 1)).sum())
            there.append(_found(head, distinct, gold, vague))
            continue
        scores = head.scaled(logits[head.name][exact])
        fits[head.name] = fit(scores, gold, possible[exact])
        after = cross_fitted(scores, gold, possible[exact], keys)
        changes.append(
            Change(
                head.name,
                distinct,
                _figures(scores, allowed[exact], possible[exact], head.labels),
                _figures(after, allowed[exact], possible[exact], head.labels),
            )
        )
    if not fits:
        raise ValueError(
            f"at least {LEAST_TEXTS} texts that have a label, and two labels among them, are needed, copies not "
            f"counted; there are, {'; '.join(there)}"
        )
    fitted = []
    for head in heads:
        found = fits.get(head.name) or fits.get(head.fallback or "")
        fitted.append(found.applied_to(head) if found else head)
    return fitted, changes


def _found(head: Head, distinct: int, gold: NDArray[np.int64], vague: int) -> str:
    """What there is for a head that cannot be fitted."""
    counts = Counter(head.labels[index] for index in gold.tolist())
    labels = ", ".join(f"{count} {label}" for label, count in counts.items()) or "none"
    only = f", and {vague} rows that only rule labels out, such as `negative: false`" if vague else ""
    return f"of {head.name}: {distinct} (rows: {labels}{only})"


def moved_with(before: Sequence[Head], after: Sequence[Head], changes: Sequence[Change]) -> list[str]:
    """In a sentence each, the heads that moved with their fallback while too few rows measure them."""
    measured = {change.head for change in changes}
    return [
        f"{new.name} moves with {new.fallback}, and too few rows measure what that brings"
        for old, new in zip(before, after, strict=True)
        if new != old and new.name not in measured
    ]


def write_calibrated(bundle: Bundle, heads: list[Head], changes: Sequence[Change], out: Path) -> Bundle:
    """Write the bundle with these heads to `out`, and what was measured into its card and manifest."""
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        staging.chmod(0o755)
        for name in bundle.manifest.files:
            shutil.copyfile(bundle.folder / name, staging / name)
        with (staging / CARD).open("a", encoding="utf-8") as card:
            card.write(_section(bundle, changes, moved_with(bundle.manifest.heads, heads, changes)))
        measured = {change.head: {"before": change.before, "after": change.after} for change in changes}
        metrics = bundle.manifest.metrics | {"calibration": {"from": bundle.hash, "heads": measured}}
        write_manifest(staging, bundle.manifest.model_copy(update={"heads": heads, "metrics": metrics}))
        return put_in_place(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _figures(scores: Floats, allowed: Bools, possible: Bools, labels: Sequence[str]) -> Figures:
    found = single_scores(scores, allowed, possible, labels)
    probabilities: NDArray[np.float64] = softmax(np.where(possible, scores, -np.inf))[allowed]
    return {
        "accuracy": found["accuracy"],
        "macro_f1": found["macro_f1"],
        "log_loss": float(-np.log(np.maximum(probabilities, 1e-12)).mean()),
    }


def _section(bundle: Bundle, changes: Sequence[Change], unmeasured: Sequence[str]) -> str:
    lines = [
        "",
        "## Calibrated",
        "",
        f"Temperature and offsets were fitted to labelled rows, from bundle {bundle.hash}. By cross-validation:",
        "",
        "| head | rows | accuracy | macro-F1 | log loss |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for change in changes:
        cells = [
            f"{change.before[name]:.3f} → {change.after[name]:.3f}"
            for name in ("accuracy", "macro_f1", "log_loss")
        ]
        lines.append(f"| {change.head} | {change.rows} | {' | '.join(cells)} |")
    for sentence in unmeasured:
        lines += ["", f"{sentence}."]
    return "\n".join(lines) + "\n"
