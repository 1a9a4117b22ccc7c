"""The demo's worker processes: how they are set up, started, watched and ended.

Errors:
    ProcessError    a process ended by itself, or did not become ready; the message holds the end of its log
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from stream.broker import free_port
from stream.engine.processors import available_processors
from stream.settings import PREFIX, Settings

PARTITIONS = 4
READY_SECONDS = 120.0
STOP_SECONDS = 15.0

# What a user may have set for the demo, too; the rest of their settings is about their own broker.
_KEPT = ("BUNDLE", "ENGINE__", "SPIKES__")
_MOST_THREADS = 4
"""More of them only wait for each other: the demo's batches are small."""
_LOG_LINES = 15


class ProcessError(Exception):
    """A process of the demo failed; the message says which, how, and what it logged last."""


@dataclass
class Worker:
    """One `downtick worker`."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def require_running(self) -> None:
        """Raise `ProcessError` if it has ended."""
        status = self.process.poll()
        if status is not None:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise ProcessError(f"{self.name} {how}; the end of its log:\n{_tail(self.log)}")


def worker_count() -> int:
    """How many workers a demo starts: two share the partitions where there is room for two."""
    return min(2, available_processors())


def demo_variables(
    environment: Mapping[str, str], *, broker: str, workers: int, bundle: Path, watchlist: Path | None
) -> dict[str, str]:
    """The environment of the demo's processes: the user's, but with settings for the demo's own broker."""
    variables = {
        name: value
        for name, value in environment.items()
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX).startswith(_KEPT)
    }
    threads = max(1, min(_MOST_THREADS, available_processors() // workers))
    variables.setdefault("DOWNTICK_ENGINE__THREADS", str(threads))
    variables |= {
        "DOWNTICK_BUNDLE": str(bundle.absolute()),
        "DOWNTICK_KAFKA__BROKERS": broker,
        # The embedded broker does not know it.
        "DOWNTICK_KAFKA__IDEMPOTENCE": "false",
        # A group forms in half of it.
        "DOWNTICK_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
        "DOWNTICK_TOPICS__PARTITIONS": str(PARTITIONS),
        # Small windows of events keep the workers close together in the stream's time, which runs fast.
        "DOWNTICK_SCORE__WINDOW_EVENTS": "32",
        "DOWNTICK_WEB__HOST": "127.0.0.1",
        "DOWNTICK_LOGGING__FORMAT": "text",
    }
    if watchlist is not None:
        variables["DOWNTICK_WATCHLIST"] = str(watchlist.absolute())
    return variables


def start_workers(count: int, variables: Mapping[str, str], folder: Path) -> Iterable[Worker]:
    """Start workers one by one; each is handed out as soon as it runs, so that it can be ended."""
    for number in range(1, count + 1):
        port, log = free_port(), folder / f"worker-{number}.log"
        own = {
            "DOWNTICK_WEB__PORT": str(port),
            "DOWNTICK_WATCH__STATE_DIRECTORY": str(folder / f"state-{number}"),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", "from stream.cli import main; main()", "worker"],
                env={**variables, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in the terminal reaches the demo alone, which ends its workers in order.
                start_new_session=True,
            )
        yield Worker(f"worker {number}", process, port, log)


async def wait_until_ready(workers: Iterable[Worker], session: aiohttp.ClientSession) -> None:
    """Return when every worker says that it is ready; `ProcessError` where one does not."""
    deadline = time.monotonic() + READY_SECONDS
    for worker in workers:
        while not await _answers(session, f"{worker.url}/readyz"):
            worker.require_running()
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{worker.name} is not ready after {READY_SECONDS:.0f} s; "
                    f"the end of its log:\n{_tail(worker.log)}"
                )
            await asyncio.sleep(0.2)


async def fetch_metrics(workers: Iterable[Worker], session: aiohttp.ClientSession) -> list[str]:
    """The metrics of the workers that answer."""
    pages = []
    for worker in workers:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{worker.url}/metrics") as answer:
                pages.append(await answer.text())
    return pages


def stop_workers(workers: Iterable[Worker]) -> None:
    """End all processes: politely, and the hard way where that takes too long."""
    running = [worker.process for worker in workers if worker.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"    (cannot be read: {error.strerror})"
    return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:]) or "    (empty)"


def export_lines(settings: Settings) -> list[str]:
    """What to type into a shell so that other commands reach the demo's broker."""
    kafka = settings.kafka
    return [
        f"export DOWNTICK_KAFKA__BROKERS={kafka.brokers}",
        f"export DOWNTICK_KAFKA__IDEMPOTENCE={str(kafka.idempotence).lower()}",
    ]


def set_environment(variables: Mapping[str, str]) -> None:
    """Make the variables this process's own environment, from which settings are read."""
    os.environ.clear()
    os.environ.update(variables)
