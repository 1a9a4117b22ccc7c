"""Counts how often a change that should change nothing changes a label."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from stream.audit.changes import Change
from stream.engine.engine import Result
from stream.engine.judgement import Judgement, Question
from stream.labels import ENTITY_HEAD, SENTIMENT_HEAD

Judge = Callable[[Sequence[Question]], Sequence[Result]]


@dataclass(frozen=True, slots=True)
class Flip:
    """A label that changed."""

    before: str
    """The text."""
    after: str
    entity: str | None
    """The company that the label is about, as the text before names it; None for the text's own."""
    label: str
    changed_to: str
    difference: float
    """What the probability of `label` lost."""


@dataclass(slots=True)
class Kind:
    """What one kind of change did."""

    judged: int = 0
    """Labels that could have changed."""
    flips: list[Flip] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the labels, those that changed."""
        return len(self.flips) / self.judged if self.judged else 0.0

    @property
    def worst(self) -> list[Flip]:
        """The flips, the largest differences first."""
        return sorted(self.flips, key=lambda flip: -flip.difference)


def audit(
    questions: Iterable[tuple[str, tuple[str, ...]]], kinds: dict[str, Change], judge: Judge, seed: int = 0
) -> dict[str, Kind]:
    """Judge texts, with the names of the companies in them, before and after each kind of change."""
    originals = list(questions)
    plain = judge([_question(text, names) for text, names in originals])
    found = {}
    for name, change in kinds.items():
        chance = random.Random(f"{seed} {name}")
        pairs = []
        for (text, names), result in zip(originals, plain, strict=True):
            changed = change(text, names, chance)
            if changed is not None and isinstance(result, Judgement):
                pairs.append((text, names, result, changed))
        kind = found[name] = Kind()
        after = judge([_question(changed.text, changed.names) for _, _, _, changed in pairs])
        for (text, names, before, changed), result in zip(pairs, after, strict=True):
            if isinstance(result, Judgement):
                for flip in _compared(text, names, changed.text, before, result):
                    kind.judged += 1
                    if flip.label != flip.changed_to:
                        kind.flips.append(flip)
    return found


def _question(text: str, names: tuple[str, ...]) -> Question:
    return Question(text, tuple((name,) for name in names))


def _compared(
    text: str, names: tuple[str, ...], changed: str, before: Judgement, after: Judgement
) -> Iterable[Flip]:
    """The text's own label before and after, or those of the companies in it."""
    for index, name in enumerate(names or (None,)):
        one = before.towards(index, ENTITY_HEAD, SENTIMENT_HEAD) if name else before[SENTIMENT_HEAD]
        other = after.towards(index, ENTITY_HEAD, SENTIMENT_HEAD) if name else after[SENTIMENT_HEAD]
        lost = one.confidence - other.probabilities[one.label]
        yield Flip(text, changed, name, one.label, other.label, lost)
