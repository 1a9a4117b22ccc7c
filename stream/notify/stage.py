"""The notify stage: tells a target of the alerts.

What it guarantees: a revision is behind the group's offset only once the target has taken the message, or has
refused it for so long that waiting on would keep the next ones from being told. A crash between may tell it twice,
never not at all. Each target has a group of its own: one that is away keeps no other waiting.
"""

import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord
from mode import Service
from pydantic import ValidationError

from stream.kafka import BrokerError, client_options
from stream.metrics import NotifyMetrics
from stream.notify.message import Message, message_of
from stream.notify.targets import Target
from stream.records import Alert, AlertState, Severity
from stream.settings import Settings

POLL_MILLISECONDS = 500
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds between two attempts: each is twice the one before."""


class NotifyStage(Service):
    """A member of the target's group, which reads `sentiment.alerts`."""

    def __init__(self, settings: Settings, target: Target, metrics: NotifyMetrics) -> None:
        super().__init__()
        self._settings = settings
        self._target = target
        self._metrics = metrics
        self._assigned = False
        self._told: dict[str, Severity] = {}
        """By alert: how severe it was when it was last told. That it has only grown is no news."""

    @property
    def ready(self) -> bool:
        """Whether the stage has joined its group."""
        return self._assigned

    async def on_start(self) -> None:
        """Connect; the group is joined in the background."""
        kafka, notify = self._settings.kafka, self._settings.notify
        self._consumer = AIOKafkaConsumer(
            **client_options(kafka),
            group_id=f"{notify.group}-{self._target.key}",
            enable_auto_commit=False,
            # Where a new group begins is decided in `_begin`; of a topic that was made anew all is news.
            auto_offset_reset="earliest",
            session_timeout_ms=int(kafka.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(kafka.session_timeout_seconds * 1000 / 5),
            # Until the last attempt nothing more is read.
            max_poll_interval_ms=int((notify.retry_seconds + 2 * LONGEST_DELAY) * 1000),
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise BrokerError(f"cannot work with Kafka at {kafka.brokers}: {error!r}") from error
        self._consumer.subscribe([self._settings.topics.alerts], listener=_Rebalance(self))

    async def on_stop(self) -> None:
        """Leave the group, so that others take over at once."""
        await self._consumer.stop()

    def leave(self) -> None:
        """Partitions move: what is read until it is known where they begin is read again."""
        self._assigned = False
        self._told.clear()

    async def begin(self, assigned: Sequence[TopicPartition]) -> None:
        """Let partitions of which the group knows nothing begin at their end: alerts of before are no news."""
        try:
            fresh = [place for place in assigned if await self._consumer.committed(place) is None]
            ends = await self._consumer.end_offsets(fresh) if fresh else {}
            if ends:
                # At once, or what comes before the first message would be skipped by a restart.
                await self._consumer.commit(ends)
            for place, end in ends.items():
                self._consumer.seek(place, end)
        except (KafkaError, OSError) as error:
            # The client swallows what is raised here.
            await self.crash(
                BrokerError(f"cannot learn where to read {self._settings.topics.alerts} from: {error!r}")
            )
            return
        self._assigned = True

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            if not self._assigned:
                await self.sleep(POLL_MILLISECONDS / 1000)
                continue
            fetched = await self._consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=1)
            for place, records in fetched.items():
                for record in records:
                    if self._assigned and await self._handle(record):
                        await self._commit(place, record.offset + 1)

    async def _handle(self, record: ConsumerRecord) -> bool:
        """Whether all is done for this record."""
        if record.value is None:
            return True
        try:
            alert = Alert.model_validate_json(record.value)
        except ValidationError:
            self.log.error("record %d of %s is no alert", record.offset, record.topic)
            return True
        message = message_of(alert)
        fires = alert.state is AlertState.FIRING
        if message is None or (fires and self._told.get(alert.id) is alert.severity):
            return True
        if not await self._tell(message):
            return False
        if fires:
            self._told[alert.id] = alert.severity
        else:
            self._told.pop(alert.id, None)
        return True

    async def _tell(self, message: Message) -> bool:
        """Tell until it is told or there is no hope; False where the stage is stopped before."""
        deadline = time.monotonic() + self._settings.notify.retry_seconds
        delay = FIRST_DELAY
        while not await self._target.tell(message):
            if self.should_stop:
                return False
            if time.monotonic() + delay > deadline:
                self.log.error("%s was not told: %s", self._target.name, message.title)
                self._metrics.given_up()
                return True
            self._metrics.refused()
            self.log.warning("%s does not take messages, next attempt in %.0f s", self._target.name, delay)
            await self.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
        self._metrics.told()
        return True

    async def _commit(self, place: TopicPartition, offset: int) -> None:
        try:
            await self._consumer.commit({place: offset})
        except (CommitFailedError, IllegalStateError):
            # The partition moved on in the meantime; its new owner tells this revision again.
            self.log.info("offset not committed, since the group was rebalanced")


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, stage: NotifyStage) -> None:
        self._stage = stage

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        self._stage.leave()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._stage.begin(list(assigned))
