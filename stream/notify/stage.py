"""The notify stage: tells a target of the alerts.

What it guarantees: a revision is behind the group's offset only once the target has taken the message, or has
refused it for so long that waiting on would keep the next ones from being told. A crash between may tell it twice,
and passes nothing over. Each target has a group of its own: one that is away keeps no other waiting.
"""

import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord
from mode import Service
from pydantic import ValidationError

from stream.kafka import BrokerError, Moves, client_options
from stream.metrics import NotifyMetrics
from stream.notify.message import Message, message_of
from stream.notify.targets import Target
from stream.records import Alert, AlertState, Severity
from stream.settings import Settings

POLL_MILLISECONDS = 500
LONGEST_SILENCE_MILLISECONDS = 7 * 24 * 3600 * 1000
BEGIN_SECONDS, RETRY_SECONDS = 60.0, 0.5
"""For how long, and how often, it is asked where partitions begin."""
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
        self._away = False
        """Whether the target was given up, and has taken nothing since."""
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
            # Where to begin is decided in `begin`; of a topic that was made anew all is news.
            auto_offset_reset="earliest",
            session_timeout_ms=int(kafka.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(kafka.session_timeout_seconds * 1000 / 5),
            # While a target is away nothing is read, and who has not read for so long could not join again.
            max_poll_interval_ms=LONGEST_SILENCE_MILLISECONDS,
            rebalance_timeout_ms=60_000,
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise BrokerError(f"cannot work with Kafka at {kafka.brokers}: {error!r}") from error
        self._consumer.subscribe([self._settings.topics.alerts], listener=Moves(self.leave, self.begin))

    async def on_stop(self) -> None:
        """Leave the group, so that others take over at once."""
        await self._consumer.stop()

    async def leave(self) -> None:
        """Partitions move: what is read until it is known where they begin is read again."""
        self._assigned = False
        self._told.clear()

    async def begin(self, assigned: Sequence[TopicPartition]) -> None:
        """Set where each partition begins. The client swallows what is raised here."""
        deadline = time.monotonic() + BEGIN_SECONDS
        while True:
            try:
                starts = await self._starts(assigned)
                break
            except (CommitFailedError, IllegalStateError):
                self.log.info("the group was rebalanced again")
                return
            except (KafkaError, OSError) as error:
                if time.monotonic() > deadline:
                    topic = self._settings.topics.alerts
                    await self.crash(BrokerError(f"cannot learn where to read {topic} from: {error!r}"))
                    return
                await self.sleep(RETRY_SECONDS)
        # From here to the end nothing else runs. What was read so far is dropped, and read again from here on.
        for place, offset in starts.items():
            self._consumer.seek(place, offset)
        self._assigned = True

    async def _starts(self, assigned: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the group was.

        A group that is new begins at the end, since alerts of before are no news; a partition that is new to it at
        its beginning, since all in it came meanwhile.
        """
        topic = self._settings.topics.alerts
        numbers: set[int] = self._consumer.partitions_for_topic(topic) or set()
        places = sorted({*assigned, *(TopicPartition(topic, number) for number in numbers)})
        offsets = await asyncio.gather(*(self._consumer.committed(place) for place in places))
        committed = {place: at for place, at in zip(places, offsets, strict=True) if at is not None}
        starts = {place: committed[place] for place in assigned if place in committed}
        fresh = [place for place in assigned if place not in committed]
        if not fresh:
            return starts
        ask = self._consumer.beginning_offsets if committed else self._consumer.end_offsets
        begun: dict[TopicPartition, int] = await ask(fresh)
        # At once, or what comes before the first message would be skipped by a restart.
        await self._consumer.commit(begun)
        return starts | begun

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
        if alert.state is not AlertState.FIRING:
            # What fires again under this id is news, whether or not its end is told.
            self._told.pop(alert.id, None)
        elif self._told.get(alert.id) is alert.severity:
            return True
        if message is None:
            return True
        if not await self._tell(message):
            return False
        if alert.state is AlertState.FIRING:
            self._told[alert.id] = alert.severity
        return True

    async def _tell(self, message: Message) -> bool:
        """Tell until it is told or there is no hope; False where the stage is stopped before."""
        # A target that was given up is not waited for again until it takes a message.
        patience = 0.0 if self._away else self._settings.notify.retry_seconds
        deadline = time.monotonic() + patience
        delay = FIRST_DELAY
        while not await self._target.tell(message):
            if time.monotonic() + delay > deadline:
                self.log.error("%s was not told: %s", self._target.name, message.title)
                self._metrics.given_up()
                self._away = True
                return True
            self._metrics.refused()
            self.log.warning("%s does not take messages, next attempt in %.0f s", self._target.name, delay)
            await self.sleep(delay)
            if self.should_stop:
                return False
            delay = min(2 * delay, LONGEST_DELAY)
        self._away = False
        self._metrics.told()
        return True

    async def _commit(self, place: TopicPartition, offset: int) -> None:
        try:
            await self._consumer.commit({place: offset})
        except (CommitFailedError, IllegalStateError):
            # The partition moved on in the meantime; its new owner tells this revision again.
            self.log.info("offset not committed, since the group was rebalanced")
