"""The score stage: consumes raw events, judges them in windows, publishes, commits.

What it guarantees, in this order, for every window of events and so for every offset:
    1. each event is judged, or its dead letter written with the reason
    2. scored events, observations and dead letters are sent, in the order of the source offsets
    3. the broker has confirmed all of them
    4. only then are the offsets committed
A crash between 3 and 4 repeats a window; the watch stage knows repeats by their positions.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord
from mode import Service

from stream.engine.engine import Engine
from stream.engine.judgement import JudgementError
from stream.kafka import BrokerError, StallError, admin_client, client_options, new_producer
from stream.metrics import ScoreMetrics
from stream.records import DeadLetter, DeadLetterReason, Observation, Position
from stream.score.clock import PartitionClock, StreamClock, newest
from stream.score.compose import Accepted, compose, gather
from stream.score.decode import Rejection, decode
from stream.score.publish import Outgoing, Publisher, base64_of
from stream.settings import Settings
from stream.watchlist import Watchlist

POLL_MILLISECONDS = 200
SETTLE_SECONDS = 30.0
"""How long a rebalance waits for the windows in flight; what is not through by then is repeated."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A window of events after judgement: what to publish, and what to commit afterwards."""

    outgoing: Outgoing
    offsets: Mapping[TopicPartition, OffsetAndMetadata]
    recorded_at: Sequence[float]
    """Unix seconds of each scored event's raw record, for the latency."""
    reached: datetime | None
    """The stream's time once all of this is published."""


class ScoreStage(Service):
    """A service that owns a consumer, a producer and the engine's thread."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        watchlist: Watchlist,
        metrics: ScoreMetrics,
        *,
        observed_partitions: int,
    ) -> None:
        super().__init__()
        self._observed_partitions = observed_partitions
        self._settings = settings
        self._engine = engine
        self._watchlist = watchlist
        self._metrics = metrics
        self._clocks: dict[TopicPartition, PartitionClock] = {}
        self._stream_clock = StreamClock()
        self._in_flight = 0
        self._settled = asyncio.Condition()
        self._may_fetch = asyncio.Event()
        self._moved_at = time.monotonic()
        self._assigned = False
        self._reached: dict[TopicPartition, int] = {}
        self._ended = asyncio.Event()

    @property
    def _group(self) -> str:
        """A topic that was made anew is read by a new group, since the old one's offsets mean nothing in it."""
        epoch = self._settings.topics.epoch
        return f"{self._settings.score.group}@{epoch}" if epoch else self._settings.score.group

    @property
    def ready(self) -> bool:
        """Whether the stage has joined its group."""
        return self._assigned

    async def on_start(self) -> None:
        """Connect; the group is joined in the background."""
        session = self._settings.kafka.session_timeout_seconds
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings.kafka),
            group_id=self._group,
            enable_auto_commit=False,
            # Where to begin is decided in `_begin`; anything else out of range must not pass silently.
            auto_offset_reset="none",
            session_timeout_ms=int(session * 1000),
            heartbeat_interval_ms=int(session * 1000 / 5),
            max_poll_interval_ms=1_000_000,
            rebalance_timeout_ms=60_000,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self._producer = new_producer(self._settings.kafka)
        self._publisher = Publisher(self._producer, self._settings.topics)
        await self._producer.start()
        await self._consumer.start()
        self._consumer.subscribe([self._settings.topics.raw], listener=_Rebalance(self))

    async def on_stop(self) -> None:
        """Finish what is in flight and leave the group, so that others take over at once."""
        self._may_fetch.set()  # lets the loop see that it is to end
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), SETTLE_SECONDS)
        await self._consumer.stop()
        await self._producer.stop()
        self._engine.close()

    @Service.task
    async def _run(self) -> None:
        publication: asyncio.Task[None] | None = None
        try:
            while not self.should_stop:
                await self._may_fetch.wait()
                records = await self._fetch()
                if publication is not None and (publication.done() or not records):
                    await publication
                    publication = None
                if not records:
                    continue
                self._in_flight += 1
                judged = await self._judge(records)
                # One window is published while the next is judged, but never two at once.
                if publication is not None:
                    await publication
                publication = asyncio.create_task(self._finish(judged))
            if publication is not None:
                await publication
        finally:
            self._ended.set()

    @Service.task
    async def _tick(self) -> None:
        """Tell the watch stage how late it is in the stream, also while no event arrives."""
        while not self.should_stop:
            await self.sleep(self._settings.watch.tick_seconds)
            now = self._stream_clock.now(datetime.now(UTC))
            if now is not None and self._may_fetch.is_set():
                await self._publisher.tick(now, self._observed_partitions)

    @Service.task
    async def _watch_progress(self) -> None:
        limit = self._settings.score.stall_seconds
        while not self.should_stop:
            await self.sleep(min(limit / 4, 2.0))
            lags = self._lags()
            self._metrics.lag_is({partition.partition: lag for partition, lag in lags.items()})
            if not any(lags.values()) or not self._may_fetch.is_set():
                self._moved_at = time.monotonic()
            elif time.monotonic() - self._moved_at > limit:
                raise StallError(
                    f"{sum(lags.values())} events wait in {self._settings.topics.raw} and none was scored "
                    f"for {limit:.0f} s"
                )

    async def _fetch(self) -> list[ConsumerRecord]:
        try:
            fetched = await self._consumer.getmany(
                timeout_ms=POLL_MILLISECONDS, max_records=self._settings.score.window_events
            )
        except OffsetOutOfRangeError as error:
            await self._resume_in_range(error.args[0])
            return []
        except NoOffsetForPartitionError:
            # The fetcher came to a new partition before `begin` did, which sets where it starts.
            return []
        return [record for records in fetched.values() for record in records]

    async def _judge(self, records: list[ConsumerRecord]) -> Judged:
        """Decode and judge a window of events, and compose what is to be published."""
        started = time.perf_counter()
        self._metrics.events_read(len(records))
        dead: list[DeadLetter] = []
        accepted: list[tuple[ConsumerRecord, Accepted]] = []
        for record in records:
            entry = self._accept(record)
            if isinstance(entry, Accepted):
                accepted.append((record, entry))
            else:
                dead.append(self._dead_letter(record, entry))
        # The clocks of now: while the model runs, they wait for no other window, but a rebalance may reset them.
        offsets, reached = self._offsets(records), newest(self._clocks.values())
        decoded = time.perf_counter()
        judgements = await self._engine.judge_async([entry.text for _, entry in accepted])
        self._metrics.step_took("judge", time.perf_counter() - decoded)
        self._metrics.step_took("decode", decoded - started)
        scored, observations, recorded_at = [], list[tuple[str, Observation]](), []
        now = datetime.now(UTC)
        bundle = self._engine.bundle.hash
        for (record, entry), judgement in zip(accepted, judgements, strict=True):
            if isinstance(judgement, JudgementError):
                dead.append(
                    self._dead_letter(record, Rejection(DeadLetterReason.MODEL_FAILED, str(judgement)))
                )
                continue
            event, seen = compose(entry, judgement, self._watchlist, bundle=bundle, scored_at=now)
            scored.append(event)
            observations.extend(seen)
            recorded_at.append(record.timestamp / 1000)
        return Judged(Outgoing(scored, gather(observations, bundle), dead), offsets, recorded_at, reached)

    def _offsets(self, records: Sequence[ConsumerRecord]) -> dict[TopicPartition, OffsetAndMetadata]:
        """What to commit for these records; the clock travels with the offset and outlives a restart."""
        return {
            partition: OffsetAndMetadata(record.offset + 1, self._clock(partition).dump())
            for record in records
            for partition in (TopicPartition(record.topic, record.partition),)
        }

    def _accept(self, record: ConsumerRecord) -> Accepted | Rejection:
        decoded = decode(record.value, maximum_bytes=self._settings.score.maximum_event_bytes)
        if isinstance(decoded, Rejection):
            return decoded
        clock = self._clock(TopicPartition(record.topic, record.partition))
        wall = datetime.now(UTC)
        moment, in_future = clock.place(decoded.event.time, _recorded_at(record), wall)
        if in_future:
            self._metrics.event_in_future()
        return Accepted(decoded.event, decoded.text, self._position(record), moment)

    def _clock(self, partition: TopicPartition) -> PartitionClock:
        clock = self._clocks.get(partition)
        if clock is None:
            tolerance = timedelta(seconds=self._settings.score.future_seconds)
            clock = self._clocks[partition] = PartitionClock(tolerance)
        return clock

    def _position(self, record: ConsumerRecord) -> Position:
        return Position(topic=self._settings.topics.source, partition=record.partition, offset=record.offset)

    def _dead_letter(self, record: ConsumerRecord, rejection: Rejection) -> DeadLetter:
        position = self._position(record)
        self.log.warning("dead letter: %s at %s: %s", rejection.reason.value, position, rejection.detail)
        return DeadLetter(
            reason=rejection.reason,
            detail=rejection.detail[:1_000],
            position=position,
            recorded_at=_recorded_at(record),
            failed_at=datetime.now(UTC),
            key_base64=base64_of(record.key),
            value_base64=base64_of(record.value),
            value_bytes=len(record.value or b""),
        )

    async def _finish(self, judged: Judged) -> None:
        """Publish a window, wait for the broker's word, commit."""
        started = time.perf_counter()
        await self._publisher.publish(judged.outgoing)
        self._stream_clock.published(judged.reached, datetime.now(UTC))
        await self._commit(judged.offsets)
        self._metrics.step_took("publish", time.perf_counter() - started)
        now = time.time()
        for event, recorded in zip(judged.outgoing.scored, judged.recorded_at, strict=True):
            self._metrics.event_scored(event.language, event.sentiment, now - recorded)
        for letter in judged.outgoing.dead_letters:
            self._metrics.dead_letter(letter.reason)
        self._moved_at = time.monotonic()
        async with self._settled:
            self._in_flight -= 1
            self._settled.notify_all()

    async def _commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        mine = {tp: offset for tp, offset in offsets.items() if tp in self._consumer.assignment()}
        if not mine:
            return
        try:
            await self._consumer.commit(mine)
            self._reached.update({partition: committed.offset for partition, committed in mine.items()})
        except (CommitFailedError, IllegalStateError):
            # The partitions moved on in the meantime; their new owner repeats these events.
            self.log.info("offsets not committed, since the group was rebalanced")

    async def settle(self) -> None:
        """Finish the windows in flight before partitions move, so that little is repeated."""
        self._may_fetch.clear()
        try:
            async with asyncio.timeout(SETTLE_SECONDS), self._settled:
                await self._settled.wait_for(lambda: self._in_flight == 0)
        except TimeoutError:
            self.log.warning("a rebalance did not wait for events in flight; they may be repeated")

    async def begin(self, assigned: Sequence[TopicPartition]) -> None:
        """Set where each new partition begins, and fetch."""
        committed = await self._committed(assigned)
        self._reached = {tp: committed[tp].offset for tp in assigned if tp in committed}
        # Another worker may have gone on with a partition that was here before.
        self._clocks.clear()
        for tp, offset in committed.items():
            self._clock(tp).load(offset.metadata)
        self._stream_clock.published(newest(self._clocks.values()), datetime.now(UTC))
        fresh = [tp for tp in assigned if tp not in committed]
        if fresh:
            at_start = self._settings.score.start_at == "earliest"
            find = self._consumer.beginning_offsets if at_start else self._consumer.end_offsets
            for partition, offset in (await find(fresh)).items():
                self._consumer.seek(partition, offset)
                self._reached[partition] = offset
        self._assigned = True
        self._moved_at = time.monotonic()
        self._may_fetch.set()

    async def _committed(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed, with the metadata, which only the admin client tells."""
        if not partitions:
            return {}
        async with admin_client(self._settings.kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=list(partitions))
        return {partition: committed for partition, committed in offsets.items() if committed.offset >= 0}

    async def _resume_in_range(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on after events that retention deleted; refuse a topic that is not the one of before."""
        beginnings = await self._consumer.beginning_offsets(list(positions))
        for tp, offset in positions.items():
            if offset >= beginnings[tp]:
                raise BrokerError(
                    f"{tp.topic}/{tp.partition} ends before offset {offset}, which this group has reached: "
                    "the topic was deleted and made anew; raise `topics.epoch` by one"
                )
            lost = beginnings[tp] - offset
            self.log.error("%d events of %s/%d were deleted unread", lost, tp.topic, tp.partition)
            self._metrics.events_expired(lost)
            self._consumer.seek(tp, beginnings[tp])

    def _lags(self) -> dict[TopicPartition, int]:
        """Events that wait behind the last commit, as far as the fetches have told."""
        lags = {}
        for partition in self._consumer.assignment():
            end = self._consumer.highwater(partition)
            reached = self._reached.get(partition)
            lags[partition] = 0 if end is None or reached is None else max(end - reached, 0)
        return lags


def _recorded_at(record: ConsumerRecord) -> datetime:
    return datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, stage: ScoreStage) -> None:
        self._stage = stage

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        await self._stage.settle()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._stage.begin(list(assigned))
