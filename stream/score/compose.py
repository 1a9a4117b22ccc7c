"""From an event and its judgement to the records that the score stage publishes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from stream.engine.judgement import Judgement, Question, Verdict
from stream.labels import ALL, ENTITY_HEAD, SENTIMENT_HEAD, TOPIC_HEAD, TOPIC_SUBJECT, Sentiment
from stream.names import places
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
from stream.text import language, sentence_start
from stream.watchlist import Watchlist, names_of, subject_of

EXCERPT_CHARACTERS = 120
MAXIMUM_URL_CHARACTERS = 300
PROBABILITY_DIGITS = 4
OBSERVATIONS_PER_RECORD = 200
"""Keeps a record below the megabyte that brokers accept by default, however long ids and URLs are."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that was decoded and given its place."""

    event: NewsEvent
    text: str
    position: Position
    time: datetime
    mentions: Mapping[str, Mention]
    """The companies in it, by subject: those that it names itself, then those found in its text."""
    question: Question
    """What the model is asked about it."""


def topic_subject(topic: str) -> str:
    """The subject under which a topic is watched."""
    return TOPIC_SUBJECT + topic


def compose(
    accepted: Accepted, judgement: Judgement, *, bundle: str, scored_at: datetime
) -> tuple[ScoredEvent, list[tuple[str, Observation]]]:
    """Return the scored event, and an observation for each subject that it is counted under."""
    event = accepted.event
    of_text = judgement[SENTIMENT_HEAD]
    topics = judgement[TOPIC_HEAD] if TOPIC_HEAD in judgement else None
    topic_labels = list(topics.labels) if topics else []
    entities = [
        _scored(mention, subject, judgement.towards(index, ENTITY_HEAD, SENTIMENT_HEAD))
        for index, (subject, mention) in enumerate(accepted.mentions.items())
    ]
    probabilities = _rounded(of_text.probabilities)
    scored = ScoredEvent(
        id=event.id or str(accepted.position),
        position=accepted.position,
        time=event.time or accepted.time,
        scored_at=scored_at,
        text=accepted.text,
        source=event.source,
        kind=event.kind,
        url=event.url,
        language=language(accepted.text),
        sentiment=_sentiment(of_text),
        sentiment_probabilities=probabilities,
        confidence=probabilities[of_text.label],
        topics=topic_labels,
        topic_probabilities=_rounded(topics.probabilities) if topics else {},
        entities=entities,
        subjects=[ALL, *map(topic_subject, topic_labels), *accepted.mentions],
        bundle=bundle,
    )
    return scored, observe(scored, accepted.time)


def observe(scored: ScoredEvent, time: datetime) -> list[tuple[str, Observation]]:
    """An observation of a scored event for each of its subjects, counted at `time`.

    A company is observed with the sentiment towards it; `all` and the topics with that of the text.
    """
    companies = {entity.subject: entity for entity in scored.entities}
    towards = {
        subject: (entity.sentiment, entity.sentiment_probabilities) for subject, entity in companies.items()
    }
    of_text = (scored.sentiment, scored.sentiment_probabilities)
    signature = minhash(scored.text)
    short_url = scored.url if scored.url and len(scored.url) <= MAXIMUM_URL_CHARACTERS else None
    observations = []
    for subject in scored.subjects:
        sentiment, probabilities = towards.get(subject, of_text)
        negative = sentiment == "negative"
        observation = Observation(
            position=scored.position,
            id=scored.id,
            time=time,
            sentiment=sentiment,
            negative=probabilities["negative"],
            topics=scored.topics,
            signature=signature,
            excerpt=_excerpt(scored.text, companies.get(subject)) if negative else None,
            url=short_url if negative else None,
        )
        observations.append((subject, observation))
    return observations


def _excerpt(text: str, company: Mention | None) -> str:
    """What a person is shown of a text: its beginning, or where it first names the company, if that is later."""
    named = (
        places(text, (company.name, *names_of(company))) if company and len(text) > EXCERPT_CHARACTERS else []
    )
    late = named and named[0][1] > EXCERPT_CHARACTERS
    start = sentence_start(text, named[0][0], EXCERPT_CHARACTERS // 2) if late else 0
    return text[start : start + EXCERPT_CHARACTERS]


def accept(event: NewsEvent, text: str, position: Position, time: datetime, watchlist: Watchlist) -> Accepted:
    """Give an event its place, and find its companies: those that it names itself, then those of its text."""
    mentions: dict[str, Mention] = {}
    given = [watchlist.resolve(mention) for mention in event.entities]
    for mention in [*given, *watchlist.find_beside(text, given)]:
        mentions.setdefault(subject_of(mention), mention)
    names = tuple(watchlist.names_of(mention) for mention in mentions.values())
    return Accepted(event, text, position, time, mentions, Question(text, names))


def _scored(mention: Mention, subject: str, verdict: Verdict) -> ScoredMention:
    return ScoredMention(
        name=mention.name,
        ticker=mention.ticker,
        subject=subject,
        sentiment=_sentiment(verdict),
        sentiment_probabilities=_rounded(verdict.probabilities),
    )


def _sentiment(verdict: Verdict) -> Sentiment:
    # The worker has checked at its start that the head gives these labels.
    return cast("Sentiment", verdict.label)


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


def _rounded(probabilities: dict[str, float]) -> dict[str, float]:
    return {label: round(value, PROBABILITY_DIGITS) for label, value in probabilities.items()}
