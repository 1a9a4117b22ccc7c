"""What is sent in which order, and what waits for the broker's word."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from stream.records import Observations
from stream.score.publish import REVIEW_PAUSE_SECONDS, Outgoing, Publisher
from stream.settings import TopicSettings


class Broker:
    """Takes records as a producer does, and refuses those of one value."""

    def __init__(self, refused: bytes) -> None:
        self.refused = refused
        self.sent: list[bytes] = []

    async def send(self, topic: str, value: bytes, key: bytes) -> Any:  # noqa: ARG002
        self.sent.append(value)
        answer = asyncio.get_running_loop().create_future()
        if value == self.refused:
            asyncio.get_running_loop().call_later(0.01, answer.set_exception, MessageSizeTooLargeError())
        else:
            asyncio.get_running_loop().call_later(0.01, answer.set_result, None)
        return answer


@pytest.mark.parametrize("idempotent", [True, False])
async def test_nothing_follows_what_was_refused_of_a_subject_where_the_broker_does_not_see_to_it(
    *, idempotent: bool
) -> None:
    parts = [Observations(subject="all", bundle=name, observations=[]) for name in ("a", "b")]
    other = Observations(subject="entity:X", bundle="c", observations=[])
    broker: Any = Broker(refused=parts[0].to_bytes())
    publisher = Publisher(broker, TopicSettings(), idempotent=idempotent)
    with pytest.raises(MessageSizeTooLargeError):
        await publisher.publish(Outgoing([], [other, *parts], []))
    assert (parts[1].to_bytes() in broker.sent) == idempotent
    assert other.to_bytes() in broker.sent


class SilentBroker:
    """Never answers, as a producer does whose topic was deleted; counts what it is asked to take."""

    def __init__(self) -> None:
        self.asked = 0

    async def send(self, _topic: str, **_record: object) -> None:
        self.asked += 1
        await asyncio.Event().wait()


async def test_once_the_broker_took_no_sample_the_stream_waits_for_none_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("stream.score.publish.time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("stream.score.publish.REVIEW_SECONDS", 0.01)
    broker: Any = SilentBroker()
    publisher = Publisher(broker, TopicSettings(), idempotent=True)
    item: Any = SimpleNamespace(event=SimpleNamespace(id="1"), to_bytes=lambda: b"{}")
    for clock.now in (1000.0, 1001.0, 1000.0 + REVIEW_PAUSE_SECONDS - 1):
        assert not await publisher.put_aside([item])
    assert broker.asked == 1
    assert caplog.text.count("1 events could not be put aside for review, and for 60 s none will be") == 1
    clock.now += 2
    assert not await publisher.put_aside([item])
    assert broker.asked == 2
