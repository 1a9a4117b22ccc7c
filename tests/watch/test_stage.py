"""The watch stage's guard: what hangs ends the process, so that its supervisor starts it afresh."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.kafka import StallError
from stream.metrics import WatchMetrics
from stream.rules import Rules
from stream.settings import Settings, WatchSettings
from stream.watch.log import TakenOverError
from stream.watch.stage import WatchStage

SETTINGS = Settings(watch=WatchSettings(stall_seconds=5))
PLACE = TP(SETTINGS.topics.observed, 0)


class FakeLog:
    """A log of one partition, behind which so many records wait."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting

    async def take_over(self, _partition: int, abandoned: Any) -> dict[bytes, bytes]:
        assert not abandoned()
        return {}

    async def ends(self, _topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self._waiting)

    async def beginnings(self, _topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)


class LogOutOfReach:
    """A log whose broker is gone."""

    async def take_over(self, _partition: int, _abandoned: Any) -> dict[bytes, bytes]:
        raise KafkaConnectionError


def stage_on(log: object) -> WatchStage:
    """A stage that reads one partition, whose states are in this log."""

    def fail(error: Exception) -> None:
        raise error

    stage = WatchStage(SETTINGS, Rules(), WatchMetrics(CollectorRegistry(), []), None, fail=fail)
    stage._log = cast("Any", log)
    stage._owned = stage._ownership(stage._log)
    stage._assigned = frozenset([PLACE])
    return stage


async def guard(waiting: int, *, hang: bool = False, lost: bool = False) -> None:
    """Let the stage's two tasks go on until one fails, for at most longer than the limit."""
    stage = stage_on(FakeLog(waiting))
    stage._freeze.start()
    if lost:
        stage._owned.lose(TakenOverError("another worker has taken over"))
    if hang:
        await stage._in_hand.acquire()
    tasks = [cast("Any", task).fun(stage) for task in (WatchStage._look_for_work, WatchStage._watch_progress)]
    async with asyncio.timeout(1.6 * SETTINGS.watch.stall_seconds):
        await asyncio.gather(*tasks)


def test_a_record_in_hand_that_is_never_done_is_a_stall() -> None:
    with pytest.raises(StallError, match="none was handled for 5 s"):
        asyncio.run(guard(0, hang=True))


def test_to_have_nothing_to_do_is_no_stall() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(guard(0))


def test_records_that_wait_while_the_partitions_rest_are_no_stall() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(guard(7, lost=True))


def test_a_broker_that_is_gone_while_a_log_is_read_is_waited_for() -> None:
    message = cast("Any", SimpleNamespace(tp=PLACE, partition=0, offset=0, value=b""))
    stage = stage_on(LogOutOfReach())
    asyncio.run(stage._take(message))
    assert list(stage._owned) == []
