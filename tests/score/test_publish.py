"""What is sent in which order, and what waits for the broker's word."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from stream.records import Observations
from stream.score.publish import Outgoing, Publisher
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
