"""How far the texts of late are from those that the model was trained on. Pure.

A profile says of several aspects of a text (its language, its length, what the model answers and how surely) how
often each value comes. The distance of two profiles is the population stability index of each aspect,
Σ (p − q) ln (p / q): up to 0.1 is hardly any, over 0.25 much. Source: Siddiqi 2006, "Credit Risk Scorecards".
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from stream.bundle import Head
from stream.engine.judgement import Judgement
from stream.text import language

Profile = dict[str, dict[str, float]]
"""By aspect and value the share of texts; of an aspect they add up to 1."""

_LENGTHS = (16, 32, 64, 96, 128)
_UNKNOWN = (0.0, 0.02, 0.1)
_CONFIDENCES = (0.5, 0.7, 0.9, 0.97)
# A value that was never met counts as this share, so that one odd text is no catastrophe.
_LEAST = 0.001
_NONE = "none"


def aspects(
    text: str, ids: Sequence[int], unknown_id: int | None, judgement: Judgement, heads: Iterable[Head]
) -> dict[str, list[str]]:
    """The values of a text, by its tokens' `ids` and what the model answered.

    Several of one aspect share its weight.
    """
    unknown = sum(one == unknown_id for one in ids) / max(1, len(ids))
    found: dict[str, list[str]] = {
        "language": [language(text)],
        "tokens": [_bin(len(ids), _LENGTHS)],
        "unknown tokens": [_bin(unknown, _UNKNOWN)],
    }
    for head in heads:
        if head.scope == "entity":
            continue
        verdict = judgement[head.name]
        found[head.name] = list(verdict.labels) or [_NONE]
        if head.kind == "single":
            found[f"{head.name} confidence"] = [_bin(verdict.confidence, _CONFIDENCES)]
    return found


def _bin(value: float, bounds: Sequence[float]) -> str:
    place = bisect_left(bounds, value)
    return f"up to {bounds[place]:g}" if place < len(bounds) else f"over {bounds[-1]:g}"


class Mix:
    """Values of texts, the older ones of which may count less and less."""

    def __init__(self, half_life_texts: float = math.inf) -> None:
        self._growth = 2 ** (1 / half_life_texts)
        self._weight = 1.0
        self._counts: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, values: Mapping[str, Sequence[str]], weight: float = 1.0) -> None:
        """Take one text."""
        # The newest grow instead of all others shrinking; before the numbers get too large, all are scaled.
        self._weight *= self._growth
        if self._weight > 1e100:
            for counts in self._counts.values():
                for value in counts:
                    counts[value] /= self._weight
            self._weight = 1.0
        for aspect, each in values.items():
            for value in each:
                self._counts[aspect][value] += self._weight * weight / len(each)

    @property
    def profile(self) -> Profile:
        """The shares so far, rounded."""
        return {
            aspect: {value: round(count / sum(counts.values()), 5) for value, count in sorted(counts.items())}
            for aspect, counts in sorted(self._counts.items())
        }


def drift(profile: Profile, recent: Profile) -> dict[str, float]:
    """The population stability index of each aspect that both have."""
    return {
        aspect: sum(
            (q - p) * math.log(q / p)
            for p, q in (
                (max(profile[aspect].get(value, 0.0), _LEAST), max(recent[aspect].get(value, 0.0), _LEAST))
                for value in profile[aspect].keys() | recent[aspect].keys()
            )
        )
        for aspect in profile.keys() & recent.keys()
    }
