"""The broker goes away in the midst of the work, and comes back: nothing is lost, nothing is counted twice."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deliveries import events, expected
from processes import KafkaNode, SystemUnderTest

from stream.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.kafka]


@pytest.fixture
def system(kafka_node: KafkaNode, tmp_path: Path, tiny_bundle: Bundle) -> Iterator[SystemUnderTest]:
    """Topics on a broker that the test may stop."""
    with SystemUnderTest(kafka_node.broker, tmp_path) as under_test:
        under_test.variables["DOWNTICK_BUNDLE"] = str(tiny_bundle.folder)
        # It is asked every ten seconds whether it answers, and has so long to do so.
        under_test.variables["DOWNTICK_KAFKA__CONNECT_TIMEOUT_SECONDS"] = "3"
        yield under_test


def test_workers_go_on_when_the_broker_is_back(kafka_node: KafkaNode, system: SystemUnderTest) -> None:
    rows = events(7_000, seconds=1.0)
    workers = [system.start_worker(), system.start_worker()]
    time.sleep(3)
    system.send(rows[:6_000])
    system.wait_until_read(500)
    kafka_node.stop(signal.SIGKILL)
    time.sleep(15)
    assert [worker.process.poll() for worker in workers] == [None, None]
    assert system.events_read() < 6_000, "it was in the midst of the work"
    assert [worker.metrics()['downtick_ready{check="broker"}'] for worker in workers] == [0, 0]
    kafka_node.start()
    system.send(rows[6_000:])
    assert system.wait_for_count(7_000, seconds=150) == expected(rows)
    assert {event.id for event in system.scored()} == {row["id"] for row in rows}
    for worker in workers:
        worker.wait_until_ready()
