"""From an event and its judgement to the records that the score stage publishes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from stream.engine.judgement import Judgement
from stream.labels import SENTIMENT_HEAD, TOPIC_HEAD, Sentiment
from stream.records import (
    Mention,
    NewsEvent,
    Observation,
    Observations,
    Position,
    ScoredEvent,
    ScoredMention,
)
from stream.spikes.novelty import minhash
from stream.text import language
from stream.watchlist import Watchlist, subject_of

ALL = "all"
EXCERPT_CHARACTERS = 120
MAXIMUM_URL_CHARACTERS = 300
PROBABILITY_DIGITS = 4
OBSERVATIONS_PER_RECORD = 500
"""Keeps a record far below the megabyte that brokers accept by default."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that was decoded and given its place."""

    event: NewsEvent
    text: str
    position: Position
    time: datetime


def topic_subject(topic: str) -> str:
    """The subject under which a topic is watched."""
    return f"topic:{topic}"


def compose(
    accepted: Accepted, judgement: Judgement, watchlist: Watchlist, *, bundle: str, scored_at: datetime
) -> tuple[ScoredEvent, list[tuple[str, Observation]]]:
    """Return the scored event, and an observation for each subject that it is counted under."""
    event = accepted.event
    # The worker has checked at its start that the head gives these labels.
    sentiment = cast("Sentiment", judgement[SENTIMENT_HEAD].label)
    probabilities = _rounded(judgement[SENTIMENT_HEAD].probabilities)
    topics = judgement[TOPIC_HEAD] if TOPIC_HEAD in judgement else None
    topic_labels = list(topics.labels) if topics else []
    mentions = _mentions(event, accepted.text, watchlist)
    entities = [
        ScoredMention(
            name=mention.name,
            ticker=mention.ticker,
            subject=subject,
            sentiment=sentiment,
            sentiment_probabilities=probabilities,
        )
        for subject, mention in mentions.items()
    ]
    subjects = [ALL, *map(topic_subject, topic_labels), *mentions]
    identity = event.id or str(accepted.position)
    scored = ScoredEvent(
        id=identity,
        position=accepted.position,
        time=event.time or accepted.time,
        scored_at=scored_at,
        text=accepted.text,
        source=event.source,
        kind=event.kind,
        url=event.url,
        language=language(accepted.text),
        sentiment=sentiment,
        sentiment_probabilities=probabilities,
        confidence=probabilities[sentiment],
        topics=topic_labels,
        topic_probabilities=_rounded(topics.probabilities) if topics else {},
        entities=entities,
        subjects=subjects,
        bundle=bundle,
    )
    negative = sentiment == "negative"
    observation = Observation(
        position=accepted.position,
        id=identity,
        time=accepted.time,
        sentiment=sentiment,
        negative=probabilities["negative"],
        topics=topic_labels,
        signature=minhash(accepted.text),
        excerpt=accepted.text[:EXCERPT_CHARACTERS] if negative else None,
        url=event.url if negative and event.url and len(event.url) <= MAXIMUM_URL_CHARACTERS else None,
    )
    return scored, [(subject, observation) for subject in subjects]


def gather(pairs: Iterable[tuple[str, Observation]], bundle: str) -> list[Observations]:
    """Put the observations of each subject into as few records as their size allows, order kept."""
    by_subject: dict[str, list[Observation]] = {}
    for subject, observation in pairs:
        by_subject.setdefault(subject, []).append(observation)
    return [
        Observations(subject=subject, bundle=bundle, observations=part)
        for subject, observations in by_subject.items()
        for part in _parts(observations)
    ]


def _parts(observations: Sequence[Observation]) -> Iterable[list[Observation]]:
    for start in range(0, len(observations), OBSERVATIONS_PER_RECORD):
        yield list(observations[start : start + OBSERVATIONS_PER_RECORD])


def _mentions(event: NewsEvent, text: str, watchlist: Watchlist) -> dict[str, Mention]:
    """The companies that the event names itself, then those found in its text, each once."""
    mentions: dict[str, Mention] = {}
    for mention in [*(watchlist.resolve(given) for given in event.entities), *watchlist.find(text)]:
        mentions.setdefault(subject_of(mention), mention)
    return mentions


def _rounded(probabilities: dict[str, float]) -> dict[str, float]:
    return {label: round(value, PROBABILITY_DIGITS) for label, value in probabilities.items()}
