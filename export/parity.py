"""What conversion cost: the exported model beside the checkpoint, on the same real texts."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field

from stream.bundle import Head
from stream.evaluation.prediction import Logits
from stream.evaluation.rows import Row, rows_of
from stream.evaluation.scores import sigmoid
from stream.evaluation.summary import head_scores


class HeadParity(BaseModel):
    """One head before and after."""

    largest_difference: float
    """Of any logit."""
    mean_difference: float
    """Of all logits, absolute."""
    agreement: float
    """Share of texts with the same label; of a multi-label head, share of equal decisions."""
    changed: int
    """How many texts, or entities, do not have the same label."""
    macro_f1_before: float | None = None
    macro_f1_after: float | None = None
    labelled_rows: int = 0

    @property
    def loss(self) -> float:
        """Macro-F1 lost; 0 where it cannot be measured."""
        if self.macro_f1_before is None or self.macro_f1_after is None:
            return 0.0
        return self.macro_f1_before - self.macro_f1_after


class Parity(BaseModel):
    """All heads before and after."""

    rows: int
    heads: dict[str, HeadParity] = Field(default_factory=dict)

    def refusals(self, allowed_loss: float, minimum_agreement: float) -> list[str]:
        """Why this conversion may not be shipped; empty if it may."""
        reasons = []
        for name, head in self.heads.items():
            if not np.isfinite(head.largest_difference):
                reasons.append(f"{name}: its logits are not all finite numbers")
            if head.changed <= 1:
                # Of a few texts a single one is a large share, and says nothing.
                continue
            if head.loss > allowed_loss:
                reasons.append(
                    f"{name}: macro-F1 falls from {head.macro_f1_before:.4f} to "
                    f"{head.macro_f1_after:.4f}, by more than the allowed {allowed_loss:g}"
                )
            if head.agreement < minimum_agreement:
                reasons.append(
                    f"{name}: only {head.agreement:.2%} of the labels agree, "
                    f"wanted are {minimum_agreement:.2%}"
                )
        return reasons


def compare(heads: Sequence[Head], before: Logits, after: Logits, rows: Sequence[Row]) -> Parity:
    """Compare logits (texts × labels) of the same `rows`."""
    parity = Parity(rows=len(rows))
    for head in heads:
        old = before[head.name].astype(np.float64)
        new = after[head.name].astype(np.float64)
        judged = rows_of(head.scope, rows)
        if not len(old):
            # No text of the evaluation names an entity.
            continue
        difference = np.abs(old - new)
        was, now = head.scaled(old), head.scaled(new)
        if head.kind == "single":
            alike = (was.argmax(axis=1) == now.argmax(axis=1))[:, np.newaxis]
        else:
            thresholds = np.array(head.thresholds)
            alike = (sigmoid(was) >= thresholds) == (sigmoid(now) >= thresholds)
        scored_before = head_scores(head, old, judged)
        scored_after = head_scores(head, new, judged)
        parity.heads[head.name] = HeadParity(
            largest_difference=float(difference.max()),
            mean_difference=float(difference.mean()),
            agreement=float(alike.mean()),
            changed=int((~alike.all(axis=1)).sum()),
            macro_f1_before=scored_before.get("macro_f1"),
            macro_f1_after=scored_after.get("macro_f1"),
            labelled_rows=scored_after.get("rows", 0),
        )
    return parity
