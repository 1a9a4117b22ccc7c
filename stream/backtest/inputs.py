"""What a backtest reads: raw events, which it scores on the way, scored events, or plain counts.

Errors:
    UsageError  a file cannot be read, or a line of counts is wrong; the message says which and why
"""

import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from stream.backtest.scorer import Scorer
from stream.command import UsageError
from stream.csv_file import csv_records
from stream.engine.engine import Result
from stream.engine.judgement import JudgementError
from stream.records import DeadLetterReason, Moment, Observation, Position, ScoredEvent
from stream.replay import Item, open_text, read_items
from stream.score.clock import PartitionClock
from stream.score.compose import Accepted, accept, compose, observe
from stream.score.decode import Decoded, decode
from stream.settings import Settings
from stream.watchlist import Watchlist

CHUNK = 512
MAXIMUM_COUNT = 1e9
"""Of a row: more is no number of opinions."""
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
# Alerts must have time to end after the last row.
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Observed:
    """One event as the detector takes it."""

    time: datetime
    """Where the stream has got to with it."""
    pairs: Sequence[tuple[str, Observation]]
    bundle: str


@dataclass(slots=True)
class Tally:
    """What became of the events read."""

    events: int = 0
    refused: int = 0
    """Not readable, not judged, or a scored event that was there before."""
    undated: int = 0
    """Without a time, or dated ahead of the clock: they are counted where the stream has got to."""
    first_refusal: str | None = None
    """The file of the first of them, the reason and the detail."""

    def refuse(self, file: Path, reason: str) -> None:
        """Count an event of `file` that is refused."""
        self.refused += 1
        self.first_refusal = self.first_refusal or f"{printable(file.name)}: {reason}"


class Feed:
    """Events of several files, oldest first, as observations."""

    def __init__(
        self, files: Sequence[Path], settings: Settings, scorer: Scorer, watchlist: Watchlist
    ) -> None:
        """`scorer` judges the raw events, if there are any."""
        self._settings = settings
        self._scorer = scorer
        self._watchlist = watchlist
        self._clock = PartitionClock(timedelta(seconds=settings.score.future_seconds))
        self.tally = Tally()
        items = [(file, item) for file in files for item in read_items(file)]
        # Where an event without a time is: no earlier than the first that has one.
        self._first = min((item.time for _, item in items if item.time), default=datetime.now(UTC))
        # One file is in order already; several are laid together by time.
        self._items = sorted(items, key=lambda pair: pair[1].time or self._first)
        self._counted: set[str] = set()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Observed]:
        numbered = enumerate(self._items)
        while chunk := list(itertools.islice(numbered, CHUNK)):
            yield from self._chunk(chunk)

    def _chunk(self, chunk: list[tuple[int, tuple[Path, Item]]]) -> Iterator[Observed]:
        entries = [self._read(number, file, item) for number, (file, item) in chunk]
        raw = [entry for entry in entries if isinstance(entry, Accepted)]
        judgements = iter(self._judge(raw))
        for (_, (file, _)), entry in zip(chunk, entries, strict=True):
            self.tally.events += 1
            if isinstance(entry, str):
                self.tally.refuse(file, entry)
            elif isinstance(entry, Observed):
                yield entry
            else:
                judgement = next(judgements)
                if isinstance(judgement, JudgementError):
                    self.tally.refuse(file, f"{DeadLetterReason.MODEL_FAILED.value}: {judgement}")
                    continue
                told, future = entry.event.time, timedelta(seconds=self._settings.score.future_seconds)
                self.tally.undated += told is None or told > datetime.now(UTC) + future
                bundle = self._scorer.bundle.hash
                scored, pairs = compose(entry, judgement, bundle=bundle, scored_at=datetime.now(UTC))
                yield Observed(entry.time, pairs, scored.bundle)

    def _read(self, number: int, file: Path, item: Item) -> Accepted | Observed | str:
        """The event, to be judged or as it was; or why it is refused."""
        # Each event has a place of its own, so that none is taken for a repeat: here they come in the order of
        # their times, and not in that of their offsets.
        position = Position(topic=printable(file.name), partition=0, offset=number)
        scored = _scored(item.value)
        if scored is not None:
            if not _tells_negative(scored):
                return "invalid: each `sentiment_probabilities` must have `negative`, from 0 to 1"
            if str(scored.position) in self._counted:
                return f"the scored event {scored.position} was there before"
            self._counted.add(str(scored.position))
            time = self._place(scored.time, item, min(scored.scored_at, datetime.now(UTC)))
            placed = scored.model_copy(update={"position": position})
            return Observed(time, observe(placed, time), scored.bundle)
        decoded = decode(item.value, maximum_bytes=self._settings.score.maximum_event_bytes)
        if not isinstance(decoded, Decoded):
            return f"{decoded.reason.value}: {decoded.detail}"
        time = self._place(decoded.event.time, item, datetime.now(UTC))
        return accept(decoded.event, decoded.text, position, time, self._watchlist)

    def _place(self, told: datetime | None, item: Item, wall: datetime) -> datetime:
        return self._clock.place(told, item.time or self._first, wall)[0]

    def _judge(self, entries: Sequence[Accepted]) -> Sequence[Result]:
        return self._scorer.judge([entry.question for entry in entries]) if entries else []


def read_counts(file: Path) -> list[tuple[datetime, int]]:
    """Rows of a CSV file with the columns `timestamp` and `value`: when, and how many negatives until then."""
    rows: list[tuple[datetime, int]] = []
    try:
        with open_text(file) as lines:
            columns, records = csv_records(lines, file, UsageError, small=True)
            if not {"timestamp", "value"} <= set(columns):
                raise UsageError(
                    f"{file} must have the columns timestamp and value, with a comma between them "
                    f"(found: {', '.join(columns) or 'none'})"
                )
            for line, row in records:
                rows.append(_count(row, file, line))
                if len(rows) > 1 and rows[-1][0] < rows[-2][0]:
                    raise UsageError(f"{file}, line {line}: its time lies before that of the row above")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if not rows:
        raise UsageError(f"{file} holds no row")
    return rows


def _count(row: dict[str, str | None], file: Path, line: int) -> tuple[datetime, int]:
    try:
        moment = _MOMENT.validate_python(row["timestamp"])
        number = float(row["value"] or "")
    except (ValidationError, ValueError, TypeError) as error:
        raise UsageError(f"{file}, line {line}: not a time and a number: {row}") from error
    if moment >= _LATEST:
        raise UsageError(f"{file}, line {line}: {row['timestamp']} is no time of an event")
    if not 0 <= number <= MAXIMUM_COUNT or not number.is_integer():
        raise UsageError(f"{file}, line {line}: {row['value']} is no count")
    return moment, int(number)


def _scored(value: bytes) -> ScoredEvent | None:
    """The scored event that a record of `news.scored` is; None for any other."""
    if b'"sentiment_probabilities"' not in value:
        return None
    try:
        # A lone surrogate, which only the escaped form can hold, cannot be written again.
        text = json.dumps(json.loads(value), ensure_ascii=False).encode("utf-8", "replace")
        return ScoredEvent.model_validate_json(text)
    except (ValueError, RecursionError):
        return None


def _tells_negative(scored: ScoredEvent) -> bool:
    verdicts = (scored.sentiment_probabilities, *(one.sentiment_probabilities for one in scored.entities))
    return all(0 <= verdict.get("negative", -1) <= 1 for verdict in verdicts)


def printable(name: str) -> str:
    """A file's name as text: bytes of it that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def merged_counts(files: Iterable[Path]) -> list[tuple[datetime, str, int]]:
    """The rows of several files of counts, oldest first, each under its file's name."""
    rows = [(time, printable(file.stem), number) for file in files for time, number in read_counts(file)]
    return sorted(rows, key=lambda row: row[0])
