"""Events per second through workers at a broker, and how far behind they are.

    python -m bench.flow [--events 20000] [--rate 100 …] [--workers 1 | --score N --watch N] [--kill]

Kafka, the bundle and the provider are those of the settings (`DOWNTICK_KAFKA__BROKERS`, `DOWNTICK_BUNDLE`,
`DOWNTICK_ENGINE__PROVIDER`, …); topics and groups are its own, and the topics are deleted at the end. The events
are the demo's texts, each with a number and one of 300 companies. First a backlog: 3,000 in twenty hours, and the
rest within a minute. Then `--rate` events a second for twelve seconds, each of the second in which it is sent.
With `--kill` all workers are killed in the midst of 8,000 more, and started again. In the end the trend is to
count every event once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.broker import free_port
from stream.kafka import client_options
from stream.settings import Settings, load_settings

TEXTS = Path(__file__).parents[1] / "demo" / "stream.jsonl"
DOWNTICK = str(Path(sys.executable).with_name("downtick"))
COMPANIES = 300
HISTORY_EVENTS = 3_000
HISTORY_SECONDS = 20 * 3600.0
"""Less than a day: however far one worker runs ahead of another, nothing comes too late."""
BACKLOG_SECONDS = 60.0
LIVE_SECONDS = 12.0
KILLED_AMIDST = 8_000
TOPICS = ("raw", "dead_letter", "scored", "review", "observed", "states", "windows", "alerts")
READY_SECONDS = 120.0
STOP_SECONDS = 90.0
SETTLED_SECONDS = 2.5
"""The watch stage shows its lag every two seconds at most."""


class Source:
    """Makes events and sends them, spread over the partitions."""

    def __init__(self, settings: Settings, texts: Sequence[str]) -> None:
        self._settings = settings
        self._texts = texts
        self._random = random.Random(1)
        self.sent = 0

    def event(self, when: float) -> bytes:
        """The next event, of that time."""
        self.sent += 1
        company = self._random.randrange(COMPANIES)
        text = f"{self._random.choice(self._texts)} ({self.sent})"
        entity = {"name": f"Corp {company}", "ticker": f"X{company}"}
        return json.dumps({"id": str(self.sent), "text": text, "entities": [entity], "time": when}).encode()

    async def send(self, times: Iterable[float], rate: float | None = None) -> None:
        """Send an event of each time, so many a second; each time is asked for when its event is sent."""
        producer = AIOKafkaProducer(**client_options(self._settings.kafka), acks="all")
        await producer.start()
        started, pending = time.monotonic(), []
        topic, partitions = self._settings.topics.raw, self._settings.topics.partitions
        for number, when in enumerate(times):
            pending.append(await producer.send(topic, self.event(when), partition=number % partitions))
            if rate and (early := started + (number + 1) / rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
        await asyncio.gather(*pending)
        await producer.stop()

    async def backlog(self, events: int) -> None:
        """Days with little, and a minute with the rest."""
        old, last = min(HISTORY_EVENTS, events // 2), time.time() - BACKLOG_SECONDS
        history = [last - HISTORY_SECONDS * (1 - number / old) for number in range(old)]
        minute = [last + BACKLOG_SECONDS * number / (events - old) for number in range(events - old)]
        await self.send(history + minute)

    async def live(self, events: int, rate: float | None = None) -> None:
        """Events of now."""
        await self.send((time.time() for _ in range(events)), rate)


class Workers:
    """Worker processes that run together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ports: list[int] = []

    def start(self, stages: Sequence[str]) -> None:
        """Start a worker for each of these, and wait until all are ready."""
        self._processes, self._ports = [], []
        for number, stage in enumerate(stages):
            port, log = free_port(), self._folder / f"{uuid4().hex}.log"
            own = {
                "DOWNTICK_WEB__HOST": "127.0.0.1",
                "DOWNTICK_WEB__PORT": str(port),
                "DOWNTICK_WATCH__STATE_DIRECTORY": str(self._folder / f"state-{number}"),
            }
            command = [DOWNTICK, "worker", "--stages", stage]
            with log.open("wb") as output:
                process = subprocess.Popen(command, env=os.environ | own, stdout=output, stderr=output)
            self._processes.append(process)
            self._ports.append(port)
        deadline = time.monotonic() + READY_SECONDS
        while not all(map(_answers, self._ports)):
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                logs = "".join(log.read_text() for log in self._folder.glob("*.log"))
                raise SystemExit(f"a worker ended, or is not ready after {READY_SECONDS:.0f} s:\n{logs}")
            time.sleep(0.1)

    def metrics(self) -> dict[str, float]:
        """What all of them count, by name and labels."""
        found: dict[str, float] = defaultdict(float)
        for port in self._ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    if line and not line.startswith("#"):
                        name, _, value = line.rpartition(" ")
                        found[name] += float(value)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and wait for their end; who takes too long is killed."""
        for process in self._processes:
            process.send_signal(number)
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
        return True
    return False


def total(metrics: dict[str, float], name: str) -> float:
    """The sum over all labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)


def drain(workers: Workers, events: int) -> None:
    """Say how fast a backlog is scored, and watched."""
    started = time.monotonic()
    scored_at = watched_at = None
    while watched_at is None or time.monotonic() - started < watched_at + SETTLED_SECONDS:
        time.sleep(0.2)
        metrics, seconds = workers.metrics(), time.monotonic() - started
        if scored_at is None and total(metrics, "downtick_events_scored_total") >= events:
            scored_at = watched_at = seconds
        # What waits is shown every two seconds, so that this is up to so much too late.
        if scored_at is not None and total(metrics, "downtick_watch_lag_records"):
            watched_at = seconds
    assert scored_at is not None
    print(
        f"backlog of {events:,}: scored {events / scored_at:,.0f} a second, watched {events / watched_at:,.0f}"
    )


def follow(workers: Workers, source: Source, rate: float) -> None:
    """Say how late live events are scored, and what waits behind the last of them."""
    before, events = workers.metrics(), round(rate * LIVE_SECONDS)
    asyncio.run(source.live(events, rate))
    behind = total(workers.metrics(), "downtick_score_lag_events")
    time.sleep(SETTLED_SECONDS)
    metrics = workers.metrics()
    waiting = total(metrics, "downtick_watch_lag_records")
    scored = _mean(before, metrics, "downtick_score_latency_seconds")
    told = _mean(before, metrics, "downtick_alert_latency_seconds")
    alerts = f"; alerts {told:.2f} s after what they tell of" if told is not None else ""
    print(
        f"live, {rate:,.0f} a second: scored after {scored or 0.0:.3f} s on average; "
        f"{behind:,.0f} to score at the end, and {waiting:,.0f} records to watch {SETTLED_SECONDS} s later{alerts}"
    )


def _mean(before: dict[str, float], after: dict[str, float], name: str) -> float | None:
    """The mean of what a histogram saw in between; None where it saw nothing."""
    seconds, number = (total(after, name + end) - total(before, name + end) for end in ("_sum", "_count"))
    return seconds / number if number else None


async def counted(settings: Settings) -> int:
    """How many events the trend of `all` counts, by the newest row of each interval."""
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), auto_offset_reset="earliest")
    await consumer.start()
    try:
        topic = settings.topics.windows
        rows: dict[bytes, dict[str, Any]] = {}
        places = [TopicPartition(topic, number) for number in range(settings.topics.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            while await consumer.position(place) < ends[place]:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    rows |= {record.key: json.loads(record.value) for record in records}
    finally:
        await consumer.stop()
    own = [row for row in rows.values() if row["subject"] == "all"]
    return sum(int(row[label]) for row in own for label in ("negative", "neutral", "positive"))


def wait_for(settings: Settings, events: int, limit: float = 120.0) -> bool:
    """Say how many events the trend counts in the end, and whether that is each of them once."""
    started = time.monotonic()
    while asyncio.run(counted(settings)) < events and time.monotonic() - started < limit:
        time.sleep(1)
    # What is counted twice may come later.
    time.sleep(SETTLED_SECONDS)
    found = asyncio.run(counted(settings))
    print(f"the trend counts {found:,} of {events:,} events")
    return found == events


async def delete(settings: Settings) -> None:
    """Delete the topics."""
    client = AIOKafkaAdminClient(**client_options(settings.kafka))
    await client.start()
    await client.delete_topics([getattr(settings.topics, name) for name in TOPICS])
    await client.close()


def main() -> None:
    """Measure, and print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000, help="how many wait when the workers start")
    parser.add_argument("--rate", type=float, nargs="*", default=[100.0], help="live events a second")
    parser.add_argument("--workers", type=int, default=1, help="that run both stages")
    parser.add_argument("--score", type=int, default=0, help="that score only, in place of those")
    parser.add_argument("--watch", type=int, default=0, help="that watch only, in place of those")
    parser.add_argument("--kill", action="store_true", help="kill all in the midst of the work")
    arguments = parser.parse_args()
    prefix = f"flow-{uuid4().hex[:8]}"
    names = {f"DOWNTICK_TOPICS__{name.upper()}": f"{prefix}.{name}" for name in TOPICS}
    groups = {f"DOWNTICK_{stage}__GROUP": f"{prefix}-{stage.lower()}" for stage in ("SCORE", "WATCH")}
    os.environ |= names | groups | {"DOWNTICK_LOGGING__FORMAT": "text"}
    settings = load_settings()
    apart = ["score"] * arguments.score + ["watch"] * arguments.watch
    stages = apart or ["score,watch"] * arguments.workers
    texts = [json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    source = Source(settings, texts)
    if subprocess.run([DOWNTICK, "topics", "create"], check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(1)
    with tempfile.TemporaryDirectory() as folder:
        workers = Workers(Path(folder))
        try:
            asyncio.run(source.backlog(arguments.events))
            workers.start(stages)
            drain(workers, source.sent)
            for rate in arguments.rate:
                follow(workers, source, rate)
            if arguments.kill:
                asyncio.run(source.live(KILLED_AMIDST // 2))
                workers.stop(signal.SIGKILL)
                asyncio.run(source.live(KILLED_AMIDST - KILLED_AMIDST // 2))
                workers.start(stages)
            right = wait_for(settings, source.sent)
        finally:
            workers.stop()
            asyncio.run(delete(settings))
    raise SystemExit(0 if right else 1)


if __name__ == "__main__":
    main()
