"""Simulated streams of negative and other events, with nothing in them but chance, and with surges put in.

Times are hours since the start, which is a Monday. `rate` is always the mean number of events an hour.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from stream.records import AlertState, Observation, Position
from stream.spikes.novelty import minhash
from stream.spikes.subject import Subject

HOUR = 3600
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp())
"""A Monday."""
WARM_UP_HOURS = 14 * 24
"""In which nothing is judged."""
OTHERS = 2
"""Events that are not negative, for each negative one; they have clusters and seasons of their own."""

Hours = npt.NDArray[np.float64]
Generator = np.random.Generator
Shape = Callable[[Hours], Hours]


def steady(times: Hours) -> Hours:
    """The same at all times."""
    return np.ones_like(times)


def by_day_and_week(times: Hours) -> Hours:
    """By day ten times as much as by night, at weekends a third."""
    daily = 0.5 + 0.41 * np.sin(2 * np.pi * (times % 24 - 9) / 24)
    weekly = np.where(times % 168 >= 120, 1 / 3, 1)
    # So that its mean over a week is 1.
    return daily * weekly / (0.5 * (5 + 2 / 3) / 7)


def by_six_weeks(times: Hours) -> Hours:
    """A level that swings by half within six weeks."""
    return 1 + 0.5 * np.sin(2 * np.pi * times / (42 * 24))


@dataclass(frozen=True, slots=True)
class Stream:
    """How the events of a subject come: stories by chance at a rate of this shape, each of so many items."""

    shape: Shape
    items: float = 1
    """Mean number of items of a story, which is geometrically distributed."""
    delay: float = 0.25
    """Mean time from a story's first item to each other, in hours."""
    reposts: bool = False
    """Whether the items of a story are all the same text."""

    def draw(self, generator: Generator, rate: float, hours: float) -> tuple[Hours, npt.NDArray[np.int64]]:
        """Times of events in order, and which story each belongs to."""
        most = float(self.shape(np.arange(0, 42 * 24, 0.5)).max())
        firsts = generator.uniform(0, hours, generator.poisson(most * rate / self.items * hours))
        firsts = firsts[generator.uniform(size=len(firsts)) * most < self.shape(firsts)]
        sizes = generator.geometric(1 / self.items, len(firsts))
        stories = np.repeat(np.arange(len(firsts)), sizes)
        delays = generator.exponential(self.delay, len(stories))
        delays[np.cumsum(sizes) - sizes] = 0
        times = firsts[stories] + delays
        order = np.argsort(times)
        order = order[times[order] < hours]
        return times[order], stories[order]


STREAMS = {
    "poisson": Stream(steady),
    "overdispersed": Stream(steady, items=3),
    "seasonal": Stream(by_day_and_week),
    "drifting": Stream(by_six_weeks),
    "reposts": Stream(steady, items=8, reposts=True),
}


@dataclass(frozen=True, slots=True)
class Events:
    """What a subject's detector gets to see."""

    negatives: Hours
    stories: npt.NDArray[np.int64]
    others: Hours
    reposts: bool

    def between(self, begin: float, end: float) -> "Events":
        """Those from `begin` on and before `end`."""
        kept = (self.negatives >= begin) & (self.negatives < end)
        others = self.others[(self.others >= begin) & (self.others < end)]
        return Events(self.negatives[kept], self.stories[kept], others, self.reposts)

    def observations(self, offset: int = 0) -> Iterator[Observation]:
        """Both kinds in the order of their times."""
        times = np.concatenate([self.negatives, self.others])
        signatures: dict[int, str] = {}
        for place in np.argsort(times, kind="stable").tolist():
            negative = place < len(self.negatives)
            offset += 1
            signature = None
            if negative and self.reposts:
                story = int(self.stories[place])
                signature = signatures.get(story) or _signature(story)
                signatures[story] = signature
            yield Observation.model_construct(
                position=Position.model_construct(topic="news.raw", partition=0, offset=offset),
                id=str(offset),
                time=datetime.fromtimestamp(START + float(times[place]) * HOUR, UTC),
                sentiment="negative" if negative else "neutral",
                negative=0.9 if negative else 0.1,
                topics=[],
                signature=signature,
                excerpt=None,
                url=None,
            )


def _signature(story: int) -> str:
    words = np.random.default_rng(story).integers(0, 10**9, 8)
    return minhash(" ".join(str(word) for word in words))


def draw(stream: str, generator: Generator, rate: float, hours: float) -> Events:
    """Events from the start to `hours`."""
    kind = STREAMS[stream]
    times, stories = kind.draw(generator, rate, hours)
    others, _ = kind.draw(generator, OTHERS * rate, hours)
    return Events(times, stories, others, kind.reposts)


def firings(subject: Subject, events: Iterable[Observation]) -> list[float]:
    """The hours at which alerts fired, each alert once."""
    fired: dict[str, float] = {}
    for event in events:
        subject.observe(event, "simulated")
        for alert in subject.take_alerts():
            if alert.state is AlertState.FIRING:
                fired.setdefault(alert.id, (alert.updated_at.timestamp() - START) / HOUR)
    return list(fired.values())
