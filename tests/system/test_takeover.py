"""A partition's log on a real broker: who has been replaced can do no harm, whenever its rows arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from deliveries import events, expected
from processes import PARTITIONS, KafkaBroker, SystemUnderTest, one_broker_is_enough

from stream.bundle import Bundle
from stream.kafka import FencedError, new_producer
from stream.settings import KafkaSettings
from stream.watch.log import StateLog

PARTITION = 0


@asynccontextmanager
async def worker(system: SystemUnderTest, forget_after_days: float = 180) -> AsyncIterator[StateLog]:
    """A worker's own connections to the log."""
    broker: KafkaBroker = system.broker
    settings = KafkaSettings(brokers=broker.address, idempotence=broker.idempotence)
    producer = new_producer(settings)
    log = StateLog(settings, system.settings.topics.states, producer, forget_after_days=forget_after_days)
    await producer.start()
    await log.start()
    try:
        yield log
    finally:
        await log.stop()
        await producer.stop()


def never() -> bool:
    return False


async def take_over(log: StateLog) -> dict[bytes, bytes]:
    found = await log.take_over(PARTITION, never)
    assert found is not None
    return found


def test_a_new_owner_finds_what_the_one_before_has_written(system: SystemUnderTest) -> None:
    async def scene() -> None:
        async with worker(system) as first, worker(system) as second:
            assert await take_over(first) == {}
            assert await first.write(PARTITION, [(b"x", b"1"), (b"next", b"7")]) == set()
            assert await first.write(PARTITION, [(b"x", b"2"), (b"next", b"8")]) == set()
            assert await take_over(second) == {b"x": b"2", b"next": b"8"}

    asyncio.run(scene())


def test_who_was_replaced_learns_it_and_its_late_rows_count_for_nobody(system: SystemUnderTest) -> None:
    async def scene() -> None:
        async with worker(system) as cut_off, worker(system) as owner, worker(system) as third:
            await take_over(cut_off)
            await cut_off.write(PARTITION, [(b"x", b"36"), (b"next", b"36")])
            await take_over(owner)
            await owner.write(PARTITION, [(b"x", b"160"), (b"next", b"160")])
            with pytest.raises(FencedError, match="another worker has taken over partition 0"):
                await cut_off.write(PARTITION, [(b"x", b"36"), (b"next", b"37")])
            assert await owner.write(PARTITION, [(b"y", b"1"), (b"next", b"161")]) == {b"x"}
            assert await take_over(third) == {b"x": b"160", b"y": b"1", b"next": b"161"}

    asyncio.run(scene())


def test_a_new_owner_writes_again_what_a_late_row_has_written_over(system: SystemUnderTest) -> None:
    async def scene() -> None:
        async with worker(system) as cut_off, worker(system) as owner, worker(system) as third:
            await take_over(cut_off)
            await take_over(owner)
            await owner.write(PARTITION, [(b"x", b"160"), (b"next", b"160")])
            with pytest.raises(FencedError):
                await cut_off.write(PARTITION, [(b"x", b"36")])
            assert await take_over(third) == {b"x": b"160", b"next": b"160"}

    asyncio.run(scene())
    # Compaction keeps the last row of a key, whoever wrote it.
    rows = dict(system.read(system.settings.topics.states))
    assert rows[b"x"] == b"160"


def test_a_subject_that_rested_for_long_while_others_did_not_is_forgotten_by_all_owners_to_come(
    system: SystemUnderTest,
) -> None:
    async def scene() -> None:
        async with worker(system) as first, worker(system, half_a_second) as second, worker(system) as third:
            await take_over(first)
            await first.write(PARTITION, [(b"x", b"1"), (b"y", b"1"), (b"next", b"1")])
            await asyncio.sleep(1)
            await first.write(PARTITION, [(b"y", b"2"), (b"next", b"2")])
            assert await take_over(second) == {b"y": b"2", b"next": b"2"}
            assert await take_over(third) == {b"y": b"2", b"next": b"2"}
            await third.write(PARTITION, [(b"x", b"3"), (b"next", b"3")])
            assert await take_over(first) == {b"x": b"3", b"y": b"2", b"next": b"3"}

    half_a_second = 0.5 / 86_400
    asyncio.run(scene())


def test_what_is_written_while_a_worker_takes_over_is_known_to_it(
    system: SystemUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with worker(system) as first, worker(system) as second:
            await take_over(first)
            append = second._append
            intruded = False

            async def intrude(*arguments: Any) -> list[int]:
                nonlocal intruded
                if not intruded:
                    intruded = True
                    await first.write(PARTITION, [(b"x", b"1"), (b"next", b"1")])
                return await append(*arguments)

            monkeypatch.setattr(second, "_append", intrude)
            assert await take_over(second) == {b"x": b"1", b"next": b"1"}

    asyncio.run(scene())


def test_the_log_is_not_read_again_while_nobody_else_writes(
    system: SystemUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with worker(system) as log:
            await take_over(log)
            monkeypatch.delattr(StateLog, "_read_into")
            for number in range(50):
                await log.write(PARTITION, [(b"x", b"%d" % number), (b"next", b"%d" % number)])

    asyncio.run(scene())


def test_a_worker_whose_partitions_were_claimed_by_one_that_is_gone_takes_them_over_again(
    system: SystemUnderTest, tiny_bundle: Bundle
) -> None:
    one_broker_is_enough(system)
    rows = events(600)
    system.variables["DOWNTICK_BUNDLE"] = str(tiny_bundle.folder)
    # After this and the session's time it would have heard that it is no member any more.
    system.variables["DOWNTICK_KAFKA__REQUEST_TIMEOUT_SECONDS"] = "6"
    running = system.start_worker()
    system.send(rows[:300])
    system.wait_for_count(300)

    async def claim_all_and_leave() -> None:
        async with worker(system) as other:
            for number in range(PARTITIONS):
                await other.take_over(number, never)

    asyncio.run(claim_all_and_leave())
    system.send(rows[300:])
    assert system.wait_for_count(600) == expected(rows)
    assert "this one rests until the broker has told whose it is" in running.output()
