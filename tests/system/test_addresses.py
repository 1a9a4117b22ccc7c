"""A host among the brokers' addresses that takes connections and never answers does not hide the others."""

import socket
import time

from processes import KafkaBroker

from stream.kafka import partition_counts
from stream.settings import KafkaSettings


async def test_the_other_addresses_are_asked_in_time(embedded_broker: KafkaBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = KafkaSettings(brokers=f"{dead},{embedded_broker.address}", connect_timeout_seconds=8)
        # The client tries them in an order of chance.
        for _ in range(4):
            started = time.monotonic()
            assert await partition_counts(settings, ["none"]) == {}
            assert time.monotonic() - started < 6
