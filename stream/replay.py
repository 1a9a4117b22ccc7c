"""`downtick replay`: sends a file's events to the raw topic, at a multiple of the speed at which they happened."""

import asyncio
import gzip
import itertools
import json
import re
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from pydantic import TypeAdapter, ValidationError
from rich.progress import Progress

from stream.command import UsageError, config_option, reports_errors
from stream.csv_file import csv_records
from stream.kafka import new_producer, require_topics
from stream.records import MAXIMUM_ENTITIES, Moment, text_of_number
from stream.settings import ScoreSettings, Settings, load_settings

_OWN_TIME_FIELDS = ("time", "timestamp", "date", "created_at")
_OTHER_TIME_FIELDS = ("published_at", "published", "datetime")
"""Only where a time stands in them."""
TIME_FIELDS = (*_OWN_TIME_FIELDS, *_OTHER_TIME_FIELDS)
BODY_FIELDS = ("text", "content")
HEADLINE_FIELDS = ("headline", "headlines")
TEXT_FIELDS = (*BODY_FIELDS, *HEADLINE_FIELDS, "title")
"""A file must have one of them."""
TICKER_FIELDS = ("ticker", "symbol")

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
_PAUSE_SECONDS = 0.02
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One record to send: its value, and the event time at which to send it, where one is known."""

    value: bytes
    time: datetime | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the file, with the time at which to send it."""

    event: dict[str, Any] | str
    """An event without the companies of its ticker column, or a line that is none."""
    tickers: Sequence[str]
    time: datetime | None


def read_items(file: Path) -> list[Item]:
    """Read a JSONL or CSV file (`.gz` too) into memory, ordered by time.

    Rows that differ in nothing but their ticker column are one event about several companies. A line that is
    no JSON object is kept as it is, for the stream to judge. Raises `UsageError` for a file without events.
    """
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
    try:
        with open_text(file) as lines:
            rows = (
                list(_csv_rows(lines, file)) if suffixes[-1:] == [".csv"] else list(_jsonl_rows(lines, file))
            )
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {file}, its compression is damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from error
    if not rows:
        raise UsageError(f"{file} holds no events")
    return [_item(event, moment) for event, moment in _merged(_ordered(rows))]


def parse_speed(text: str) -> float:
    """Read `60x` as 60 and `max` as infinity; `UsageError` for anything else."""
    if text == "max":
        return float("inf")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--speed {text!r}: write a multiple like 60x, or max")
    return float(match[1])


async def paced(items: Sequence[Item], speed: float) -> AsyncIterator[Sequence[Item]]:
    """Yield the items in runs, each run when its time has come."""
    times = [item.time for item in items if item.time]
    start, began = (times[0] if times else None), time.monotonic()
    position = 0
    while position < len(items):
        if start is None or speed == float("inf"):
            end = position + _CHUNK
        else:
            reached = (time.monotonic() - began) * speed
            end = position
            while end < len(items) and end - position < _CHUNK:
                moment = items[end].time
                if moment is not None and (moment - start).total_seconds() > reached:
                    break
                end += 1
        if end == position:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        yield items[position:end]
        position = end


async def send(
    settings: Settings, items: Sequence[Item], speed: float, sent: Callable[[int], None] = lambda _: None
) -> None:
    """Send the items to the raw topic and return once the broker has confirmed all; `sent` is told of each run.

    Raises `UsageError` where an item cannot be sent.
    """
    topic = settings.topics.raw
    await require_topics(settings.kafka, [topic])
    producer = new_producer(settings.kafka)
    await producer.start()
    confirmed = 0
    try:
        async for run in paced(items, speed):
            confirmations: list[asyncio.Future[Any]] = []
            try:
                for item in run:
                    confirmations.append(await producer.send(topic, item.value))  # noqa: PERF401  # kept where one fails
                await asyncio.gather(*confirmations)
            except KafkaError as error:
                # Others of the run were on their way, and may have arrived.
                outcomes = await asyncio.gather(*confirmations, return_exceptions=True)
                confirmed += sum(not isinstance(outcome, BaseException) for outcome in outcomes)
                too_large = isinstance(error, MessageSizeTooLargeError)
                advice = "; leave events as large as that out of the file" if too_large else ""
                raise UsageError(
                    f"{confirmed:,} of {len(items):,} events were sent to {topic}, then one failed: {error}"
                    f"{advice}"
                ) from error
            confirmed += len(run)
            sent(len(run))
    finally:
        await producer.stop()


def open_text(file: Path) -> IO[str]:
    """The file to read, unpacked where it is a `.gz`."""
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _jsonl_rows(lines: IO[str], file: Path) -> Iterator[Mapping[str, Any] | str]:
    filled = (line.rstrip("\r\n") for line in lines if line.strip())
    for number, line in enumerate(filled):
        if not number and line.lstrip().startswith("["):
            raise UsageError(f"{file} is one JSON list: write each of its objects on a line of its own")
        yield _jsonl_row(line)


def _jsonl_row(line: str) -> Mapping[str, Any] | str:
    # As many calls deep as where rows are written again: what is too deeply nested for that is not read either.
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return row if isinstance(row, dict) else line


def _csv_rows(lines: IO[str], file: Path) -> Iterator[Mapping[str, Any]]:
    columns, records = csv_records(lines, file, UsageError, small=True)
    if not any(name in columns for name in TEXT_FIELDS):
        raise UsageError(
            f"{file} has no column with the text; name one of its columns {', '.join(TEXT_FIELDS)} "
            f"(found: {', '.join(columns) or 'none'}; commas are to stand between them)"
        )
    for _, row in records:
        yield {name: value for name, value in row.items() if value}


def _ordered(rows: Sequence[Mapping[str, Any] | str]) -> list[_Row]:
    """Rows by their time; one without, or from the future, stays behind the row before it.

    Of a record of `news.scored` the future begins when it was scored, as it did in the stream.
    """
    tolerance = timedelta(seconds=ScoreSettings().future_seconds)
    now = datetime.now(UTC)
    ordered: list[_Row] = []
    reached: datetime | None = None
    for row in rows:
        event, tickers = (row, []) if isinstance(row, str) else _event(row)
        moment = None if isinstance(event, str) else _time_of(event, "time")
        scored = None if isinstance(event, str) else _time_of(event, "scored_at")
        if moment is not None and moment <= min(scored or now, now) + tolerance:
            reached = moment
        ordered.append(_Row(event, tickers, reached))
    first = next((row.time for row in ordered if row.time), None)
    return ordered if first is None else sorted(ordered, key=lambda row: row.time or first)


def _merged(rows: Sequence[_Row]) -> Iterator[tuple[dict[str, Any] | str, datetime | None]]:
    """One event for all rows of one time that differ in their ticker column alone, with that time.

    A ticker that comes again is news of its own and begins another event.
    """
    for moment, group in itertools.groupby(rows, key=lambda row: row.time):
        events: list[dict[str, Any] | str] = []
        newest: dict[str, list[dict[str, str]]] = {}
        for row in group:
            if isinstance(row.event, str) or not row.tickers:
                events.append(row.event)
                continue
            named = [{"name": ticker, "ticker": ticker} for ticker in row.tickers]
            rest = json.dumps(row.event, sort_keys=True)
            companies = newest.get(rest)
            if (
                companies is None
                or any(company in companies for company in named)
                or len(companies) + len(named) > MAXIMUM_ENTITIES
            ):
                companies = newest[rest] = []
                events.append(row.event | {"entities": companies})
            companies += named
        for event in events:
            yield event, moment


def _event(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The row with its fields named as the stream knows them, and the tickers of its column, one or a list."""
    event = dict(row)
    body, headline = _given(event, BODY_FIELDS), _given(event, HEADLINE_FIELDS)
    others = (field for field in _OTHER_TIME_FIELDS if _time_of(event, field))
    _rename(event, _given(event, _OWN_TIME_FIELDS) or next(others, None), "time")
    _rename(event, body or headline, "text")
    if body and headline and isinstance(event[headline], str) and not event.get("title"):
        _rename(event, headline, "title")
    column = _given(event, TICKER_FIELDS)
    given = None if column is None else event.pop(column)
    values = [text_of_number(value) for value in (given if isinstance(given, list) else [given])]
    # What is missing from a table of numbers is written as NaN.
    values = [value for value in values if value not in (None, "") and value == value]  # noqa: PLR0124
    if event.get("entities"):
        return event, []
    if not all(isinstance(value, str) for value in values):
        # For the stream to refuse.
        return event | {"entities": [{"name": value} for value in values]}, []
    return event, list(dict.fromkeys(values))


def _given(event: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """The first of the fields in which something stands."""
    return next((field for field in fields if event.get(field) not in (None, "")), None)


def _rename(event: dict[str, Any], field: str | None, name: str) -> None:
    if field is not None:
        event[name] = event.pop(field)


def _time_of(event: Mapping[str, Any], field: str) -> datetime | None:
    try:
        return _MOMENT.validate_python(event[field]) if event.get(field) is not None else None
    except ValidationError:
        return None


def _item(event: Mapping[str, Any] | str, moment: datetime | None) -> Item:
    if isinstance(event, str):
        return Item(event.encode(), moment)
    try:
        return Item(json.dumps(event, ensure_ascii=False).encode(), moment)
    except UnicodeEncodeError:  # a lone surrogate, which only the escaped form can hold
        return Item(json.dumps(event).encode(), moment)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--speed", default="60x", show_default=True, help="A multiple of real speed, or max.")
@config_option
@reports_errors
def replay(file: Path, speed: str, config: Path | None) -> None:
    """Send the events of FILE (JSONL or CSV with time, text and optionally ticker) to the raw topic."""
    settings = load_settings(config)
    pace = parse_speed(speed)
    items = read_items(file)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(file.name, total=len(items))
        asyncio.run(send(settings, items, pace, lambda count: progress.advance(task, count)))
    click.echo(f"sent {len(items):,} events to {settings.topics.raw}")
