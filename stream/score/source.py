"""The raw topic as the score stage reads it: its partitions in the order of event time, and where they stand."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord
from mode.utils.logging import get_logger

from stream.kafka import BrokerError, Moves, admin_client, client_options
from stream.metrics import ScoreMetrics
from stream.score.clock import PartitionClock
from stream.score.decode import Decoded, Rejection, decode
from stream.score.merge import Merge
from stream.settings import Settings

logger = get_logger(__name__)

POLL_MILLISECONDS = 200
BEGIN_SECONDS = 60.0
"""How long a worker tries to learn where its partitions begin."""
MOST_WAITING_BYTES = 16 * 1024 * 1024
"""Of a partition that waits for others no more is read than this, but for what one answer of the broker brings."""
ALIGN_SECONDS = 10.0
"""How long the other partitions wait for one that has more to read and cannot be read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A record and what it holds."""

    record: ConsumerRecord
    content: Decoded | Rejection


class Source:
    """A consumer of the raw topic, with a clock for each of its partitions.

    The clock of a partition is committed with its offset, and so outlives a restart and moves with it.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: ScoreMetrics,
        *,
        before_move: Callable[[], Awaitable[None]],
        after_move: Callable[[], None],
    ) -> None:
        """`before_move` is awaited before partitions are given up, `after_move` called when all are known."""
        self._settings = settings
        self._metrics = metrics
        self._topic = settings.topics.raw
        self._tolerance = timedelta(seconds=settings.score.future_seconds)
        self._before_move = before_move
        self._after_move = after_move
        self._connected = False
        self._merge = Merge[Taken]()
        self._read_to: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._moving = True
        self._moves = 0
        self._silent: set[int] = set()
        """Partitions that had more to read, and for which the others waited in vain."""
        self._taken_at = time.monotonic()
        self.clocks: dict[int, PartitionClock] = {}
        self.failure: Exception | None = None
        """What kept this worker from taking its partitions over; the client only logs it."""

    @property
    def _group(self) -> str:
        """A topic that was made anew is read by a new group, since the old one's offsets mean nothing in it."""
        epoch = self._settings.topics.epoch
        return f"{self._settings.score.group}@{epoch}" if epoch else self._settings.score.group

    async def start(self) -> None:
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
            # What a transaction has withdrawn is sent again by its producer, and must not count twice.
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self._connected = True
        await self._consumer.start()
        self._consumer.subscribe([self._topic], listener=Moves(self._leave, self._begin))

    async def stop(self) -> None:
        """Leave the group, so that others take over at once."""
        if self._connected:
            await self._consumer.stop()

    async def take(self) -> list[Taken]:
        """The next window of records, oldest event first; empty where nothing has come."""
        most = self._settings.score.window_events
        taken = self._merge.take(most, self._behind())
        if not taken:
            await self._read(most)
            taken = self._merge.take(most, self._behind())
        if taken or not self._merge:
            self._taken_at = time.monotonic()
        elif time.monotonic() - self._taken_at > ALIGN_SECONDS:
            self._silent.update(number for number in self._behind() if not self._merge.waiting(number))
        return taken

    async def commit(self, reached: Mapping[int, tuple[int, str]]) -> None:
        """Commit per partition the offset to go on from, with its clock as text."""
        mine = {place.partition for place in self._consumer.assignment()}
        offsets = {
            TopicPartition(self._topic, number): OffsetAndMetadata(offset, clock)
            for number, (offset, clock) in reached.items()
            if number in mine
        }
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
            self._committed.update({place.partition: entry.offset for place, entry in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            # The partitions moved on in the meantime; their new owner repeats these events.
            logger.info("offsets not committed, since the group was rebalanced")

    @property
    def reads_all(self) -> bool:
        """Whether this worker reads all partitions of the topic."""
        numbers: set[int] = self._consumer.partitions_for_topic(self._topic) or set()
        return numbers == {place.partition for place in self._consumer.assignment()}

    def clock(self, partition: int) -> PartitionClock:
        """The clock of a partition."""
        clock = self.clocks.get(partition)
        if clock is None:
            clock = self.clocks[partition] = PartitionClock(self._tolerance)
        return clock

    async def lags(self, *, in_flight: bool) -> dict[int, int]:
        """Records that wait per partition: behind the last commit, or behind the place read to where nothing
        is queued or in flight. What lies between may be no record, but a transaction's marker."""
        places = sorted(self._consumer.assignment())
        ends = await self._consumer.end_offsets(places) if places else {}
        lags = {}
        for place, end in ends.items():
            number = place.partition
            idle = not in_flight and not self._merge.waiting(number)
            done = self._read_to.get(number, 0) if idle else self._committed.get(number, 0)
            lags[number] = max(end - done, 0)
        return lags

    def _behind(self) -> list[int]:
        """Partitions that have more to read, or of which that is not known yet."""
        # Behind the last stable offset there may be records of an open transaction, which cannot be read yet.
        ends = {
            place.partition: self._consumer.last_stable_offset(place) for place in self._consumer.assignment()
        }
        return [
            number
            for number, end in ends.items()
            if number not in self._silent and (end is None or end > self._read_to.get(number, 0))
        ]

    async def _read(self, most: int) -> None:
        """Fill the queues of the partitions of which little waits."""
        hungry = [
            place
            for place in self._consumer.assignment()
            if self._merge.waiting(place.partition) < most
            and self._merge.size(place.partition) < MOST_WAITING_BYTES
        ]
        try:
            fetched = await self._consumer.getmany(
                *hungry, timeout_ms=POLL_MILLISECONDS, max_records=most * max(len(hungry), 1)
            )
        except OffsetOutOfRangeError as error:
            await self._resume_in_range(error.args[0])
            return
        except NoOffsetForPartitionError:
            # The fetcher came to a new partition before `_begin` did, which sets where it starts.
            return
        if self._moving:
            # `_begin` has not set where to read from: it will, and these come again.
            return
        for records in fetched.values():
            for record in records:
                self._queue(record)
        if not fetched:
            for place in hungry:
                await self._reach(place)

    async def _reach(self, place: TopicPartition) -> None:
        """Note how far a partition is read, markers of transactions included, which are no records."""
        moves = self._moves
        try:
            position = await asyncio.wait_for(self._consumer.position(place), POLL_MILLISECONDS / 1000)
        except (TimeoutError, IllegalStateError):
            return
        # A position from before partitions moved says nothing of where they are read now.
        if moves == self._moves and not self._moving:
            self._read_to[place.partition] = max(self._read_to.get(place.partition, 0), position)

    def _queue(self, record: ConsumerRecord) -> None:
        if record.offset < self._read_to.get(record.partition, 0):
            # On its way already when `_begin` sent the reader to where it is.
            return
        self._read_to[record.partition] = record.offset + 1
        self._silent.discard(record.partition)
        content = decode(record.value, maximum_bytes=self._settings.score.maximum_event_bytes)
        told = content.event.time if isinstance(content, Decoded) else None
        if told is not None and told > datetime.now(UTC) + self._tolerance:
            # A wrong date must not send the partition to the end of the queue.
            told = None
        self._merge.add(record.partition, told, Taken(record, content), len(record.value or b""))

    async def _leave(self) -> None:
        self._moving = True
        self._moves += 1
        await self._before_move()

    async def _begin(self, assigned: Sequence[TopicPartition]) -> None:
        """Set where each partition begins. The client swallows what is raised here, so it is kept."""
        deadline = time.monotonic() + BEGIN_SECONDS
        while True:
            try:
                committed = await self._group_offsets(assigned)
                starts = await self._starts(assigned, committed)
                break
            except (KafkaError, BrokerError, OSError, TimeoutError) as error:
                # A broker that is starting, or a coordinator that is moving, answers soon.
                if time.monotonic() > deadline:
                    self.failure = BrokerError(f"cannot learn where to read {self._topic} from: {error!r}")
                    return
                await asyncio.sleep(0.5)
        # From here to the end nothing else runs. What was read so far is dropped, and read again from here on.
        for place, offset in starts.items():
            self._consumer.seek(place, offset)
        self._read_to = {place.partition: offset for place, offset in starts.items()}
        self._committed = dict(self._read_to)
        self._merge.clear()
        self._silent.clear()
        self.clocks.clear()
        for place, entry in committed.items():
            self.clock(place.partition).load(entry.metadata)
        self._taken_at = time.monotonic()
        self._moves += 1
        self._moving = False
        self._after_move()

    async def _starts(
        self, assigned: Sequence[TopicPartition], committed: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> dict[TopicPartition, int]:
        """Where each partition begins: where the group was, else as the settings say."""
        starts = {place: entry.offset for place, entry in committed.items()}
        fresh = [place for place in assigned if place not in committed]
        if not fresh:
            return starts
        settings = self._settings
        if settings.score.start_at == "earliest" or settings.topics.epoch or await self._group_is_known():
            # A partition that was added later, or a topic made anew, is read whole: what is in it came since.
            starts.update(await self._consumer.beginning_offsets(fresh))
            return starts
        ends = await self._consumer.end_offsets(fresh)
        # At once, or each rebalance would skip what came since.
        await self._consumer.commit({place: OffsetAndMetadata(end, "") for place, end in ends.items()})
        starts.update(ends)
        return starts

    async def _group_is_known(self) -> bool:
        """Whether the group has read any partition of the topic before."""
        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        return bool(await self._group_offsets([TopicPartition(self._topic, number) for number in numbers]))

    async def _group_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed, with the metadata, which only the admin client tells."""
        if not partitions:
            return {}
        async with admin_client(self._settings.kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=list(partitions))
        if set(offsets) != set(partitions):
            # The client leaves errors out; a partition that was never committed is there, with -1.
            raise BrokerError(f"the broker does not tell what the group {self._group} has committed")
        return {place: entry for place, entry in offsets.items() if entry.offset >= 0}

    async def _resume_in_range(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on after events that retention deleted; refuse a topic that was made anew or has lost its end."""
        beginnings = await self._consumer.beginning_offsets(list(positions))
        for place, offset in positions.items():
            if offset >= beginnings[place]:
                raise BrokerError(self._what_to_do(place, offset))
            lost = beginnings[place] - offset
            logger.error("%d events of %s/%d were deleted unread", lost, place.topic, place.partition)
            self._metrics.events_expired(lost)
            self._consumer.seek(place, beginnings[place])
            self._read_to[place.partition] = beginnings[place]

    def _what_to_do(self, place: TopicPartition, offset: int) -> str:
        name, brokers = f"{place.topic}:{place.partition}", self._settings.kafka.brokers
        return (
            f"{name} ends before offset {offset}, which this group has reached. If the topic was deleted and made "
            "anew, raise `topics.epoch` by one. If the broker lost the partition's end (by a power failure or an "
            "unclean election), what is left of it is counted: stop the workers and let the group go on behind it "
            f"with `kafka-consumer-groups.sh --bootstrap-server {brokers} --group {self._group} --topic {name} "
            f"--reset-offsets --to-latest --execute`. What comes then below offset {offset} is scored, and taken "
            "for repeats"
        )
