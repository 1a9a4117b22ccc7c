"""Streams of observations for the tests of the detector."""

import random
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache

from stream.labels import Sentiment
from stream.records import Alert, AlertState, Observation, Observations, Position, Window
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Subject

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
SETTINGS = SpikeSettings()
BUNDLE = "bundle-1"
ORDINARY = {"negative": 4.0, "neutral": 10.0, "positive": 6.0}
"""Events per hour."""
WEEK = 7 * 24.0
"""Hours."""


def at(hours: float) -> datetime:
    """So many hours after the beginning of a Monday."""
    return MONDAY + timedelta(hours=hours)


def observation(
    offset: int,
    hours: float,
    sentiment: Sentiment = "negative",
    *,
    partition: int = 0,
    topic: str = "news.raw",
    negative: float | None = None,
    **fields: object,
) -> Observation:
    """One event, told by its offset."""
    if negative is None:
        negative = 0.9 if sentiment == "negative" else 0.1
    values = {
        "id": f"{topic}-{partition}-{offset}",
        "time": at(hours),
        "excerpt": f"Item {offset}",
        **fields,
    }
    return Observation(
        position=Position(topic=topic, partition=partition, offset=offset),
        sentiment=sentiment,
        negative=negative,
        **values,
    )


def recorded(subject: str, events: Iterable[tuple[datetime, Sentiment]], *, first: int = 0) -> Observations:
    """A record of these events, told by their offsets from `first` on."""
    return Observations(
        subject=subject,
        bundle=BUNDLE,
        observations=[
            observation(first + number, 0, sentiment, time=time)
            for number, (time, sentiment) in enumerate(events)
        ],
    )


class Feed:
    """Makes events at random times, numbered on from call to call."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._offset = 0

    def between(self, start: float, end: float, **rates: float) -> list[Observation]:
        """Events from hour `start` to hour `end`; `rates` are events per hour by sentiment."""
        total = sum(rates.values())
        events = []
        time = start + self._random.expovariate(total)
        while time < end:
            sentiment = self._random.choices(list(rates), list(rates.values()))[0]
            events.append(observation(self._offset, time, sentiment))  # type: ignore[arg-type]
            self._offset += 1
            time += self._random.expovariate(total)
        return events


def watch(subject: Subject, events: Iterable[Observation]) -> list[Alert]:
    """Let the subject see the events; returns all revisions of its alerts."""

    def seen() -> Iterator[Alert]:
        for event in events:
            subject.observe(event, BUNDLE)
            yield from subject.take_alerts()

    return list(seen())


def fired(alerts: Iterable[Alert]) -> list[Alert]:
    """The revisions in which an alert fires."""
    return [alert for alert in alerts if alert.state is AlertState.FIRING]


def reload(subject: Subject, settings: SpikeSettings = SETTINGS) -> Subject:
    """The subject after a dump and a load."""
    return Subject.load(subject.name, subject.dump(), settings)


def counts(windows: Iterable[Window]) -> dict[datetime, tuple[int, int, int]]:
    """Negative, neutral and positive by interval, the newest row valid."""
    return {row.start: (row.negative, row.neutral, row.positive) for row in windows}


@cache
def past(days: float, seed: int, **rates: float) -> tuple[Feed, bytes]:
    feed, subject = Feed(seed), Subject("entity:ACME", SETTINGS)
    assert fired(watch(subject, feed.between(0, 24 * days, **rates))) == []
    subject.take_windows(closed_only=False)
    return feed, subject.dump()


def watched(days: float = 7, seed: int = 1, **rates: float) -> tuple[Feed, Subject]:
    """A subject with ordinary days behind it, on which nothing fired, and the feed that goes on from there."""
    feed, state = past(days, seed, **(rates or ORDINARY))
    return deepcopy(feed), Subject.load("entity:ACME", state, SETTINGS)


def surge(feed: Feed, hours: float = 1, start: float = WEEK):
    """Fifteen times the usual negatives."""
    return feed.between(start, start + hours, **{**ORDINARY, "negative": 60.0})
