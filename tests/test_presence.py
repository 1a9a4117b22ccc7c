"""A broker that is away, or has lost a topic, is told once, and so is its return."""

import logging

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.kafka import BrokerError
from stream.presence import BrokerPresence


class Broker:
    """Answers with these errors in turn, and then with all topics."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def ask(self) -> dict[str, int]:
        if self._errors:
            raise self._errors.pop(0)
        return {"news.raw": 4}


async def test_a_topic_that_is_gone_makes_a_worker_unready_until_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    gone = BrokerError("the broker has no topic news.raw")
    presence = BrokerPresence(Broker(gone, KafkaConnectionError("refused"), TimeoutError()).ask)
    assert presence.ready
    for _ in range(3):
        await presence.look()
        assert not presence.ready
    await presence.look()
    await presence.look()
    assert presence.ready
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "no topic news.raw" in told[0]
    assert "again" in told[1]


async def test_the_broker_is_asked_again_and_again() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            await presence.stop()

    presence = BrokerPresence(ask, every_seconds=0.01)
    await presence.start()
    await presence.wait_until_stopped()
    assert asked == 2
