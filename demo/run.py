"""The demo itself: starts broker and workers, replays, follows what comes out, and ends all of it again."""

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from demo.pace import Pace
from demo.processes import (
    PARTITIONS,
    ProcessError,
    Worker,
    fetch_metrics,
    start_workers,
    stop_workers,
    wait_until_ready,
)
from demo.readings import read_metrics
from demo.scene import Presenter, Scene
from demo.summary import summary
from stream.broker import EmbeddedBroker
from stream.kafka import client_options, new_producer
from stream.records import Alert, Window
from stream.topics import create_topics

FAILED = 1
_STEP_SECONDS = 0.05
_SHOW_SECONDS = 0.3
_METRICS_SECONDS = 1.0
# How long nothing must have come before a run is taken to be over: when all is counted, and when some is not.
_QUIET_SECONDS, _STUCK_SECONDS = 1.5, 90.0


class Demo:
    """One run of a scene."""

    def __init__(self, scene: Scene, presenter: Presenter, console: Console, *, keep: bool) -> None:
        """With `keep`, broker and workers are left running after the summary, until Ctrl-C."""
        self._scene = scene
        self._settings = scene.settings
        self._presenter = presenter
        self._console = console
        self._keep = keep
        self._workers: list[Worker] = []
        self._broker_ended: asyncio.Future[int] | None = None
        self._pace = Pace(scene.source.items, scene.source.speed)
        self._changed_at = time.monotonic()
        self._finished = False

    async def run(self) -> int:
        """Run to the end; return the exit status. Whatever happens, nothing is left running."""
        port = int(self._settings.kafka.brokers.rsplit(":", 1)[1])
        with tempfile.TemporaryDirectory(prefix="downtick-demo-") as name:
            folder = Path(name)
            # What libraries have to say must not end up in the middle of the picture.
            logging.basicConfig(filename=folder / "demo.log", level=logging.WARNING, force=True)
            broker = EmbeddedBroker(port, folder / "broker.log")
            with _signals() as received:
                try:
                    self._presenter.step(f"starting the embedded broker at {broker.address}")
                    broker.start()
                    self._broker_ended = asyncio.ensure_future(asyncio.to_thread(broker.wait))
                    play = asyncio.create_task(self._play(folder))
                    received.cancels(play)
                    await play
                except asyncio.CancelledError:
                    if received.number is None:
                        raise
                finally:
                    try:
                        self._presenter.close()
                        self._say("ending workers and broker")
                    finally:  # a terminal that is gone must not keep them
                        stop_workers(self._workers)
                        broker.stop()
                        logging.shutdown()
        if received.number is None or (self._finished and received.number == signal.SIGINT):
            return 0
        self._say("stopped before the end; nothing is left running")
        return 128 + received.number

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(text, soft_wrap=True)

    async def _play(self, folder: Path) -> None:
        await create_topics(self._settings)
        count = self._scene.workers
        self._presenter.step(
            f"starting {count} worker{'s' if count > 1 else ''}, which load and warm up the model"
        )
        for worker in start_workers(count, os.environ, folder):
            self._workers.append(worker)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                asyncio.TaskGroup() as group,
            ):
                guard = group.create_task(self._guard())
                await wait_until_ready(self._workers, session)
                self._scene.metrics = [f"{worker.url}/metrics" for worker in self._workers]
                self._presenter.begin()
                viewers = [
                    group.create_task(viewer)
                    for viewer in (self._follow(), self._scrape(session), self._show())
                ]
                await self._replay()
                await self._settle()
                for viewer in viewers:
                    viewer.cancel()
                self._scene.readings = read_metrics(await fetch_metrics(self._workers, session))
                self._presenter.close()
                self._console.print(summary(self._scene, keep=self._keep), soft_wrap=True)
                self._finished = True
                if self._keep:
                    await asyncio.Event().wait()
                guard.cancel()
        except ExceptionGroup as failures:
            # A broker or worker that is gone explains whatever else went wrong.
            self._require_running()
            known = failures.subgroup(ProcessError)
            raise (known or failures).exceptions[0] from failures

    async def _guard(self) -> None:
        while True:
            self._require_running()
            await asyncio.sleep(0.25)

    def _require_running(self) -> None:
        """Raise `ProcessError` if broker or worker has ended by itself."""
        if self._broker_ended is not None and self._broker_ended.done():
            raise ProcessError(f"the embedded broker ended with status {self._broker_ended.result()}")
        for worker in self._workers:
            worker.require_running()

    async def _replay(self) -> None:
        """Send the events when they are due, each partition in turn."""
        producer = new_producer(self._settings.kafka)
        await producer.start()
        topic, progress, pace = self._settings.topics.raw, self._scene.progress, self._pace
        try:
            before = time.monotonic()
            while not pace.done:
                now = time.monotonic()
                number = pace.sent
                run = pace.due(now - before, progress.processed, progress.room)
                before = now
                confirmations = [
                    await producer.send(topic, item.value, partition=(number + offset) % PARTITIONS)
                    for offset, item in enumerate(run)
                ]
                await asyncio.gather(*confirmations)
                progress.events_sent(len(run), time.monotonic())
                progress.time, progress.held_back = pace.time, pace.held_back
                await asyncio.sleep(_STEP_SECONDS)
        finally:
            await producer.stop()
        progress.held_back = False

    async def _follow(self) -> None:
        """Read what the workers write: scores and dead letters to count, the trend and the alerts to show."""
        topics = self._settings.topics
        names = (topics.scored, topics.dead_letter, topics.windows, topics.alerts)
        consumer = AIOKafkaConsumer(
            **client_options(self._settings.kafka),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(name, number) for name in names for number in range(PARTITIONS)])
            while True:
                fetched = await consumer.getmany(timeout_ms=100)
                for partition, records in fetched.items():
                    self._take(partition.topic, [record.value for record in records if record.value])
                now = time.monotonic()
                self._changed_at = now if fetched else self._changed_at
                self._scene.progress.events_counted(self._scene.picture.counted, now)
        finally:
            await consumer.stop()

    def _take(self, topic: str, values: Sequence[bytes]) -> None:
        topics, scene = self._settings.topics, self._scene
        if topic == topics.scored:
            scene.progress.events_processed(len(values), 0, time.monotonic())
        elif topic == topics.dead_letter:
            scene.progress.events_processed(0, len(values), time.monotonic())
        elif topic == topics.windows:
            for value in values:
                scene.picture.take_window(Window.model_validate_json(value))
        else:
            for value in values:
                alert = Alert.model_validate_json(value)
                if scene.picture.take_alert(alert):
                    self._presenter.alert(alert)

    async def _scrape(self, session: aiohttp.ClientSession) -> None:
        while True:
            self._scene.readings = read_metrics(await fetch_metrics(self._workers, session))
            await asyncio.sleep(_METRICS_SECONDS)

    async def _show(self) -> None:
        while True:
            self._scene.progress.sample(time.monotonic())
            self._presenter.refresh()
            await asyncio.sleep(_SHOW_SECONDS)

    async def _settle(self) -> None:
        """Return when all that was sent is counted and shown, or when nothing moves any more."""
        while True:
            progress = self._scene.progress
            complete = progress.waiting <= 0 and progress.uncounted <= 0
            if time.monotonic() - self._changed_at > (_QUIET_SECONDS if complete else _STUCK_SECONDS):
                return
            await asyncio.sleep(_STEP_SECONDS)


class _Received:
    """The signal that came first, and the task that it cancels."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._task: asyncio.Task[None] | None = None

    def cancels(self, task: asyncio.Task[None]) -> None:
        self._task = task
        if self.number is not None:
            task.cancel()

    def __call__(self, number: int) -> None:
        # A second one must not interrupt the clearing up.
        if self.number is None:
            self.number = number
            if self._task is not None:
                self._task.cancel()


@contextlib.contextmanager
def _signals() -> Iterator[_Received]:
    loop = asyncio.get_running_loop()
    received = _Received()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, received, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
