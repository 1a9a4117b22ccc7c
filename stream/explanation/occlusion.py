"""Which words drove a judgement: what the model says without each of them.

Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", for the idea of occlusion.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.engine.engine import Result
from stream.engine.judgement import JudgementError, Question
from stream.explanation.words import without
from stream.labels import ENTITY_HEAD, SENTIMENT_HEAD
from stream.names import Span, places

Judge = Callable[[Sequence[Question]], Sequence[Result]]


@dataclass(frozen=True, slots=True)
class Influence:
    """What one word does to the probability of a label."""

    word: str
    start: int
    """Its first character's index."""
    change: float
    """The label's probability with the word, less that without it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A judgement and the words behind it."""

    label: str
    probabilities: dict[str, float]
    influences: list[Influence]
    """In the order of the text."""

    def strongest(self, count: int) -> list[Influence]:
        """The words that speak most for the label, the strongest first."""
        speaking = [one for one in self.influences if one.change > 0]
        return sorted(speaking, key=lambda one: -one.change)[:count]


def explain(
    text: str,
    found: Sequence[Span],
    judge: Judge,
    *,
    entity: Sequence[str] = (),
    others: Sequence[Sequence[str]] = (),
    label: str | None = None,
) -> Explanation:
    """Explain the sentiment of a normalised text, of which `found` are the words, or that towards an entity.

    `entity`: the names of the one that is asked about, if any; `others`: those of further companies, which the
    model is to read as it did when it judged the text. `label`: whose probability is explained; without it, that
    of the label that the model gives. Raises `ValueError` where the text does not name the entity, or the model
    fails on it, or knows no such label.
    """
    names = tuple(tuple(forms) for forms in ([entity, *others] if entity else others))
    named = [places(text, forms) for forms in names]
    if entity and not named[0]:
        raise ValueError(f"the text does not name {entity[0]!r}")
    # Without its name nothing would be asked about an entity.
    taken = [place for places_of_one in named for place in places_of_one]
    kept = [word for word in found if not any(word[0] < end and start < word[1] for start, end in taken)]
    questions = [Question(text, names), *(Question(without(text, word), names) for word in kept)]
    answers = [_probabilities(result, of_entity=bool(entity)) for result in judge(questions)]
    whole = answers[0]
    label = label or max(whole, key=lambda each: whole[each])
    if label not in whole:
        raise ValueError(f"{label!r} is none of {', '.join(whole)}")
    return Explanation(
        label,
        whole,
        [
            Influence(text[slice(*word)], word[0], round(whole[label] - answer[label], 6))
            for word, answer in zip(kept, answers[1:], strict=True)
        ],
    )


def _probabilities(result: Result, *, of_entity: bool) -> dict[str, float]:
    if isinstance(result, JudgementError):
        raise ValueError(f"the text cannot be judged: {result}")  # noqa: TRY004  # of the text, not of a type
    verdict = result.towards(0, ENTITY_HEAD, SENTIMENT_HEAD) if of_entity else result[SENTIMENT_HEAD]
    return verdict.probabilities
