"""The demo as a user runs it: a process that starts others, and leaves none behind."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.cli import demo
from demo.processes import PARTITIONS, demo_variables
from stream.bundle import Bundle
from stream.settings import load_settings

DOWNTICK = Path(sys.executable).with_name("downtick")
MARK = "DEMO_TEST_MARK"
START = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass
class Bench:
    """A place for demos to run in, where what they leave behind is seen."""

    folder: Path
    environment: dict[str, str]
    mark: str

    def command(self, *arguments: str) -> list[str]:
        return [str(DOWNTICK), "demo", "--workers", "1", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self) -> dict[int, str]:
        """What runs here now: process ids with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                marked = f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if marked:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def assert_nothing_is_left(self) -> None:
        assert self.processes() == {}
        assert list((self.folder / "temporary").glob("downtick-*")) == []


@pytest.fixture
def bench(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Bench]:
    if not Path("/proc/self/environ").exists():
        pytest.skip("processes are looked for in /proc, which this system does not have")
    (tmp_path / "temporary").mkdir()
    mark = uuid.uuid4().hex
    own = {
        MARK: mark,
        "DOWNTICK_BUNDLE": str(tiny_bundle.folder),
        # A user's own cluster, which the demo must leave alone.
        "DOWNTICK_KAFKA__BROKERS": "127.0.0.1:1",
        "TMPDIR": str(tmp_path / "temporary"),
        "TERM": "xterm",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOWNTICK_")}
    bench = Bench(tmp_path, inherited | own, mark)
    yield bench
    for process in bench.processes():
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two hundred items within ten hours, every fourth one negative, and a line that is no event."""
    lines = [
        json.dumps(
            {
                "text": f"{'bad losses' if number % 4 == 0 else '公司今天有好消息'} number {number}",
                "time": (START + timedelta(minutes=3 * number)).isoformat(),
                "ticker": "ACME",
            }
        )
        for number in range(200)
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join([*lines, "no event"]), encoding="utf-8")
    return file


@pytest.mark.slow
def test_a_demo_counts_every_event_of_a_file_and_cleans_up(bench: Bench, file: Path):
    done = bench.run("--file", str(file), "--speed", "max")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine.jsonl: 201 events" in done.stdout
    assert "200 scored, 1 dead letters" in done.stdout
    assert "50 negative, 0 neutral, 150 positive; 150 Chinese, 50 English" in done.stdout
    assert "are in no window" not in done.stdout
    assert "\x1b" not in done.stdout
    bench.assert_nothing_is_left()


@pytest.mark.slow
def test_ctrl_c_gives_the_terminal_back_and_ends_everything(bench: Bench, file: Path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        bench.command("--file", str(file), "--speed", "600x"),
        env=bench.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # Ctrl-C reaches only who has the terminal as its own.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    shown = read_until(ours, "everything")
    assert len(bench.processes()) == 3  # the demo, its broker, its worker
    os.write(ours, b"\x03")
    shown += read_until(ours, "nothing is left running")
    assert process.wait(30) == 130
    os.close(ours)
    entered, left = shown.index("\x1b[?1049h"), shown.index("\x1b[?1049l")
    assert entered < left < shown.index("nothing is left running")
    assert shown.rindex("\x1b[?25l") < shown.rindex("\x1b[?25h")  # the cursor is seen again
    bench.assert_nothing_is_left()


def read_until(terminal: int, text: str, seconds: float = 60) -> str:
    """What a terminal shows until `text` has come."""
    shown, deadline = b"", time.monotonic() + seconds
    while text.encode() not in shown:
        assert time.monotonic() < deadline, shown.decode(errors="replace")
        shown += os.read(terminal, 65_536)
    return shown.decode(errors="replace")


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_demo_with_the_end_of_its_log(bench: Bench, file: Path):
    process = bench.start("--file", str(file), "--speed", "600x")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("replaying"):
            break
    [worker] = [number for number, command in bench.processes().items() if command.endswith("worker ")]
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "worker 1 was killed by signal 9; the end of its log:" in output
    assert "bundle tiny" in output
    assert "Traceback" not in output
    bench.assert_nothing_is_left()


def test_a_bundle_that_cannot_be_used_ends_the_demo_before_anything_starts(bench: Bench, file: Path):
    bench.environment["DOWNTICK_BUNDLE"] = str(bench.folder / "nowhere")
    done = bench.run("--file", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith("downtick: no bundle at")
    assert "starting" not in done.stdout
    bench.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "nowhere.jsonl"], "cannot read nowhere.jsonl: No such file or directory"),
        (["--speed", "fast"], "write a multiple like 60x, or max"),
        (["--watchlist", "nowhere.yaml"], "cannot read the watch list nowhere.yaml"),
    ],
)
def test_what_cannot_be_used_gives_one_message(arguments: list[str], message: str):
    result = CliRunner().invoke(demo, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_demo_has_its_own_broker_and_keeps_what_a_user_set_for_the_model(monkeypatch: pytest.MonkeyPatch):
    users = {
        "PATH": "/bin",
        "DOWNTICK_KAFKA__BROKERS": "production:9092",
        "DOWNTICK_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "DOWNTICK_TOPICS__RAW": "theirs",
        "DOWNTICK_CONFIG": "/etc/downtick.yaml",
        "DOWNTICK_ENGINE__THREADS": "3",
        "DOWNTICK_SPIKES__MINIMUM_NEGATIVES": "5",
    }
    variables = demo_variables(
        users, broker="127.0.0.1:4711", workers=2, bundle=Path("bundle"), watchlist=None
    )
    assert variables["PATH"] == "/bin"
    for name in list(os.environ):
        if name.startswith("DOWNTICK_"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        if name.startswith("DOWNTICK_"):
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka.brokers == "127.0.0.1:4711"
    assert settings.kafka.security_protocol == "PLAINTEXT"
    assert not settings.kafka.idempotence
    assert settings.topics.raw == "news.raw"
    assert settings.topics.partitions == PARTITIONS
    assert settings.engine.threads == 3
    assert settings.spikes.minimum_negatives == 5
    assert settings.bundle == Path.cwd() / "bundle"
