"""Whether a new bundle should take the place of the one in use: both on the same rows, and how sure that is.

Source: the paired bootstrap, Efron and Tibshirani 1993.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.bundle import Bundle, Head
from stream.evaluation.prediction import predict_rows
from stream.evaluation.rows import Row, rows_of
from stream.evaluation.scores import Bools, Floats, masks
from stream.evaluation.summary import scores_of_kind
from stream.settings import EngineSettings

RESAMPLES = 500
_SEED = 17


@dataclass(frozen=True, slots=True)
class Difference:
    """Macro-F1 of one head by both bundles."""

    head: str
    rows: int
    in_use: float
    new: float
    low: float
    high: float
    """Between these lies the difference, by 95 of 100."""


def compare_bundles(in_use: Bundle, new: Bundle, rows: Sequence[Row]) -> list[Difference]:
    """The heads that both have with the same labels, on the rows that know something of them."""
    if not rows:
        return []
    settings = EngineSettings()
    old_logits, new_logits = predict_rows(in_use, settings, rows), predict_rows(new, settings, rows)
    old_heads = {head.name: head for head in in_use.manifest.heads}
    found = []
    for head in new.manifest.heads:
        old = old_heads.get(head.name)
        if old is None or not _comparable(old, head):
            continue
        judged = rows_of(head.scope, rows)
        allowed, possible = masks(judged, head.name, head.labels)
        known = possible.any(axis=1)
        if known.any():
            before = old.scaled(old_logits[head.name])
            after = head.scaled(new_logits[head.name])
            found.append(
                _difference((old, before[known]), (head, after[known]), allowed[known], possible[known])
            )
    return found


def lost_heads(in_use: Bundle, new: Bundle) -> list[str]:
    """The heads of the bundle in use that the new one lacks, or has without some of their labels."""
    heads = {head.name: head for head in new.manifest.heads}
    return [
        old.name
        for old in in_use.manifest.heads
        if old.name not in heads or not _can_what(heads[old.name], old)
    ]


def uncompared_heads(in_use: Bundle, differences: Sequence[Difference], lost: Sequence[str]) -> list[str]:
    """The heads that are not lost, and of which no difference is known."""
    settled = {one.head for one in differences}.union(lost)
    return [head.name for head in in_use.manifest.heads if head.name not in settled]


def _can_what(new: Head, old: Head) -> bool:
    """Whether the new head tells all that the old one does, in whatever order, and perhaps more."""
    return (new.kind, new.scope) == (old.kind, old.scope) and set(old.labels) <= set(new.labels)


def _comparable(old: Head, new: Head) -> bool:
    return (old.labels, old.kind, old.scope) == (new.labels, new.kind, new.scope)


def _difference(
    old: tuple[Head, Floats], new: tuple[Head, Floats], allowed: Bools, possible: Bools
) -> Difference:
    generator = np.random.default_rng(_SEED)
    count = len(allowed)

    def gain(chosen: NDArray[np.int64]) -> float:
        first, second = (
            _macro_f1(head, logits[chosen], allowed[chosen], possible[chosen]) for head, logits in (old, new)
        )
        return second - first

    gains = [gain(generator.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.quantile(gains, [0.025, 0.975])
    return Difference(
        head=new[0].name,
        rows=count,
        in_use=_macro_f1(*old, allowed, possible),
        new=_macro_f1(*new, allowed, possible),
        low=float(low),
        high=float(high),
    )


def _macro_f1(head: Head, logits: Floats, allowed: Bools, possible: Bools) -> float:
    return float(scores_of_kind(head, logits, allowed, possible).get("macro_f1", 0.0))


def advice(
    differences: Sequence[Difference], lost: Sequence[str] = (), uncompared: Sequence[str] = ()
) -> str:
    """Whether to switch, and why, in a sentence; never to where a head is `lost`, or `uncompared`."""
    worse = [one.head for one in differences if one.high < 0]
    better = [one.head for one in differences if one.low > 0]
    faults = []
    if lost:
        faults.append(f"lacks {', '.join(lost)}, or some of its labels")
    if worse:
        faults.append(f"is worse at {', '.join(worse)}")
    if faults:
        return f"stay: the new bundle {' and '.join(faults)}" + (
            f", though better at {', '.join(better)}" if better else ""
        )
    unknown = f"{', '.join(uncompared)} could not be compared (other labels, or no row with one)"
    if better and uncompared:
        return f"undecided: the new bundle is better at {', '.join(better)}, but {unknown}"
    if better:
        return f"switch: the new bundle is better at {', '.join(better)}, and at nothing clearly worse"
    return "stay: these rows show no clear difference; label more, or judge by other rows" + (
        f"; {unknown}" if uncompared else ""
    )
