"""The watch stage: a Faust agent over `sentiment.observed` with a table of subject states.

What it guarantees, in this order, for every record:
    1. the subject counts each observation once, by its source position
    2. alerts and rows of the trend are sent, and confirmed by the broker
    3. the state that remembers them is sent to the table's changelog, and confirmed by the broker
    4. only then does the record count as done, and may Faust commit its offset
A crash before 3 repeats 1 and 2 with the same ids and revisions; a crash before 4 repeats nothing but
observations that the state knows already.

The changelog is written here and not by assignment to the table: Faust buffers such a write, and the flush
before its commit gives up after a tenth of a second, so that a commit can come before the state it stands for.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from faust.types import AgentT, Message
from faust.types.auth import CredentialsArg
from mode import Service
from pydantic import ValidationError

from stream.kafka import new_producer, ssl_context
from stream.metrics import WatchMetrics
from stream.records import Alert, AlertState, Observations, Tick
from stream.settings import KafkaSettings, Settings
from stream.watch.keeper import Change, Partition

TABLE = "subjects"


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
        self._next_tick: dict[int, float] = {}
        self._joined = False
        self._producer: AIOKafkaProducer | None = None
        self.app = _faust_app(settings, partitions)
        self._table = self.app.Table(TABLE, partitions=partitions, key_type=bytes, value_type=bytes)
        observed = self.app.topic(settings.topics.observed, key_type=bytes, value_type=bytes)
        agent = self.app.agent(observed, name="watch")(self._watch)
        # What fails before the agent's body, Faust would restart over and over; it takes no other handler.
        agent._on_error = self._agent_failed  # type: ignore[attr-defined]  # noqa: SLF001
        self.app.on_partitions_revoked.connect(self._forget)
        self.app.on_partitions_assigned.connect(self._join)

    @property
    def ready(self) -> bool:
        """Whether the table is recovered and the agent runs."""
        return self._joined and not self.app.rebalancing and not self.app.in_recovery

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
                await self._handle(event)
            except Exception as error:  # noqa: BLE001  # anything unexpected ends the process
                self._fail(error)
                # The event is never acknowledged: it is read again after the restart.
                await asyncio.Event().wait()

    async def _handle(self, event: faust.EventT[bytes]) -> None:
        partition = self._partition(event.message.partition)
        value = event.message.value
        try:
            if value is not None and value.startswith(b'{"tick"'):
                if not self._is_due(event.message.partition):
                    return
                changes = list(partition.pass_time(Tick.model_validate_json(value).tick))
                caused_at = None
            else:
                changes = [partition.apply(Observations.model_validate_json(value or b""))]
                caused_at = event.message.timestamp
        except ValidationError as error:
            # Only Downtick writes this topic, so this is somebody else's record, and no event is lost.
            self._metrics.unreadable()
            self.log.error(
                "cannot read offset %d of %s/%d: %s",
                event.message.offset,
                self._settings.topics.observed,
                event.message.partition,
                error.errors(include_url=False)[0]["msg"],
            )
            return
        await self._publish(changes)
        await self._save(changes, event.message.partition)
        self._count_up(changes, caused_at)
        self._count_lag(event.message)

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
                if _partition_of(key, self._count) == number
            }
            partition = self._partitions[number] = Partition(states, self._settings.spikes)
        return partition

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

    async def _save(self, changes: list[Change], partition: int) -> None:
        """Write the states to the table and its changelog, and return once the broker has confirmed them."""
        assert self._producer is not None
        topic = self._table.changelog_topic.get_topic_name()
        confirmations = [
            await self._producer.send(topic, change.state, change.subject.encode(), partition=partition)
            for change in changes
        ]
        if confirmations:
            await asyncio.gather(*confirmations)
        for change in changes:
            self._table.data[change.subject.encode()] = change.state

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

    async def _forget(self, *args: object, **kwargs: object) -> None:  # noqa: ARG002  # Faust's signal
        """After a rebalance the table is the truth: other partitions, and states that others wrote."""
        self._partitions.clear()
        self._metrics.partitions_moved()

    async def _join(self, *args: object, **kwargs: object) -> None:  # noqa: ARG002  # Faust's signal
        await self._forget()
        self._joined = True


def _surge_ratio(alert: Alert) -> float:
    if alert.state is not AlertState.FIRING:
        return 0.0
    return alert.negative / max(alert.expected_negative, 0.1)


def _partition_of(key: bytes, partitions: int) -> int:
    """The partition that a record with this key goes to, as the producers of the score stage choose it."""
    number: int = murmur2(key)
    return (number & 0x7FFFFFFF) % partitions


def _faust_app(settings: Settings, partitions: int) -> faust.App:
    kafka = settings.kafka
    addresses = [address.strip() for address in kafka.brokers.split(",")]
    return faust.App(
        settings.watch.group,
        broker=[f"kafka://{address}" for address in addresses],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=kafka.session_timeout_seconds,
        broker_heartbeat_interval=kafka.session_timeout_seconds / 5,
        broker_request_timeout=max(kafka.request_timeout_seconds, kafka.session_timeout_seconds),
        broker_commit_interval=1.0,
        # A full buffer with the usual limit deadlocks the worker.
        broker_max_poll_interval=1000.0,
        consumer_auto_offset_reset="earliest",
        producer_compression_type=None if kafka.compression == "none" else kafka.compression,
        # Decoding is left to the agent, where what cannot be read does not stop it.
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=partitions,
        topic_replication_factor=settings.topics.replication,
        topic_disable_leader=True,
        table_cleanup_interval=3600.0,
        store="memory://",
        datadir=str(Path(settings.watch.state_directory)),
        web_enabled=False,
        stream_wait_empty=False,
        autodiscover=False,
    )


def _credentials(settings: KafkaSettings) -> CredentialsArg | None:
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=password.get_secret_value() if password else None,
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
