"""`downtick replay`: sends a file's events to the raw topic, at a multiple of the speed at which they happened."""

import asyncio
import csv
import gzip
import itertools
import json
import re
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
from pydantic import TypeAdapter, ValidationError
from rich.progress import Progress

from stream.command import UsageError, config_option, reports_errors
from stream.kafka import new_producer, require_topics
from stream.records import Moment
from stream.settings import Settings, load_settings

TIME_FIELDS = ("time", "timestamp", "date", "created_at")
TEXT_FIELDS = ("text", "headline", "headlines", "title", "content")
TICKER_FIELDS = ("ticker", "symbol")

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
_PAUSE_SECONDS = 0.02
_CHUNK = 500


Timed = tuple[dict[str, Any] | str, datetime | None]
"""An event, or a line that is none, with the time at which to send it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record to send: its value, and the event time at which to send it, where one is known."""

    value: bytes
    time: datetime | None


def read_items(file: Path) -> list[Item]:
    """Read a JSONL or CSV file (`.gz` too) into memory, ordered by time.

    Rows that differ in nothing but the ticker are one event about several companies. A line that is no
    JSON object is kept as it is, for the stream to judge. Raises `UsageError` for a file without events.
    """
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
    try:
        with _open(file) as lines:
            rows = list(_csv_rows(lines, file)) if suffixes[-1:] == [".csv"] else list(_jsonl_rows(lines))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {file}, its compression is damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise UsageError(f"{file} is not CSV: {error}") from error
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
    """Send the items to the raw topic and return once the broker has confirmed all; `sent` is told of each run."""
    await require_topics(settings.kafka, [settings.topics.raw])
    producer = new_producer(settings.kafka)
    await producer.start()
    try:
        confirmations = []
        async for run in paced(items, speed):
            confirmations = [await producer.send(settings.topics.raw, item.value) for item in run]
            await asyncio.gather(*confirmations)
            sent(len(run))
    finally:
        await producer.stop()


def _open(file: Path) -> IO[str]:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _jsonl_rows(lines: IO[str]) -> Iterator[Mapping[str, Any] | str]:
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield line.rstrip("\r\n")
        else:
            yield row if isinstance(row, dict) else line.rstrip("\r\n")


def _csv_rows(lines: IO[str], file: Path) -> Iterator[Mapping[str, Any]]:
    reader = csv.DictReader(lines)
    columns = [name.strip().lower() for name in reader.fieldnames or []]
    if not any(name in columns for name in TEXT_FIELDS):
        raise UsageError(
            f"{file} has no column with the text; name one of its columns {', '.join(TEXT_FIELDS)} "
            f"(found: {', '.join(columns) or 'none'})"
        )
    reader.fieldnames = columns
    for row in reader:
        yield {name: value for name, value in row.items() if name is not None and value not in (None, "")}


def _ordered(rows: Sequence[Mapping[str, Any] | str]) -> list[Timed]:
    """Events by their time; one without stays behind the row before it."""
    timed: list[Timed] = []
    reached: datetime | None = None
    for row in rows:
        event = row if isinstance(row, str) else _event(row)
        moment = None if isinstance(event, str) else _time_of(event)
        reached = moment or reached
        timed.append((event, reached))
    first = next((moment for _, moment in timed if moment), None)
    return timed if first is None else sorted(timed, key=lambda pair: pair[1] or first)


def _merged(timed: Sequence[Timed]) -> Iterator[Timed]:
    """One event for all rows of one time that differ in the ticker alone."""
    for moment, group in itertools.groupby(timed, key=lambda pair: pair[1]):
        merged: dict[str, dict[str, Any] | str] = {}
        for number, (event, _) in enumerate(group):
            if isinstance(event, str) or "entities" not in event:
                merged[str(number)] = event
                continue
            rest = {name: value for name, value in event.items() if name != "entities"}
            known = merged.setdefault(json.dumps(rest, sort_keys=True), event)
            if known is not event and isinstance(known, dict):
                known["entities"] = [*known["entities"], *event["entities"]]
        for event in merged.values():
            yield event, moment


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    event = dict(row)
    for name, candidates in (("time", TIME_FIELDS), ("text", TEXT_FIELDS)):
        found = next((field for field in candidates if field in event), None)
        if found is not None and found != name:
            event[name] = event.pop(found)
    ticker = next((event.pop(field) for field in TICKER_FIELDS if field in event), None)
    if ticker and "entities" not in event:
        event["entities"] = [{"name": str(ticker), "ticker": str(ticker)}]
    return event


def _time_of(event: Mapping[str, Any]) -> datetime | None:
    try:
        return _MOMENT.validate_python(event["time"]) if event.get("time") is not None else None
    except ValidationError:
        return None


def _item(event: Mapping[str, Any] | str, moment: datetime | None) -> Item:
    # ASCII, since a lone surrogate in a text could not be written otherwise.
    return Item(event.encode() if isinstance(event, str) else json.dumps(event).encode(), moment)


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
