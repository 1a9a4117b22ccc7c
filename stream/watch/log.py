"""The states' log: a compacted topic that holds, per partition, each subject's state and the cursor."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.kafka import client_options
from stream.settings import KafkaSettings

POLL_MILLISECONDS = 500


class StateLog:
    """Reads a partition's log to its end, and writes to it.

    Faust's tables do the same, but their recovery may wait for ever: where records arrive while Faust
    resumes, it clears the queue that it is about to read them from.
    """

    def __init__(self, settings: KafkaSettings, topic: str, producer: AIOKafkaProducer) -> None:
        self._topic = topic
        self._producer = producer
        self._consumer = AIOKafkaConsumer(
            **client_options(settings), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def read(self, partition: int, abandoned: Callable[[], bool]) -> dict[bytes, bytes] | None:
        """The newest value of each key, or None where `abandoned` came true meanwhile."""
        place = TopicPartition(self._topic, partition)
        self._consumer.assign([place])
        try:
            end = (await self._consumer.end_offsets([place]))[place]
            await self._consumer.seek_to_beginning(place)
            newest: dict[bytes, bytes] = {}
            while await self._consumer.position(place) < end:
                if abandoned():
                    return None
                fetched = await self._consumer.getmany(place, timeout_ms=POLL_MILLISECONDS)
                newest.update({record.key: record.value for record in fetched.get(place, [])})
            return newest
        finally:
            # Else it would go on and read back what is written from now on.
            self._consumer.unsubscribe()

    async def write(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Append rows in order and return once the broker has confirmed them."""
        confirmations = [
            await self._producer.send(self._topic, value, key, partition=partition) for key, value in rows
        ]
        await asyncio.gather(*confirmations)

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
