"""People are told of each alert: whatever is away for a while, and whoever dies."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from alert_records import alert
from processes import SystemUnderTest, WorkerProcess, one_broker_is_enough
from receiver import Receiver, receiving

from stream.bundle import Bundle
from stream.records import Alert, AlertState, Severity

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def told(system: SystemUnderTest, tiny_bundle: Bundle, receiver: Receiver) -> SystemUnderTest:
    """A system whose notify stage tells the receiver."""
    system.variables |= {
        "DOWNTICK_BUNDLE": str(tiny_bundle.folder),
        "DOWNTICK_NOTIFY__GROUP": f"{system.prefix}-notify",
        "DOWNTICK_NOTIFY__URLS": json.dumps([receiver.url]),
    }
    return system


def publish(system: SystemUnderTest, *alerts: Alert | bytes) -> None:
    """Put revisions into the topic of the alerts."""

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=system.broker.address)
        await producer.start()
        try:
            for one in alerts:
                key, value = (b"?", one) if isinstance(one, bytes) else (one.subject.encode(), one.to_bytes())
                await producer.send_and_wait(system.settings.topics.alerts, value, key=key)
        finally:
            await producer.stop()

    asyncio.run(send())


def notifier(system: SystemUnderTest) -> WorkerProcess:
    return system.start_worker("--stages", "notify")


def test_of_an_alert_is_told_when_it_fires_gets_worse_and_ends_and_of_those_of_before_nothing(
    told: SystemUnderTest, receiver: Receiver
) -> None:
    publish(told, alert("topic:before"), alert("topic:before", revision=2))
    worker = notifier(told)
    publish(
        told,
        alert("all", state=AlertState.PENDING, fired_at=None),
        alert("all", revision=2),
        b"no alert",
        alert("all", revision=3, peak_negative=20),
        alert("all", revision=4, severity=Severity.RED),
        alert("all", revision=5, state=AlertState.RESOLVED),
        alert("all", revision=6),
    )
    assert receiver.wait_for(4) == ["Yellow: all", "Red: all", "Resolved: all", "Yellow: all"]
    assert worker.stop() == 0


def test_what_came_while_nobody_was_there_is_told_by_the_next_and_what_was_told_is_not(
    told: SystemUnderTest, receiver: Receiver
) -> None:
    one_broker_is_enough(told)
    first = notifier(told)
    publish(told, alert("topic:one"))
    receiver.wait_for(1)
    time.sleep(1)  # until it has committed
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    publish(told, alert("topic:two"))
    notifier(told)
    assert receiver.wait_for(2) == ["Yellow: topic:one", "Yellow: topic:two"]


def test_what_a_worker_that_died_was_about_to_tell_the_other_tells(
    told: SystemUnderTest, receiver: Receiver
) -> None:
    one_broker_is_enough(told)
    first, _ = notifier(told), notifier(told)
    receiver.open = False
    topics = [f"topic:{number}" for number in range(8)]
    publish(told, *map(alert, topics))
    deadline = time.monotonic() + 30
    while receiver.refused < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    receiver.open = True
    deadline = time.monotonic() + 60
    # What the first had told and not committed comes twice.
    while set(receiver.titles) != {f"Yellow: {topic}" for topic in topics}:
        assert time.monotonic() < deadline, receiver.titles
        time.sleep(0.1)


def test_a_target_that_is_away_is_told_when_it_is_back(told: SystemUnderTest, receiver: Receiver) -> None:
    notifier(told)
    receiver.open = False
    publish(told, alert("topic:one"), alert("topic:two"))
    deadline = time.monotonic() + 30
    while receiver.refused < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    receiver.open = True
    assert sorted(receiver.wait_for(2)) == ["Yellow: topic:one", "Yellow: topic:two"]


def test_a_target_that_never_takes_a_message_keeps_no_other_from_being_told(
    told: SystemUnderTest, receiver: Receiver
) -> None:
    told.variables |= {
        "DOWNTICK_NOTIFY__URLS": json.dumps(["json://127.0.0.1:9", receiver.url]),
        "DOWNTICK_NOTIFY__RETRY_SECONDS": "1",
    }
    worker = notifier(told)
    publish(told, alert("topic:one"), alert("topic:two"))
    assert sorted(receiver.wait_for(2)) == ["Yellow: topic:one", "Yellow: topic:two"]
    deadline = time.monotonic() + 30
    while worker.metrics()['downtick_notifications_total{outcome="given_up"}'] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert worker.metrics()['downtick_notifications_total{outcome="told"}'] == 2
