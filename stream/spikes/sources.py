"""What a subject has counted from where, so that each event is counted once and none too late.

A source is a partition of a topic. Offsets of one source arrive in order, with gaps; so an offset at or below the
highest one seen is a repeat.
"""

import zlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from stream.records import Position

EPOCH_MARK = "@"


class Outcome(StrEnum):
    """What became of an observation."""

    COUNTED = "counted"
    REPEAT = "repeat"
    LATE = "late"


@lru_cache(maxsize=64)
def _read_topic(topic: str) -> tuple[int, int]:
    """Checksum of the topic's name and its epoch."""
    name, _, epoch = topic.partition(EPOCH_MARK)
    return zlib.crc32(name.encode()), int(epoch) if epoch.isdecimal() else 0


class Sources:
    """The highest offset and the newest event time of each source."""

    def __init__(self) -> None:
        # (topic, partition) → [offset, newest event time in Unix seconds]
        self._seen: dict[tuple[int, int], list[int]] = {}
        # Topics are known by a checksum of their name, since a name may be 200 letters long.
        self._epochs: dict[int, int] = {}

    def judge(self, position: Position, time: int, *, lateness: int, oldest: int) -> Outcome:
        """Take note of an observation and say whether it is to be counted.

        `time` is its event time; an event before `oldest`, the start of the subject's memory, is too late, and so
        is one more than `lateness` seconds behind the newest of its own source.
        """
        topic, epoch = _read_topic(position.topic)
        known = self._epochs.get(topic)
        if known is None or epoch > known:
            self._epochs[topic] = epoch
            # The topic was deleted and made anew; nothing comes from the old one any more.
            self._seen = {key: seen for key, seen in self._seen.items() if key[0] != topic}
        elif epoch < known:
            return Outcome.REPEAT
        seen = self._seen.get((topic, position.partition))
        if seen is None:
            self._forget(oldest)
            seen = self._seen[topic, position.partition] = [-1, 0]
        if position.offset <= seen[0]:
            return Outcome.REPEAT
        seen[0] = position.offset
        if time < oldest or time < seen[1] - lateness:
            return Outcome.LATE
        seen[1] = max(seen[1], time)
        return Outcome.COUNTED

    def _forget(self, oldest: int) -> None:
        """Forget sources that were silent for longer than the memory lasts.

        Should such a source repeat an event after all, that event is too old to be counted.
        """
        self._seen = {key: seen for key, seen in self._seen.items() if seen[1] >= oldest}

    def dump(self) -> list[int]:
        """The sources as numbers."""
        topics = sorted(self._epochs)
        keys = sorted(self._seen)
        return [
            len(topics),
            *topics,
            *(self._epochs[topic] for topic in topics),
            len(keys),
            *(topics.index(topic) for topic, _ in keys),
            *(partition for _, partition in keys),
            *(self._seen[key][0] for key in keys),
            *(self._seen[key][1] for key in keys),
        ]

    def load(self, numbers: Sequence[int]) -> None:
        """Read what `dump` made."""
        count = numbers[0]
        topics = numbers[1 : 1 + count]
        self._epochs = dict(zip(topics, numbers[1 + count : 1 + 2 * count], strict=True))
        size = numbers[1 + 2 * count]
        columns = [numbers[2 + 2 * count + i * size :][:size] for i in range(4)]
        self._seen = {
            (topics[topic], partition): [offset, newest]
            for topic, partition, offset, newest in zip(*columns, strict=True)
        }
