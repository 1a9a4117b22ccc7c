"""Files of counts for the tests of what reads them."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2026, 3, 2, tzinfo=UTC)
FIRST, AGAIN = START + timedelta(days=14), START + timedelta(days=14, hours=8)
"""When two surges begin, the later one beyond the reach of the longest window."""


def write_counts(path: Path, days: float, surge: float | None = None, stop: float | None = None) -> Path:
    """A row every five minutes, about three negatives each; 60 in each for half an hour from day `surge` on."""
    generator = random.Random(7)
    rows = ["timestamp,value"]
    for number in range(int(days * 288)):
        day = number / 288
        value = sum(generator.random() < 0.3 for _ in range(10))
        if surge is not None and surge <= day < surge + 1 / 48:
            value = 60
        if stop is None or day < stop:
            rows.append(f"{START + timedelta(minutes=5 * number):%Y-%m-%d %H:%M:%S},{value}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_two_surges(path: Path, first: int, again: int) -> Path:
    """Two weeks of a negative each quarter of an hour, then so many a minute for half an hour, twice."""
    rows = {START + timedelta(minutes=15 * quarter): 1 for quarter in range(14 * 96)}
    for begin, negatives in ((FIRST, first), (AGAIN, again)):
        rows |= {begin + timedelta(minutes=minute): negatives for minute in range(30)}
    path.write_text(
        "timestamp,value\n" + "".join(f"{time.isoformat()},{value}\n" for time, value in rows.items()),
        encoding="utf-8",
    )
    return path
