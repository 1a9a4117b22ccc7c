"""The whole, with the model that ships, on the stream that ships: what must alert does, what must not stays quiet.

On the embedded broker, and on Apache Kafka with one worker killed half-way.
"""

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from processes import SystemUnderTest

import demo
from demo.stories import EPISODES
from stream.records import AlertState
from stream.replay import Item, read_items, send

DEMO = Path(demo.__file__).parent
DAYS_A_SECOND = 4 / 60
"""Slow enough that two workers keep pace on a small machine: the four days take a minute at best."""
PATIENCE = timedelta(minutes=45)
"""An episode begins as a trickle; this long after its first item the alert is out."""


def replay(system: SystemUnderTest, items: list[Item]) -> threading.Thread:
    """Send the items in the background, at a speed that keeps the partitions of two workers abreast."""
    thread = threading.Thread(
        target=lambda: asyncio.run(send(system.settings, items, DAYS_A_SECOND * 86_400)), daemon=True
    )
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_scandal_and_the_rumour_alert_and_good_news_and_plain_volume_do_not(
    system: SystemUnderTest,
) -> None:
    system.variables["DOWNTICK_WATCHLIST"] = str(DEMO / "watchlist.yaml")
    system.variables["DOWNTICK_ENGINE__THREADS"] = "1"
    system.variables["DOWNTICK_SPIKES__FALSE_ALARMS_PER_DAY"] = "0.01"
    items = read_items(DEMO / "stream.jsonl")
    system.start_worker()
    victim = system.start_worker()
    time.sleep(3)
    sending = replay(system, items)
    if system.broker.idempotence:
        while len(system.scored()) < len(items) // 4:
            time.sleep(1)
        victim.stop(signal.SIGKILL)
    sending.join(timeout=300)
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
            assert first - episode.start <= PATIENCE, f"{episode.name} fired after {first - episode.start}"
            assert any(alert.evidence and alert.topics for alert in during)
        else:
            assert during == [], f"{episode.name} fired: {[alert.reason for alert in during]}"
