"""Worker processes, and what comes out of their topics, as a user of the system would see it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.broker import free_port
from stream.records import Alert, DeadLetter, ScoredEvent, Window
from stream.settings import Settings, load_settings

KAFKA_START = Path(__file__).parents[2] / "shared" / "kafka" / "kafka-start"
DOWNTICK = Path(sys.executable).with_name("downtick")
PARTITIONS = 4


@dataclass(frozen=True)
class KafkaBroker:
    """Where a broker is, and what it can do."""

    address: str
    idempotence: bool


def _free_pair() -> int:
    """A free port whose next one, which the controller takes, is free too."""
    while True:
        port = free_port()
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", port + 1))
            return port


class KafkaNode:
    """A process of Apache Kafka, whose folder outlives it: after a kill it goes on where it was."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._port = folder, _free_pair()
        self.broker = KafkaBroker(f"127.0.0.1:{self._port}", idempotence=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()

    def start(self, seconds: float = 60) -> None:
        """Return when it serves."""
        log = self._folder / "kafka.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(KAFKA_START), str(self._folder), str(self._port)], stdout=output, stderr=output
            )
        deadline = time.monotonic() + seconds
        while b"Kafka Server started" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                raise AssertionError(f"Apache Kafka did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for its end."""
        self._process.send_signal(number)
        self._process.wait(30)


@dataclass
class WorkerProcess:
    """One `downtick worker`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return when `/readyz` says so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"worker ended with {self.process.returncode}:\n{self.output()}")
            url = f"http://127.0.0.1:{self.port}/readyz"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                return
            time.sleep(0.1)
        raise AssertionError(f"worker not ready after {seconds} s:\n{self.output()}")

    def metrics(self) -> dict[str, float]:
        """All samples of `/metrics`, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def output(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")[-6000:]


@dataclass
class SystemUnderTest:
    """A set of topics, the workers on them, and their records."""

    broker: KafkaBroker
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")

    def __enter__(self) -> Self:
        names = ("raw", "dead_letter", "scored", "review", "observed", "states", "windows", "alerts")
        self.variables = {
            "DOWNTICK_KAFKA__BROKERS": self.broker.address,
            "DOWNTICK_KAFKA__IDEMPOTENCE": str(self.broker.idempotence).lower(),
            "DOWNTICK_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
            "DOWNTICK_TOPICS__PARTITIONS": str(PARTITIONS),
            "DOWNTICK_SCORE__GROUP": f"{self.prefix}-score",
            "DOWNTICK_WATCH__GROUP": f"{self.prefix}-watch",
            "DOWNTICK_WATCH__TICK_SECONDS": "0.5",
            "DOWNTICK_WEB__HOST": "127.0.0.1",
            "DOWNTICK_LOGGING__FORMAT": "text",
            **{f"DOWNTICK_TOPICS__{name.upper()}": f"{self.prefix}.{name}" for name in names},
        }
        self.run("topics", "create")
        return self

    def __exit__(self, *reason: object) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()

    @property
    def settings(self) -> Settings:
        """The settings that the workers have."""
        before = dict(os.environ)
        os.environ.update(self.variables)
        try:
            return load_settings()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def environment(self) -> dict[str, str]:
        """The environment of every process."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOWNTICK_")}
        return inherited | self.variables

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end; return what it printed on both streams."""
        done = subprocess.run(
            [DOWNTICK, *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            timeout=120,
            check=False,
        )
        output = (done.stdout + done.stderr).decode()
        assert done.returncode == status, output
        return output

    def start_worker(self, *arguments: str, ready: bool = True) -> WorkerProcess:
        """Start a worker on a free port."""
        number, port = len(self.workers), free_port()
        log = self.folder / f"worker-{number}.log"
        own = {
            "DOWNTICK_WEB__PORT": str(port),
            "DOWNTICK_WATCH__STATE_DIRECTORY": str(self.folder / f"state-{number}"),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [DOWNTICK, "worker", *arguments],
                env=self.environment() | own,
                cwd=self.folder,
                stdout=output,
                stderr=output,
            )
        worker = WorkerProcess(process, port, log)
        self.workers.append(worker)
        if ready:
            worker.wait_until_ready()
        return worker

    def send(
        self, values: Iterable[Mapping[str, Any] | bytes | None], *, partitions: int = PARTITIONS
    ) -> None:
        """Put records into the raw topic, spread over so many of its partitions, in order."""
        raw = [json.dumps(value).encode() if isinstance(value, Mapping) else value for value in values]

        async def send() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.broker.address, max_request_size=16_000_000)
            await producer.start()
            try:
                topic = self.settings.topics.raw
                pending = [
                    await producer.send(topic, value, key=b"%d" % number, partition=number % partitions)
                    for number, value in enumerate(raw)
                ]
                await asyncio.gather(*pending)
            finally:
                await producer.stop()

        asyncio.run(send())

    def read(self, topic: str) -> list[tuple[bytes | None, bytes]]:
        """All records of a topic now: key and value, in order per partition."""

        async def read() -> list[tuple[bytes | None, bytes]]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.address, auto_offset_reset="earliest")
            await consumer.start()
            try:
                consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
                records, quiet = [], 0
                while quiet < 3:
                    fetched = await consumer.getmany(timeout_ms=300)
                    quiet = 0 if fetched else quiet + 1
                    records += [record for part in fetched.values() for record in part]
                return [(record.key, record.value) for record in records]
            finally:
                await consumer.stop()

        return asyncio.run(read())

    def scored(self) -> list[ScoredEvent]:
        """All scored events."""
        return [ScoredEvent.model_validate_json(value) for _, value in self.read(self.settings.topics.scored)]

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters."""
        values = self.read(self.settings.topics.dead_letter)
        return [DeadLetter.model_validate_json(value) for _, value in values]

    def alerts(self) -> list[Alert]:
        """All alert revisions."""
        return [Alert.model_validate_json(value) for _, value in self.read(self.settings.topics.alerts)]

    def windows(self) -> dict[bytes | None, Window]:
        """The rows of the trend that compaction would leave: the newest of each key."""
        return {
            key: Window.model_validate_json(value) for key, value in self.read(self.settings.topics.windows)
        }

    def counts(self) -> dict[str, Counter[str]]:
        """By subject, how many events of each sentiment the trend counts in all."""
        counts: dict[str, Counter[str]] = {}
        for row in self.windows().values():
            by_label = {"negative": row.negative, "neutral": row.neutral, "positive": row.positive}
            counts.setdefault(row.subject, Counter()).update(by_label)
        return counts

    def wait_for_count(self, events: int, seconds: float = 120) -> Counter[str]:
        """Wait until the trend of `all` counts so many events; return its counts by sentiment."""
        deadline = time.monotonic() + seconds
        counted: Counter[str] = Counter()
        while time.monotonic() < deadline:
            counted = self.counts().get("all", Counter())
            if counted.total() >= events:
                return counted
            self.require_running()
            time.sleep(0.5)
        raise AssertionError(f"{counted.total()} of {events} events counted after {seconds} s")

    def events_read(self) -> float:
        """How many raw events the running workers have read; a repeat counts again."""
        running = [worker for worker in self.workers if worker.process.poll() is None]
        return sum(worker.metrics().get("downtick_events_read_total", 0.0) for worker in running)

    def wait_until_read(self, events: int, seconds: float = 60) -> None:
        """Wait until the workers have read so many raw events, and return while they are at it.

        To read what they publish, as `wait_for_count` does, takes until they have nothing more to do.
        """
        deadline = time.monotonic() + seconds
        while self.events_read() < events:
            self.require_running()
            assert time.monotonic() < deadline, self.workers[0].output()
            time.sleep(0.05)

    def require_running(self) -> None:
        """No worker has ended by itself."""
        for worker in self.workers:
            status = worker.process.poll()
            assert status in (None, -signal.SIGKILL, 0), f"worker ended with {status}:\n{worker.output()}"


def one_broker_is_enough(system: SystemUnderTest) -> None:
    """Leave a test that takes a minute to Apache Kafka, the broker that counts."""
    if not system.broker.idempotence:
        pytest.skip("takes a minute, and runs on Apache Kafka")
