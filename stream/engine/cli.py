"""`downtick score`: the model without a broker, JSON lines in and out."""

import os
import queue
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream.bundle import load_bundle
from stream.command import UsageError, bundle_option, config_option, reports_errors
from stream.engine.engine import Engine, Result
from stream.engine.errors import EngineError
from stream.engine.judgement import JudgementError
from stream.lines import Fields, Line, Unreadable, answer, companies, question, read_lines, refusal, to_bytes
from stream.settings import Settings, load_settings
from stream.watchlist import WatchlistError, load_watchlist

EXIT_UNSCORED_LINES = 1
EXIT_INTERRUPTED = 130
GRACE_SECONDS = 3.0
"""After Ctrl-C the process is gone in this time, whatever hangs."""
EXIT_CLOSED_PIPE = 141
"""What a shell shows of a filter whose reader went away."""

STANDARD_INPUT = 0

Entry = Line | Unreadable


@click.command()
@bundle_option
@click.option(
    "--watchlist",
    type=click.Path(path_type=Path),
    help="YAML file of companies to find in the texts. Default: the settings', if any.",
)
@config_option
@reports_errors
def score(bundle: Path | None, watchlist: Path | None, config: Path | None) -> None:
    """Score JSON lines from standard input: one line in, one line out, in order.

    In: `text`, and where known `id`, `title`, `entities` (each with a `name`). Out: `id`, `sentiment`,
    `sentiment_probabilities`, `topics`, `topic_probabilities`, `entities`; for a line that cannot be
    scored `id`, `error`, `line`, and the exit status is 1 at the end.
    """
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if stream is None:
            raise UsageError(f"standard {name} is closed")
    settings = load_settings(config)
    chosen = {"bundle": bundle, "watchlist": watchlist}
    settings = settings.model_copy(update={key: path for key, path in chosen.items() if path})
    try:
        scorer = Scorer(settings)
        with _ends_when_interrupted():
            refused = scorer.run(sys.stdout.buffer)
    except KeyboardInterrupt:
        # The interpreter's own end may wait for the reader or the model's threads, where no last resort helps.
        os._exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads any more; nor shall the interpreter try to flush when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_CLOSED_PIPE)
    except (EngineError, WatchlistError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"input or output failed: {error}") from error
    if refused:
        click.echo(f"downtick: lines that could not be scored: {refused:,}", err=True)
        sys.exit(EXIT_UNSCORED_LINES)


class Scorer:
    """Scores standard input by a loaded engine."""

    def __init__(self, settings: Settings) -> None:
        self._watchlist = load_watchlist(settings.watchlist) if settings.watchlist else None
        self._engine = Engine(load_bundle(settings.bundle), settings.engine)
        self._engine.load()
        self._heads = self._engine.bundle.manifest.heads
        self._window = settings.score.window_events

    def run(self, out: BinaryIO) -> int:
        """Score to the end of the input; return how many lines could not be scored."""
        refused = 0
        # Not the buffer of `sys.stdin`: the reader thread may still hold its lock when the interpreter
        # ends, which would be fatal.
        file = open(STANDARD_INPUT, "rb", closefd=False)  # noqa: SIM115  # open for as long as we run
        with _progress() as advance:
            for window in windows(read_lines(file), self._window):
                lines, failed = self._score(window)
                out.write(b"".join(lines))
                out.flush()
                refused += failed
                advance(len(window), window[-1].end)
        return refused

    def _score(self, window: Sequence[Entry]) -> tuple[list[bytes], int]:
        """The answers to a window, and how many of them are refusals."""
        lines = [
            (entry, companies(entry.text, entry.entities, self._watchlist))
            for entry in window
            if isinstance(entry, Line)
        ]
        results = self._engine.judge([question(line, entities, self._watchlist) for line, entities in lines])
        given_lines = (
            self._answer(line, entities, result)
            for (line, entities), result in zip(lines, results, strict=True)
        )
        answers, refused = [], 0
        for entry in window:
            given = next(given_lines) if isinstance(entry, Line) else entry
            if isinstance(given, Unreadable):
                given = to_bytes(refusal(given))
                refused += 1
            answers.append(given)
        return answers, refused

    def _answer(self, line: Line, entities: list[Fields], result: Result) -> bytes | Unreadable:
        if isinstance(result, JudgementError):
            return Unreadable(line.number, line.end, line.id, result.reason)
        try:
            return to_bytes(answer(line, entities, result, self._heads))
        except RecursionError:
            return Unreadable(line.number, line.end, line.id, "`entities` is nested too deeply")


@dataclass(frozen=True, slots=True)
class _End:
    """The input's end, or what went wrong with it."""

    error: Exception | None


def windows(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """What has been read when it is asked for, at least one entry and at most `size`.

    A thread reads ahead while the caller works on a window: so windows are full where the input is
    fast, and nothing waits for company where it is slow. The thread's errors are raised here.
    """
    waiting: queue.Queue[Entry | _End] = queue.Queue(2 * size)

    def read() -> None:
        try:
            for entry in entries:
                waiting.put(entry)
        except Exception as error:  # noqa: BLE001  # raised again in the caller's thread
            waiting.put(_End(error))
        else:
            waiting.put(_End(None))

    threading.Thread(target=read, name="reader", daemon=True).start()
    end = None
    while end is None:
        window: list[Entry] = []
        while end is None and len(window) < size and not (window and waiting.empty()):
            item = waiting.get()
            if isinstance(item, _End):
                end = item
            else:
                window.append(item)
        if window:
            yield window
    if end.error is not None:
        raise end.error


@contextmanager
def _ends_when_interrupted() -> Iterator[None]:
    """Let Ctrl-C end the process also where the exception gets lost, or the interpreter waits for the reader."""

    def interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # as signals are handled
        last_resort = threading.Timer(GRACE_SECONDS, os._exit, (EXIT_INTERRUPTED,))
        last_resort.daemon = True
        last_resort.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A function that is told of lines done and of the position reached; it draws on a terminal only."""
    # Results that go to the same terminal are progress enough.
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda lines, position: None  # noqa: ARG005
        return
    status = os.fstat(STANDARD_INPUT)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    columns = (
        BarColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
        TextColumn("{task.fields[speed]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("score", total=size, lines=0, speed=0.0)
        done = 0

        def advance(lines: int, position: int) -> None:
            nonlocal done
            done += lines
            elapsed = bar.tasks[task].elapsed or 0.0
            bar.update(task, completed=position, lines=done, speed=done / elapsed if elapsed else 0.0)

        yield advance
