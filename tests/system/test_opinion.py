"""The whole, with the model that ships, on the stream that ships: what must alert does, what must not stays quiet.

On the embedded broker, and on Apache Kafka with one worker killed half-way.
"""

import asyncio
import json
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from processes import SystemUnderTest, WorkerProcess

import demo
from demo.stories import EPISODES
from stream.records import AlertState
from stream.replay import Item, read_items, send

DEMO = Path(demo.__file__).parent
ON_THEIR_WAY = 60
"""Most events that are sent ahead of the scores, so that two workers stay abreast in event time."""
PATIENCE = timedelta(minutes=45)
"""After its first, faint phase an episode surges; this long after that the alert is out."""


def scored_by(workers: list[WorkerProcess]) -> int:
    """Events that the running ones of these workers have scored."""
    samples = [worker.metrics() for worker in workers if worker.process.poll() is None]
    name = "downtick_events_scored_total"
    return int(sum(value for each in samples for key, value in each.items() if key.startswith(name)))


def replay(system: SystemUnderTest, items: list[Item], before: int = 0) -> None:
    """Send the items as fast as the workers score them; `before` is what they had scored already."""
    for start in range(0, len(items), ON_THEIR_WAY):
        asyncio.run(send(system.settings, items[start : start + ON_THEIR_WAY], float("inf")))
        deadline = time.monotonic() + 15
        while scored_by(system.workers) - before < start and time.monotonic() < deadline:
            time.sleep(0.05)
        system.require_running()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_scandal_and_the_rumour_alert_and_good_news_and_plain_volume_do_not(
    system: SystemUnderTest,
) -> None:
    system.variables["DOWNTICK_WATCHLIST"] = str(DEMO / "watchlist.yaml")
    system.variables["DOWNTICK_ENGINE__THREADS"] = "1"
    items = read_items(DEMO / "stream.jsonl")
    system.start_worker()
    victim = system.start_worker()
    time.sleep(3)
    quarter = len(items) // 4
    replay(system, items[:quarter])
    if system.broker.idempotence:
        victim.stop(signal.SIGKILL)
    replay(system, items[quarter:], before=scored_by(system.workers))
    counted = system.wait_for_count(len(items), seconds=300)
    assert counted.total() == len(items), "every event is counted, and none twice"

    ids = Counter(json.loads(item.value)["id"] for item in items)
    assert {event.id for event in system.scored()} == set(ids)
    assert system.dead_letters() == []

    fired = [alert for alert in system.alerts() if alert.state is AlertState.FIRING and alert.fired_at]
    for episode in EPISODES:
        own = [alert for alert in fired if alert.subject == episode.subject]
        during = [alert for alert in own if alert.fired_at and episode.start <= alert.fired_at <= episode.end]
        if episode.must_alert:
            first = min((alert.fired_at for alert in during if alert.fired_at), default=None)
            assert first is not None, f"{episode.name} fired no alert"
            surges, _ = episode.span(episode.phases[1])
            assert first - surges <= PATIENCE, f"{episode.name} fired {first - surges} after it surged"
            assert any(alert.evidence and alert.topics for alert in during)
            assert any(event.words for alert in during for event in alert.evidence)
        else:
            assert during == [], f"{episode.name} fired: {[alert.reason for alert in during]}"
