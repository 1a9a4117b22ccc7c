"""No accepted event is lost and none is counted twice, whatever happens to the workers.

Real brokers, real worker processes; the model is the tiny one, since what it says is not the point.
"""

import asyncio
import json
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from deliveries import START, TEXTS, events, expected
from processes import SystemUnderTest, WorkerProcess, one_broker_is_enough

from stream.bundle import Bundle
from stream.labels import ALL
from stream.records import AlertState, DeadLetterReason


@pytest.fixture(autouse=True)
def _tiny_model(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> None:
    system: SystemUnderTest = request.getfixturevalue("system")
    system.variables["DOWNTICK_BUNDLE"] = str(tiny_bundle.folder)


def test_counts_in_equal_counts_out(system: SystemUnderTest) -> None:
    rows = events(600)
    system.start_worker()
    system.send(rows)
    assert system.wait_for_count(600) == expected(rows)
    scored = system.scored()
    assert {event.id for event in scored} == {row["id"] for row in rows}
    assert len(scored) == 600
    assert len({event.bundle for event in scored}) == 1
    assert system.dead_letters() == []
    assert system.workers[0].stop() == 0


def test_bad_records_are_set_aside_with_their_reason_and_the_stream_goes_on(system: SystemUnderTest) -> None:
    bad: list[tuple[bytes | None, DeadLetterReason]] = [
        (None, DeadLetterReason.TOMBSTONE),
        (b"not json", DeadLetterReason.NOT_JSON),
        (b"\xff\xff", DeadLetterReason.NOT_UTF8),
        (b"[]", DeadLetterReason.INVALID),
        (b'{"text": 5}', DeadLetterReason.INVALID),
        (b'{"text": "x", "time": "2026-02-30"}', DeadLetterReason.INVALID),
        (b'{"id": "1"}', DeadLetterReason.NO_TEXT),
        (b'{"text": ""}', DeadLetterReason.NO_TEXT),
        (
            json.dumps({"text": "a poisonpill", "time": START.isoformat()}).encode(),
            DeadLetterReason.MODEL_FAILED,
        ),
    ]
    handled = [
        {"text": "bad \ud800 surrogate", "time": START.isoformat()},
        {"text": "bad \x00\x07 control", "time": START.isoformat()},
        {"text": "bad " * 100_000, "time": START.isoformat()},
        {"text": "плохой день", "time": START.isoformat()},
        {"text": "good", "time": "2999-01-01T00:00:00Z"},
        {"text": "good day at X", "time": START.isoformat(), "entities": [{"name": "Nobody", "ticker": "?"}]},
    ]
    good = events(40)
    system.start_worker()
    mixed: list[dict[str, object] | bytes | None] = []
    for number, row in enumerate(good):
        mixed.append(dict(row))
        if number < len(bad):
            mixed.append(bad[number][0])
    system.send([*mixed, *handled])
    system.wait_for_count(len(good) + len(handled))
    letters = system.dead_letters()
    assert Counter(letter.reason for letter in letters) == Counter(reason for _, reason in bad)
    assert {letter.value for letter in letters} == {value for value, _ in bad}
    assert all(letter.detail and letter.position.topic == system.settings.topics.raw for letter in letters)
    metrics = system.workers[0].metrics()
    assert metrics["downtick_events_future_total"] == 1
    assert sum(
        value for name, value in metrics.items() if name.startswith("downtick_dead_letters_total")
    ) == len(bad)


def test_what_a_transaction_has_withdrawn_is_not_counted(system: SystemUnderTest) -> None:
    if not system.broker.idempotence:
        pytest.skip("the embedded broker has no transactions")
    rows = events(40)

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=system.broker.address, transactional_id="source")
        await producer.start()
        for withdrawn in (True, False):
            await producer.begin_transaction()
            for row in rows:
                # A source that tries again need not give its events ids.
                value = json.dumps({"text": row["text"], "time": row["time"]}).encode()
                await producer.send(system.settings.topics.raw, value, row["id"].encode())
            await (producer.abort_transaction() if withdrawn else producer.commit_transaction())
        await producer.stop()

    system.start_worker()
    asyncio.run(send())
    assert system.wait_for_count(40) == expected(rows)
    system.send(events(10, start=START + timedelta(hours=1), prefix="more"))
    assert system.wait_for_count(50).total() == 50
    assert len(system.scored()) == 50


def test_months_of_history_at_full_speed_are_counted_in_full(system: SystemUnderTest) -> None:
    rows = events(1_200, seconds=6 * 3600.0)
    # Far fewer at a time than a partition has, so that one could run months ahead of the others.
    system.variables["DOWNTICK_SCORE__WINDOW_EVENTS"] = "16"
    # All there before it begins: of what is still to come nobody can know how old it will be.
    system.send(rows)
    system.start_worker()
    assert system.wait_for_count(1_200) == expected(rows)


def test_an_alert_goes_out_within_seconds_of_the_events_that_cause_it(system: SystemUnderTest) -> None:
    now = datetime.now(UTC)
    history = events(400, start=now - timedelta(days=3), seconds=600.0)
    for number, row in enumerate(history):
        row["text"] = f"bad day {number}" if number % 20 == 0 else f"a meeting was held {number}"
    # All there before it begins, or a part of it could come first and leave the rest late.
    system.send(history)
    system.start_worker()
    system.wait_for_count(400)
    assert not any(alert.state is AlertState.FIRING for alert in system.alerts())
    # Each told in other words, or they would be taken for reposts.
    surge = [f"fraud {random.randbytes(20).hex()}" for _ in range(12)]
    sent = time.monotonic()
    system.send([{"text": text, "time": datetime.now(UTC).isoformat()} for text in surge])
    while not any(alert.state is AlertState.FIRING for alert in system.alerts()):
        assert time.monotonic() - sent < 10
    metrics = system.workers[0].metrics()
    within = metrics['downtick_alert_latency_seconds_bucket{le="5.0"}']
    assert within == metrics["downtick_alert_latency_seconds_count"] > 0


def test_two_workers_share_the_partitions(system: SystemUnderTest) -> None:
    first, second = system.start_worker(), system.start_worker()
    # Both have joined; the second one's arrival moved partitions once more.
    time.sleep(3)
    rows = events(800)
    system.send(rows)
    assert system.wait_for_count(800) == expected(rows)
    shares = [worker.metrics()["downtick_events_read_total"] for worker in (first, second)]
    assert min(shares) > 0
    assert sum(shares) >= 800


def test_stages_can_run_apart(system: SystemUnderTest) -> None:
    system.start_worker("--stages", "score")
    system.start_worker("--stages", "watch")
    rows = events(200)
    system.send(rows)
    assert system.wait_for_count(200) == expected(rows)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing_and_counts_nothing_twice(system: SystemUnderTest) -> None:
    rows = events(6_000, seconds=1.0)
    victim, survivor = two_workers_amidst(system, rows[:5_000])
    victim.stop(signal.SIGKILL)
    system.send(rows[5_000:])
    assert system.wait_for_count(6_000, seconds=180) == expected(rows)
    assert {event.id for event in system.scored()} == {row["id"] for row in rows}
    # Both died at once, and a newcomer finds everything as it was: nothing is counted again.
    survivor.stop(signal.SIGKILL)
    system.start_worker()
    more = events(200, start=START + timedelta(hours=2), prefix="more")
    system.send(more)
    assert system.wait_for_count(6_200, seconds=120) == expected(rows) + expected(more)


@pytest.mark.slow
def test_workers_that_come_and_go_under_load_lose_nothing_and_count_nothing_twice(
    system: SystemUnderTest,
) -> None:
    # The embedded broker sometimes never ends a rebalance that several members leave at once.
    one_broker_is_enough(system)
    rows = events(9_000, seconds=1.0)
    first = system.start_worker()
    system.send(rows[:3_000])
    system.wait_until_read(200)
    second = system.start_worker()
    system.send(rows[3_000:6_000])
    third = system.start_worker()
    system.send(rows[6_000:])
    assert system.events_read() < 9_000, "they are in the midst of the work"
    assert second.stop() == 0
    assert first.stop() == 0
    assert system.wait_for_count(9_000, seconds=180) == expected(rows)
    assert {event.id for event in system.scored()} == {row["id"] for row in rows}
    assert third.process.poll() is None


@pytest.mark.slow
def test_a_worker_that_was_frozen_ends_and_overwrites_nothing(system: SystemUnderTest) -> None:
    one_broker_is_enough(system)
    rows = events(6_000, seconds=1.0)
    frozen, other = two_workers_amidst(system, rows[:5_000])
    frozen.process.send_signal(signal.SIGSTOP)
    system.send(rows[5_000:])
    assert system.wait_for_count(6_000, seconds=180) == expected(rows)
    frozen.process.send_signal(signal.SIGCONT)
    assert frozen.process.wait(30) == 1
    assert "stood still" in frozen.output()
    system.workers.remove(frozen)
    other.stop(signal.SIGKILL)
    system.start_worker()
    more = events(200, start=START + timedelta(hours=2), prefix="more")
    system.send(more)
    assert system.wait_for_count(6_200, seconds=120) == expected(rows) + expected(more)


def two_workers_amidst(
    system: SystemUnderTest, rows: list[dict[str, str]]
) -> tuple[WorkerProcess, WorkerProcess]:
    """Two workers in the midst of these events; the first holds the state of `all`."""
    # Of many small windows one is always on its way to the broker.
    system.variables["DOWNTICK_SCORE__WINDOW_EVENTS"] = "64"
    workers = [system.start_worker(), system.start_worker()]
    time.sleep(3)
    system.send(rows)
    deadline = time.monotonic() + 60
    while max(counted := [counted_for_all(worker) for worker in workers]) < 200:
        system.require_running()
        assert time.monotonic() < deadline, workers[0].output()
        time.sleep(0.05)
    assert system.events_read() < len(rows), "they are in the midst of the work"
    first, second = workers
    return (first, second) if counted[0] > counted[1] else (second, first)


def counted_for_all(worker: WorkerProcess) -> float:
    """How many events this worker has counted for the subject `all`."""
    key = 'downtick_subject_events_total{sentiment="%s",subject="all"}'
    metrics = worker.metrics()
    return sum(metrics.get(key % sentiment, 0.0) for sentiment in TEXTS)


def test_every_subject_of_an_event_counts_it(system: SystemUnderTest) -> None:
    watchlist = system.folder / "watchlist.yaml"
    watchlist.write_text("entities:\n- {name: Acme, ticker: ACME, aliases: [艾克米]}\n", encoding="utf-8")
    system.variables["DOWNTICK_WATCHLIST"] = str(watchlist)
    system.start_worker()
    time_ = START.isoformat()
    system.send(
        [
            {"text": "fraud at $ACME", "time": time_},
            {"text": "艾克米 跌", "time": time_},
            {"text": "good day", "time": time_, "entities": [{"name": "Other Co", "ticker": "OTHR"}]},
        ]
    )
    system.wait_for_count(3)
    counts = system.counts()
    assert counts[ALL] == Counter(negative=2, positive=1)
    assert counts["entity:ACME"] == Counter(negative=2)
    assert counts["entity:OTHR"] == Counter(positive=1)
    assert counts["topic:fraud-accounting"] == Counter(negative=1)
    assert counts["topic:markets"] == Counter(negative=1)
    metrics = system.workers[0].metrics()
    key = 'downtick_subject_events_total{sentiment="negative",subject="entity:ACME"}'
    assert metrics[key] == 2
    assert not any("OTHR" in name for name in metrics), "only the watch list has series of its own"
