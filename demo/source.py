"""What a demo replays: the stream that ships with Downtick, or a user's own file, and how fast."""

import importlib.resources
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stream.command import UsageError
from stream.replay import TEXT_FIELDS, Item, parse_speed, read_items
from stream.watchlist import Watchlist, WatchlistError, load_watchlist

TARGET_SECONDS = 80.0
"""How long a replay takes by default, where the workers keep up."""

# A single event with a wrong date must not set the speed of all others.
_OUTLIERS = 0.01


@dataclass(frozen=True)
class Source:
    """Events to replay, with the companies to find in them."""

    name: str
    items: Sequence[Item]
    speed: float
    """Event seconds per second; infinite for as fast as the workers can."""
    watchlist_file: Path | None
    watchlist: Watchlist
    ships: bool
    """Whether it is Downtick's own stream, of which it is known what happens in it."""

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The first and the last event time; None where no event has one."""
        times = [item.time for item in self.items if item.time]
        return (times[0], times[-1]) if times else None

    @property
    def description(self) -> str:
        """What is going to be replayed, and how fast."""
        events = f"{self.name}: {len(self.items):,} events"
        if self.span is None:
            return f"{events}\nwithout a usable time, so they are sent as fast as the workers can"
        first, last = self.span
        lines = f"{events}\nfrom {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, "
        if math.isinf(self.speed):
            return f"{lines}as fast as the workers can"
        seconds = (last - first).total_seconds() / self.speed
        return f"{lines}at {self.speed:,.0f}×: about {seconds:,.0f} s, or what the workers need"


def open_source(file: Path | None, speed: str | None, watchlist_file: Path | None) -> Source:
    """Read what is to be replayed; `UsageError` where file, speed or watch list cannot be used."""
    folder = Path(str(importlib.resources.files("demo")))
    ships = file is None
    file = file or folder / "stream.jsonl"
    if ships and watchlist_file is None:
        watchlist_file = folder / "watchlist.yaml"
    chosen = None if speed is None else parse_speed(speed)
    items = read_items(file)
    if not any(_has_text(item) for item in items):
        raise UsageError(
            f"{file} holds no event with a text: expected is CSV with a header, or one JSON object a line, "
            f"with the text in one of {', '.join(TEXT_FIELDS)}"
        )
    try:
        watchlist = load_watchlist(watchlist_file) if watchlist_file else Watchlist([])
    except WatchlistError as error:
        raise UsageError(str(error)) from error
    return Source(
        name="the stream that ships with Downtick" if ships else file.name,
        items=items,
        speed=default_speed(items) if chosen is None else chosen,
        watchlist_file=watchlist_file,
        watchlist=watchlist,
        ships=ships,
    )


def default_speed(items: Sequence[Item]) -> float:
    """The speed at which the items last about `TARGET_SECONDS`; infinite where their times say nothing."""
    times = list(_times(items))
    if not times:
        return math.inf
    first, last = (times[int((len(times) - 1) * share)] for share in (_OUTLIERS, 1 - _OUTLIERS))
    if last <= first:
        return math.inf
    return max(1.0, _rounded((last - first) / TARGET_SECONDS))


def _times(items: Sequence[Item]) -> Iterator[float]:
    return (item.time.timestamp() for item in items if item.time)


def _rounded(value: float) -> float:
    """The value to two digits, as a person would choose it."""
    return float(f"{value:.2g}")


def _has_text(item: Item) -> bool:
    try:
        event = json.loads(item.value)
    except (ValueError, RecursionError):
        return False
    texts = [event.get(name) for name in ("text", "title")] if isinstance(event, dict) else []
    return any(isinstance(text, str) and text.strip() for text in texts)
