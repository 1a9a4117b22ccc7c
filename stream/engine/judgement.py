"""What the model says of one text: per head, probabilities and the labels that they amount to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.bundle import Head

Floats = npt.NDArray[np.float64]

DECIMALS = 6
"""Labels are taken from the rounded probabilities, so that a record never contradicts itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One head's answer."""

    labels: tuple[str, ...]
    """The most probable label of a `single` head; those over their thresholds of a `multi` one."""
    probabilities: dict[str, float]
    """By label, in the order of the manifest; of a `single` head they add up to 1."""

    @property
    def label(self) -> str:
        """The label of a `single` head."""
        (label,) = self.labels
        return label

    @property
    def confidence(self) -> float:
        """The probability of a `single` head's label."""
        return self.probabilities[self.label]


@dataclass(frozen=True, slots=True)
class Question:
    """A normalised text to judge, and the entities in it to judge beside."""

    text: str
    entities: tuple[tuple[str, ...], ...] = ()
    """Per entity its names, the best first: the text is searched for them in this order."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """All heads' answers to one text: `judgement["sentiment"].label`."""

    verdicts: Mapping[str, Verdict]
    """Of the heads over texts, by name, in the order of the manifest."""
    entities: tuple[Mapping[str, Verdict], ...] = ()
    """Per entity of the question, the verdicts of the heads over entities; empty where the bundle has none,
    or the text does not have the entity."""

    def towards(self, entity: int, head: str, fallback: str) -> Verdict:
        """What a head over entities says of one; where it says nothing, what `fallback` says of the text."""
        own = self.entities[entity] if entity < len(self.entities) else {}
        return own[head] if head in own else self.verdicts[fallback]

    def __getitem__(self, head: str) -> Verdict:
        return self.verdicts[head]

    def __contains__(self, head: object) -> bool:
        return head in self.verdicts


@dataclass(frozen=True, slots=True)
class JudgementError:
    """Stands where a text's judgement would: this text makes the tokenizer or the model fail."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def probabilities(head: Head, logits: npt.NDArray[np.floating]) -> Floats:
    """Turn logits (texts × labels) into calibrated probabilities of the same shape."""
    scaled = head.scaled(logits)
    if head.kind == "multi":
        # By way of tanh, which cannot overflow.
        return 0.5 * (1.0 + np.tanh(0.5 * scaled))
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: Floats = weights / weights.sum(axis=1, keepdims=True)
    return result


def verdicts(head: Head, logits: npt.NDArray[np.floating]) -> list[Verdict]:
    """One head's answers to a batch, from its finite logits (texts × labels)."""
    values = probabilities(head, logits).round(DECIMALS)
    labels = head.labels
    if head.kind == "multi":
        given = values >= np.asarray(head.thresholds)
        chosen = [
            tuple(label for label, yes in zip(labels, row, strict=True) if yes) for row in given.tolist()
        ]
    else:
        chosen = [(labels[best],) for best in values.argmax(axis=1).tolist()]
    return [
        Verdict(labels=names, probabilities=dict(zip(labels, row, strict=True)))
        for names, row in zip(chosen, values.tolist(), strict=True)
    ]


def judgements(
    heads: Sequence[Head],
    logits: Mapping[str, npt.NDArray[np.floating]],
    placed: Sequence[Sequence[bool]],
) -> list[Judgement]:
    """All heads' answers to a batch.

    `logits` holds each head's by name: of heads over texts texts × labels, of heads over entities
    entities × labels. `placed` tells for each text which of its entities the latter are of, in order.
    """
    of_texts = [head for head in heads if head.scope == "text"]
    columns = [verdicts(head, logits[head.name]) for head in of_texts]
    names = [head.name for head in of_texts]
    answers = _entity_answers([head for head in heads if head.scope == "entity"], logits)
    return [
        Judgement(
            verdicts=dict(zip(names, row, strict=True)),
            entities=tuple(next(answers) if there else {} for there in flags),
        )
        for row, flags in zip(zip(*columns, strict=True), placed, strict=True)
    ]


def _entity_answers(
    heads: Sequence[Head], logits: Mapping[str, npt.NDArray[np.floating]]
) -> Iterator[dict[str, Verdict]]:
    answered = [head for head in heads if head.name in logits]
    columns = [verdicts(head, logits[head.name]) for head in answered]
    for row in zip(*columns, strict=True):
        yield {head.name: verdict for head, verdict in zip(answered, row, strict=True)}
