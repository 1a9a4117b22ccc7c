"""Where the score stage begins to read the raw topic, and what it commits to go on from."""

import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from prometheus_client import CollectorRegistry

from stream.kafka import BrokerError
from stream.metrics import ScoreMetrics
from stream.score.source import Source
from stream.settings import ScoreSettings, Settings, TopicSettings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = 40


class Broker:
    """A raw topic with 40 events in each partition, and what the groups have committed."""

    def __init__(self) -> None:
        self.places = [TopicPartition("news.raw", 0)]
        self.elsewhere: list[TopicPartition] = []
        """Partitions that another worker reads."""
        self.beginning, self.end = 0, END
        self.committed: dict[str, dict[TopicPartition, OffsetAndMetadata]] = {}

    @asynccontextmanager
    async def admin_client(self, _: object) -> AsyncIterator["Broker"]:
        yield self

    async def list_consumer_group_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        known = self.committed.get(group, {})
        return {place: known.get(place, OffsetAndMetadata(-1, "")) for place in partitions}


class Consumer:
    """Has all partitions but those of another, and remembers where it is to read from."""

    def __init__(self, broker: Broker, *, group_id: str, **_: object) -> None:
        self._broker, self._group = broker, group_id
        self.reads_from: dict[int, int] = {}

    async def start(self) -> None:
        pass

    def subscribe(self, topics: list[str], listener: Any) -> None:  # noqa: ARG002
        self.listener = listener

    def assignment(self) -> set[TopicPartition]:
        return set(self._broker.places)

    def partitions_for_topic(self, topic: str) -> set[int]:
        places = [*self._broker.places, *self._broker.elsewhere]
        return {place.partition for place in places if place.topic == topic}

    async def beginning_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self._broker.beginning)

    async def end_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self._broker.end)

    def last_stable_offset(self, _: TopicPartition) -> int:
        return self._broker.end

    async def getmany(self, *places: TopicPartition, **_: object) -> dict[TopicPartition, list[object]]:
        gone = {
            place: offset
            for place in places
            if not self._broker.beginning <= (offset := self.reads_from[place.partition]) <= self._broker.end
        }
        if gone:
            raise OffsetOutOfRangeError(gone)
        return {}

    async def position(self, place: TopicPartition) -> int:
        return self.reads_from[place.partition]

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        self._broker.committed.setdefault(self._group, {}).update(offsets)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.reads_from[place.partition] = offset


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr("stream.score.source.AIOKafkaConsumer", partial(Consumer, broker))
    monkeypatch.setattr("stream.score.source.admin_client", broker.admin_client)
    return broker


async def nothing() -> None:
    """Before partitions move."""


async def begun(
    broker: Broker, settings: Settings, registry: CollectorRegistry | None = None
) -> tuple[Source, dict[int, int]]:
    """A source that has its partitions, and where it reads each of them from."""
    metrics = ScoreMetrics(registry or CollectorRegistry())
    source = Source(settings, metrics, before_move=nothing, after_move=lambda: None)
    await source.start()
    consumer: Any = source._consumer
    await consumer.listener.on_partitions_assigned(broker.places)
    assert source.failure is None
    return source, consumer.reads_from


async def test_the_clock_is_committed_with_the_offset_and_outlives_a_restart(broker: Broker) -> None:
    source, reads_from = await begun(broker, Settings())
    assert reads_from == {0: 0}
    source.clock(0).place(NOON, NOON, NOON)
    await source.commit({0: (7, source.clock(0).dump())})
    again, reads_from = await begun(broker, Settings())
    assert reads_from == {0: 7}
    assert again.clock(0).reached == NOON


async def test_a_topic_that_was_made_anew_is_read_by_a_group_that_has_committed_nothing(
    broker: Broker,
) -> None:
    source, _ = await begun(broker, Settings())
    await source.commit({0: (7, "")})
    anew = TopicSettings(epoch=1)
    source, reads_from = await begun(broker, Settings(topics=anew))
    assert reads_from == {0: 0}
    await source.commit({0: (3, "")})
    assert {group: offsets[broker.places[0]].offset for group, offsets in broker.committed.items()} == {
        "downtick-score": 7,
        "downtick-score@1": 3,
    }
    assert anew.source != TopicSettings().source, "its positions are no repeats of the old topic's"


async def test_a_new_group_may_begin_at_the_end_and_does_so_for_good(broker: Broker) -> None:
    latest = Settings(score=ScoreSettings(start_at="latest"))
    _, reads_from = await begun(broker, latest)
    assert reads_from == {0: END}
    broker.places.append(TopicPartition("news.raw", 1))
    _, reads_from = await begun(broker, latest)
    assert reads_from == {0: END, 1: 0}, "a partition that was added since is read whole"


async def test_a_topic_that_was_made_anew_is_read_whole_wherever_a_new_group_would_begin(
    broker: Broker,
) -> None:
    anew = Settings(score=ScoreSettings(start_at="latest"), topics=TopicSettings(epoch=1))
    _, reads_from = await begun(broker, anew)
    assert reads_from == {0: 0}


async def test_events_that_were_deleted_unread_are_counted_and_those_behind_them_are_read(
    broker: Broker,
) -> None:
    source, _ = await begun(broker, Settings())
    await source.commit({0: (7, "")})
    registry = CollectorRegistry()
    source, reads_from = await begun(broker, Settings(), registry)
    broker.beginning = 25
    assert await source.take() == []
    assert reads_from == {0: 25}
    assert registry.get_sample_value("downtick_events_expired_total") == 18
    assert await source.lags(in_flight=False) == {0: END - 25}


async def test_a_partition_that_ends_before_where_the_group_was_is_refused_with_what_to_do(
    broker: Broker,
) -> None:
    source, _ = await begun(broker, Settings())
    await source.commit({0: (END + 10, "")})
    source, _ = await begun(broker, Settings())
    with pytest.raises(BrokerError, match=r"news\.raw:0 ends before offset 50") as refusal:
        await source.take()
    for advice in (
        "deleted and made anew, raise `topics.epoch`",
        "lost the partition's end",
        "--group downtick-score --topic news.raw:0 --reset-offsets --to-latest",
    ):
        assert advice in str(refusal.value)


async def test_a_source_knows_whether_others_read_of_the_topic_too(broker: Broker) -> None:
    source, _ = await begun(broker, Settings())
    assert source.reads_all
    broker.elsewhere = [TopicPartition("news.raw", 1)]
    assert not source.reads_all


async def test_a_wrong_date_does_not_send_its_partition_to_the_end_of_the_queue(broker: Broker) -> None:
    broker.places.append(TopicPartition("news.raw", 1))
    broker.end = 2
    source, _ = await begun(broker, Settings())
    for partition, offset, month in ((0, 0, "2999-01"), (0, 1, "2026-01"), (1, 1, "2026-02")):
        value = json.dumps({"text": "Profit falls", "time": f"{month}-01T00:00:00Z"}).encode()
        record: Any = SimpleNamespace(partition=partition, offset=offset, value=value)
        source._queue(record)
    taken = [(one.record.partition, one.record.offset) for one in await source.take()]
    assert taken == [(0, 0), (0, 1), (1, 1)]
