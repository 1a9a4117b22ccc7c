"""The watch stage: a Faust agent over `sentiment.observed` with a table of subject states.

What it guarantees, in this order, for every record:
    1. the record is the partition's next; where one is missing, the reader goes back to it
    2. the subject counts each observation once, by its source position
    3. alerts and rows of the trend are sent, and confirmed by the broker
    4. the state that remembers them, and after it the cursor behind the record, are sent to the table's
       changelog, and confirmed by the broker
A crash before 4 repeats 2 and 3 with the same ids and revisions. A new owner goes on from the cursor in the
changelog, and not from Faust's commits, which come too early in two cases: a table's write is buffered, and
the flush before a commit gives up after a tenth of a second; and records that arrive while Faust resumes
after a rebalance are dropped, and may be committed over.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from faust.types import TP, AgentT, Message
from mode import Service
from pydantic import ValidationError

from stream.kafka import BrokerError, new_producer
from stream.metrics import WatchMetrics
from stream.records import Alert, AlertState, Observations, Tick
from stream.settings import Settings
from stream.watch.app import faust_app
from stream.watch.cursor import Cursor, Step, cursor_key, is_cursor
from stream.watch.keeper import Change, Partition

TABLE = "subjects"
SETTLE_SECONDS = 30.0
"""How long a rebalance waits for the record in hand; it must not be saved once others own its partition."""


class WatchStage(Service):
    """Owns the Faust app, the partitions' subjects, and a producer for alerts and the trend."""

    def __init__(
        self, settings: Settings, metrics: WatchMetrics, *, partitions: int, fail: Callable[[Exception], None]
    ) -> None:
        """`partitions` is how many `sentiment.observed` has; `fail` ends the worker with an error."""
        super().__init__()
        self._settings = settings
        self._metrics = metrics
        self._count = partitions
        self._fail = fail
        self._partitions: dict[int, Partition] = {}
        self._cursors: dict[int, Cursor] = {}
        self._next_tick: dict[int, float] = {}
        self._owned: frozenset[TP] | None = None
        self._in_hand = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self.app = faust_app(settings, partitions)
        self._table = self.app.Table(TABLE, partitions=partitions, key_type=bytes, value_type=bytes)
        observed = self.app.topic(settings.topics.observed, key_type=bytes, value_type=bytes)
        agent = self.app.agent(observed, name="watch")(self._watch)
        # What fails before the agent's body, Faust would restart over and over; it takes no other handler.
        agent._on_error = self._agent_failed  # type: ignore[attr-defined]  # noqa: SLF001
        self.app.on_partitions_revoked.connect(self._leave)
        self.app.on_partitions_assigned.connect(self._join)

    @property
    def ready(self) -> bool:
        """Whether the table is recovered and the agent runs."""
        return self._owned is not None and not self.app.rebalancing and not self.app.in_recovery

    async def on_start(self) -> None:
        """Connect, then start Faust."""
        self._producer = new_producer(self._settings.kafka)
        await self._producer.start()
        self.app.finalize()
        await self.app.start()

    async def on_stop(self) -> None:
        """Let Faust commit and leave its group."""
        await self.app.stop()
        if self._producer is not None:
            await self._producer.stop()

    async def _watch(self, stream: faust.StreamT[bytes]) -> None:
        """The agent. Its body never raises: Faust would skip the record and commit it."""
        async for event in stream.events():
            try:
                async with self._in_hand:
                    # While partitions move, states are incomplete; what is let pass here is read again.
                    if self.ready and await self._is_next(event.message):
                        await self._handle(event.message)
            except Exception as error:  # noqa: BLE001  # anything unexpected ends the process
                self._fail(error)
                # The event is never acknowledged: it is read again after the restart.
                await asyncio.Event().wait()

    async def _is_next(self, message: Message) -> bool:
        """Whether no record from the cursor to this one is missing; else go back to the first of them."""
        if self._owned is None or message.tp not in self._owned:
            return False
        cursor = self._cursor(message.partition)
        step = cursor.meet(message.offset, time.monotonic())
        if step is Step.GO_BACK:
            beginning = (await self.app.consumer.earliest_offsets(message.tp))[message.tp]
            if cursor.following < beginning:
                if cursor.following:
                    lost = beginning - cursor.following
                    self.log.error(
                        "%d records of %s/%d were deleted unread", lost, message.topic, message.partition
                    )
                    self._metrics.records_expired(lost)
                cursor.pass_over(beginning - 1)
            if message.offset > cursor.following:
                self.log.info(
                    "going back from offset %d of %s/%d to %d, which was not handled",
                    message.offset,
                    message.topic,
                    message.partition,
                    cursor.following,
                )
                await self.app.consumer.seek_wait({message.tp: cursor.following})
        return message.offset <= cursor.following

    async def _handle(self, message: Message) -> None:
        partition, cursor = self._partition(message.partition), self._cursor(message.partition)
        value = message.value
        try:
            if value is not None and value.startswith(b'{"tick"'):
                if not self._is_due(message.partition):
                    cursor.pass_over(message.offset)
                    return
                changes = list(partition.pass_time(Tick.model_validate_json(value).tick))
                caused_at = None
            else:
                changes = [partition.apply(Observations.model_validate_json(value or b""))]
                caused_at = message.timestamp
        except ValidationError as error:
            # Only Downtick writes this topic, so this is somebody else's record, and no event is lost.
            self._metrics.unreadable()
            self.log.error(
                "cannot read offset %d of %s/%d: %s",
                message.offset,
                self._settings.topics.observed,
                message.partition,
                error.errors(include_url=False)[0]["msg"],
            )
            changes, caused_at = [], None
        await self._publish(changes)
        cursor.pass_over(message.offset)
        await self._save(changes, cursor, message.partition)
        self._count_up(changes, caused_at)
        self._count_lag(message)

    def _is_due(self, partition: int) -> bool:
        """Every worker of the score stage sends ticks; one per interval is enough."""
        now = time.monotonic()
        if now < self._next_tick.get(partition, 0.0):
            return False
        self._next_tick[partition] = now + 0.9 * self._settings.watch.tick_seconds
        return True

    def _partition(self, number: int) -> Partition:
        partition = self._partitions.get(number)
        if partition is None:
            states = {
                key.decode(): state
                for key, state in self._table.items()
                if not is_cursor(key) and _partition_of(key, self._count) == number
            }
            partition = self._partitions[number] = Partition(states, self._settings.spikes)
        return partition

    def _cursor(self, number: int) -> Cursor:
        cursor = self._cursors.get(number)
        if cursor is None:
            cursor = self._cursors[number] = Cursor(number, self._table.data.get(cursor_key(number)))
        return cursor

    async def _publish(self, changes: list[Change]) -> None:
        """Send all alerts and rows, and return once the broker has confirmed them."""
        assert self._producer is not None  # the agent runs only between start and stop
        topics = self._settings.topics
        confirmations = []
        for change in changes:
            for alert in change.alerts:
                key = alert.subject.encode()
                confirmations.append(await self._producer.send(topics.alerts, alert.to_bytes(), key))
            for window in change.windows:
                key = window.key.encode()
                confirmations.append(await self._producer.send(topics.windows, window.to_bytes(), key))
        if confirmations:
            await asyncio.gather(*confirmations)

    async def _save(self, changes: list[Change], cursor: Cursor, partition: int) -> None:
        """Write states and cursor to the table and its changelog, and return once the broker confirmed them."""
        assert self._producer is not None
        topic = self._table.changelog_topic.get_topic_name()
        rows = [(change.subject.encode(), change.state) for change in changes]
        # The cursor comes last: it must never be read back without the states from before it.
        rows.append((cursor.key, cursor.dump()))
        confirmations = [
            await self._producer.send(topic, value, key, partition=partition) for key, value in rows
        ]
        await asyncio.gather(*confirmations)
        self._table.data.update(rows)

    def _count_up(self, changes: list[Change], caused_at: float | None) -> None:
        metrics = self._metrics
        now = datetime.now(UTC).timestamp()
        for change in changes:
            for observation, outcome in change.outcomes:
                metrics.observed(change.subject, observation.sentiment, outcome)
            for alert in change.alerts:
                metrics.alert_published(
                    alert.state.value, alert.severity.value, now - caused_at if caused_at else None
                )
                metrics.surge_is(change.subject, _surge_ratio(alert))
                self.log.info("alert %s %s: %s", alert.state.value, alert.subject, alert.reason)
            metrics.windows_published(len(change.windows))
        times = [partition.time for partition in self._partitions.values() if partition.time]
        if times:
            metrics.stream_time_is(max(times).timestamp())
        metrics.owns(sum(len(partition) for partition in self._partitions.values()))
        if caused_at is None or any(change.alerts for change in changes):
            self._count_alerts()

    def _count_alerts(self) -> None:
        firing = [
            (name, alert) for partition in self._partitions.values() for name, alert in partition.firing()
        ]
        severities = Counter(alert.severity.value for _, alert in firing)
        self._metrics.firing_are(severities)

    def _count_lag(self, message: Message) -> None:
        end = self.app.consumer.highwater(message.tp)
        if end is not None:
            self._metrics.lag_is(message.partition, max(end - message.offset - 1, 0))

    async def _agent_failed(self, agent: AgentT[Any], error: BaseException) -> None:  # noqa: ARG002
        self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _leave(self, *args: object, **kwargs: object) -> None:  # noqa: ARG002  # Faust's signal
        """Before a rebalance: save the record in hand, take no other."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS), self._in_hand:
                self._owned = None
        except TimeoutError:
            self._fail(BrokerError(f"a record in hand was not confirmed within {SETTLE_SECONDS:.0f} s"))
        self._metrics.partitions_moved()

    async def _join(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  # Faust's signal
        """After a rebalance the table is the truth: other partitions, and states that others wrote."""
        self._partitions.clear()
        self._cursors.clear()
        _, assigned = args
        self._owned = frozenset(assigned)


def _surge_ratio(alert: Alert) -> float:
    if alert.state is not AlertState.FIRING:
        return 0.0
    return alert.negative / max(alert.expected_negative, 0.1)


def _partition_of(key: bytes, partitions: int) -> int:
    """The partition that a record with this key goes to, as the producers of the score stage choose it."""
    number: int = murmur2(key)
    return (number & 0x7FFFFFFF) % partitions
