"""What an alert shows beside its numbers: the worst negatives and their topics."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from stream.records import Evidence, Observation

_EXCERPT_CHARACTERS = 100
_EXCERPT_BYTES = 180
_URL_CHARACTERS = 120
_TOPICS_OF_AN_EVENT = 3
_TOPICS = 8
_COUNTED_TOPICS = 14
# What the worst events may take of the state's 4 KB.
_BYTES = 780


def _cut(text: str) -> str:
    """The first words of `text`: 100 letters, or 60 Chinese characters, which say as much."""
    cut = text[:_EXCERPT_CHARACTERS].encode()[:_EXCERPT_BYTES].decode(errors="ignore")
    return cut if cut == text else cut[:-1] + "…"


class Proof:
    """The worst negatives of late, one of each story, and how often each topic came.

    Which window will show a surge is not known beforehand: what a long one has seen stays as long as there is
    room, and makes room for what is fresh.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # [id, Unix time, negative, excerpt, url, topics, story], most negative first
        self._worst: list[list[Any]] = []
        self._topics: Counter[str] = Counter()
        self._faded = 0

    def add(self, observation: Observation, time: int, story: int, *, fresh: int) -> None:
        """Take note of a negative event.

        What came before `fresh` gives way: to the same story told again, and first of all where there is no room.
        """
        for topic in observation.topics:
            self._count_topic(topic)
        negative = round(observation.negative, 4)
        told = next((entry for entry in self._worst if entry[6] == story), None)
        if told is not None:
            if told[2] >= negative and told[1] >= fresh:
                return
            self._worst.remove(told)
        url = observation.url
        self._worst.append(
            [
                observation.id,
                time,
                negative,
                _cut(observation.excerpt or ""),
                url if url is not None and len(url) <= _URL_CHARACTERS else None,
                observation.topics[:_TOPICS_OF_AN_EVENT],
                story,
            ]
        )
        self._worst.sort(key=lambda entry: (-entry[2], entry[1], entry[0]))
        while len(self._worst) > self._size or (len(self._worst) > 1 and len(to_json(self._worst)) > _BYTES):
            stale = [entry for entry in self._worst if entry[1] < fresh]
            self._worst.remove(min(stale, key=lambda entry: entry[1]) if stale else self._worst[-1])

    def _count_topic(self, topic: str) -> None:
        """Where there is no room, the rarest gives way with its count, lest who comes last never has one.

        Source: the Space-Saving algorithm, Metwally, Agrawal and El Abbadi 2005.
        """
        if topic not in self._topics and len(self._topics) == _COUNTED_TOPICS:
            rarest = min(self._topics, key=lambda one: (self._topics[one], one))
            self._topics[topic] = self._topics.pop(rarest)
        self._topics[topic] += 1

    def forget(self, before: int) -> None:
        """Drop the events before that time."""
        if any(entry[1] < before for entry in self._worst):
            self._worst = [entry for entry in self._worst if entry[1] >= before]

    def fade(self, now: int, seconds: int) -> None:
        """Halve the topics' counts every `seconds`: outside of an alert only the latest ones matter."""
        steps = (now - self._faded) // seconds
        if steps <= 0:
            return
        self._faded += steps * seconds
        self._topics = Counter(
            {topic: n >> min(steps, 62) for topic, n in self._topics.items() if n >> min(steps, 62)}
        )

    @property
    def topics(self) -> dict[str, int]:
        """The most frequent topics with their counts, the most frequent first."""
        return dict(sorted(self._topics.items(), key=lambda item: (-item[1], item[0]))[:_TOPICS])

    def worst(self, since: int) -> list[Evidence]:
        """The worst events from that time on, most negative first."""
        return [
            Evidence(
                id=name,
                time=datetime.fromtimestamp(time, UTC),
                negative=negative,
                excerpt=excerpt,
                url=url,
                topics=topics,
            )
            for name, time, negative, excerpt, url, topics, _ in self._worst
            if time >= since
        ]

    def dump(self) -> list[Any]:
        """The evidence as JSON values."""
        return [self._worst, self._topics, self._faded]

    def load(self, parts: list[Any]) -> None:
        """Read what `dump` made."""
        self._worst, topics, self._faded = parts
        self._topics = Counter(topics)
