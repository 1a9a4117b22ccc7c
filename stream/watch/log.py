"""The states' log: a compacted topic that holds, per partition, each subject's state and the cursor."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord, RecordMetadata

from stream.kafka import FencedError, client_options
from stream.settings import KafkaSettings
from stream.watch.ledger import CLAIM_KEY, Ledger, Row

POLL_MILLISECONDS = 500
DAY_MILLISECONDS = 86_400_000
CLAIM_HEADER = "claim"

logger = logging.getLogger(__name__)


class TakenOverError(FencedError):
    """Another worker has claimed the partition: rows of this one count no more."""


@dataclass(slots=True)
class Held:
    """A partition of the log that this process has claimed."""

    token: int
    following: int
    """The offset that the next row gets, unless others write, too."""


class StateLog:
    """Takes a partition's log over and writes to it, until somebody else takes it over.

    Faust's tables do much the same, but their recovery may wait for ever: where records arrive while Faust
    resumes, it clears the queue that it is about to read them from.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, producer: AIOKafkaProducer, *, forget_after_days: float
    ) -> None:
        """`forget_after_days` is how long a key keeps its value while others are written and it is not."""
        self._topic = topic
        self._forget_after = round(forget_after_days * DAY_MILLISECONDS)
        self._producer = producer
        self._in_order = settings.idempotence
        self._held: dict[int, Held] = {}
        self._consumer = AIOKafkaConsumer(
            **client_options(settings), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def take_over(self, partition: int, abandoned: Callable[[], bool]) -> dict[bytes, bytes] | None:
        """Claim a partition and return the newest value of each key; None where `abandoned` came true.

        Keys that were not written for long are forgotten. From then on rows of earlier owners do not count,
        whenever they arrive. Raises `TakenOverError` where somebody else claims it meanwhile.
        """
        while True:
            ledger, end = Ledger(), await self._end(partition)
            if not await self._read_into(ledger, partition, 0, end, abandoned) or abandoned():
                return None
            (claim,) = await self._append(partition, [(CLAIM_KEY, b"")], None)
            if claim == end:
                break
            # Somebody wrote after the log was read: that has to be known, too.
        self._held[partition] = Held(claim, claim + 1)
        forgotten = ledger.forget(self._forget_after)
        if forgotten:
            logger.info("partition %d: %d subjects are forgotten", partition, len(forgotten))
        overwritten = ledger.overwritten | forgotten
        while rows := [(key, ledger.newest[key]) for key in overwritten & ledger.newest.keys()]:
            overwritten = await self.write(partition, rows)
        return ledger.values

    async def write(self, partition: int, rows: Sequence[tuple[bytes, bytes | None]]) -> set[bytes]:
        """Append rows in order and return once the broker has confirmed them; without a value a key is forgotten.

        Returns the keys that an earlier owner has written over since the last call: write them again.
        Raises `TakenOverError` where somebody else has claimed the partition.
        """
        held = self._held[partition]
        offsets = await self._append(partition, rows, held.token)
        if offsets == list(range(held.following, held.following + len(rows))):
            held.following += len(rows)
            return set()
        ledger, end = Ledger(held.token), await self._end(partition)
        await self._read_into(ledger, partition, held.following, end, lambda: False)
        if ledger.token != held.token:
            raise TakenOverError(f"another worker has taken over partition {partition} of {self._topic}")
        held.following = end
        return ledger.overwritten

    async def ends(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The offset behind the last record of each of these partitions of any topic."""
        places = [TopicPartition(topic, partition) for partition in partitions]
        found = await self._consumer.end_offsets(places) if places else {}
        return {place.partition: end for place, end in found.items()}

    async def beginnings(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The offset of the first record that retention has left of each of them."""
        places = [TopicPartition(topic, partition) for partition in partitions]
        found = await self._consumer.beginning_offsets(places) if places else {}
        return {place.partition: beginning for place, beginning in found.items()}

    async def _end(self, partition: int) -> int:
        return (await self.ends(self._topic, [partition]))[partition]

    async def _append(
        self, partition: int, rows: Sequence[tuple[bytes, bytes | None]], token: int | None
    ) -> list[int]:
        """Their offsets, -1 where the broker does not tell."""
        headers = [] if token is None else [(CLAIM_HEADER, b"%d" % token)]
        sent = list[Awaitable[RecordMetadata]]()
        for number, (key, value) in enumerate(rows, start=1):
            # The last row may say that all is done. Without idempotence it could arrive where others are given up.
            if number == len(rows) and not self._in_order:
                await asyncio.gather(*sent)
            sent.append(
                await self._producer.send(self._topic, value, key, partition=partition, headers=headers)
            )
        return [metadata.offset for metadata in await asyncio.gather(*sent)]

    async def _read_into(
        self, ledger: Ledger, partition: int, start: int, end: int, abandoned: Callable[[], bool]
    ) -> bool:
        """Add the rows from `start` to before `end`; False where `abandoned` came true meanwhile."""
        place = TopicPartition(self._topic, partition)
        self._consumer.assign([place])
        try:
            if start:
                self._consumer.seek(place, start)
            else:
                await self._consumer.seek_to_beginning(place)
            while await self._consumer.position(place) < end:
                if abandoned():
                    return False
                fetched = await self._consumer.getmany(place, timeout_ms=POLL_MILLISECONDS)
                for record in fetched.get(place, []):
                    if record.offset < end:
                        ledger.add(_row(record))
            return True
        finally:
            # Else it would go on and read back what is written from now on.
            self._consumer.unsubscribe()


def _row(record: ConsumerRecord) -> Row:
    token = dict(record.headers).get(CLAIM_HEADER)
    return Row(
        record.offset, record.key, record.value, None if token is None else int(token), record.timestamp
    )
