"""Publishes what the score stage makes, in order, and knows when the broker has confirmed all of it."""

import asyncio
import base64
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from stream.records import DeadLetter, Observations, Record, ReviewItem, ScoredEvent, Tick
from stream.settings import TopicSettings

logger = logging.getLogger(__name__)

REVIEW_SECONDS = 5.0
"""How long the stream waits for the broker to take a sample of its events."""
REVIEW_PAUSE_SECONDS = 60.0
"""For so long no more are sent once the broker took none."""
DEAD_VALUE_BYTES = 256 * 1024
"""A longer value is cut in its dead letter, so that the letter itself is never too large."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """All that one window of events produces."""

    scored: Sequence[ScoredEvent]
    observations: Sequence[Observations]
    dead_letters: Sequence[DeadLetter]


class Publisher:
    """Sends records through one producer, whose records stay in order per partition."""

    def __init__(self, producer: AIOKafkaProducer, topics: TopicSettings, *, idempotent: bool) -> None:
        """An `idempotent` producer's later records of a partition are refused once an earlier one was."""
        self._producer = producer
        self._topics = topics
        self._idempotent = idempotent
        self._review_from = 0.0

    async def publish(self, outgoing: Outgoing) -> None:
        """Send everything and return once the broker has confirmed every record.

        Called with one window after the other, never at the same time: the observations of an
        earlier source offset are confirmed before those of a later one are sent. Raises `KafkaError`
        where the broker refuses a record; then nothing may be committed. An idempotent producer waits for
        a broker that is away.
        """
        topics = self._topics
        confirmations = [await self._send(topics.scored, event.id, event) for event in outgoing.scored]
        before: dict[str, asyncio.Future[RecordMetadata]] = {}
        for batch in outgoing.observations:
            if not self._idempotent and batch.subject in before:
                # Its subject would take what was refused, and is sent again, for a repeat.
                await before[batch.subject]
            before[batch.subject] = await self._send(topics.observed, batch.subject, batch)
            confirmations.append(before[batch.subject])
        confirmations += [
            await self._send(topics.dead_letter, str(dead.position), dead) for dead in outgoing.dead_letters
        ]
        if confirmations:
            await asyncio.gather(*confirmations)

    async def put_aside(self, items: Sequence[ReviewItem]) -> bool:
        """Send events for a person to label; false where the broker does not take them.

        They are a sample: what refuses them must not hold up the stream, so none are sent for a while after that.
        """
        if time.monotonic() < self._review_from:
            return False
        try:
            async with asyncio.timeout(REVIEW_SECONDS):
                topic = self._topics.review
                await asyncio.gather(*[await self._send(topic, item.event.id, item) for item in items])
        except (KafkaError, TimeoutError) as error:
            self._review_from = time.monotonic() + REVIEW_PAUSE_SECONDS
            logger.warning(
                "%d events could not be put aside for review, and for %.0f s none will be: %r",
                len(items),
                REVIEW_PAUSE_SECONDS,
                error,
            )
            return False
        return True

    async def tick(self, now: datetime, partitions: int) -> None:
        """Tell every subject's owner that the stream's time has reached `now`."""
        value = Tick(tick=now).to_bytes()
        confirmations = [
            await self._producer.send(self._topics.observed, value, partition=partition)
            for partition in range(partitions)
        ]
        await asyncio.gather(*confirmations)

    async def _send(self, topic: str, key: str, record: Record) -> asyncio.Future[RecordMetadata]:
        confirmation: asyncio.Future[RecordMetadata]
        confirmation = await self._producer.send(topic, value=record.to_bytes(), key=key.encode())
        return confirmation


def base64_of(value: bytes | None) -> str | None:
    """The bytes as they travel in a dead letter, cut to what fits."""
    return None if value is None else base64.b64encode(value[:DEAD_VALUE_BYTES]).decode()
