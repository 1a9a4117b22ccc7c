"""Counts of which nothing but the number is known: a row that says none is not the same as no row."""

from datetime import datetime

from spike_streams import at, fired

from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Subject

NIGHTS = 21
MIDNIGHT = 24.0 * NIGHTS
"""Hours until the last night."""


def by_day(hour: float) -> int:
    """Negatives in five minutes: some by day, none by night."""
    return 2 if 8 <= hour % 24 < 20 else 0


def counted(*, zeros: bool, until: float = MIDNIGHT + 2, outage: tuple[float, float] = (0, 0)) -> Subject:
    """A subject with weeks of rows of five minutes each, those that say none only with `zeros`."""
    subject = Subject("x", SpikeSettings(volume_only=True))
    for row in range(int(until * 12)):
        negatives = by_day(row / 12)
        if (negatives or zeros) and not outage[0] <= row / 12 < outage[1]:
            subject.count(at(row / 12), negatives)
    subject.take_alerts()
    return subject


def expected(subject: Subject, hour: float) -> float:
    """Negatives expected in the hour that begins then."""
    start = int(at(hour).timestamp())
    return subject._history.usual(start, start + 3600)


def fires(subject: Subject, time: datetime, negatives: int) -> bool:
    subject.count(time, negatives)
    return bool(fired(subject.take_alerts()))


def test_a_surge_in_a_night_of_which_every_row_said_none_is_found() -> None:
    assert fires(counted(zeros=True), at(MIDNIGHT + 2), 8)
    assert not fires(counted(zeros=False), at(MIDNIGHT + 2), 8), "silence of the source for all that is known"


def test_an_hour_of_which_every_row_said_none_is_learned_as_empty() -> None:
    night = MIDNIGHT + 2
    assert expected(counted(zeros=True), night) < 0.1
    assert expected(counted(zeros=False), night) > 10


def test_what_lies_between_rows_far_apart_is_no_row_that_says_none() -> None:
    # The last six hours of an outage are learned when rows come again.
    noon = MIDNIGHT - 12
    missing = counted(zeros=True, until=MIDNIGHT + 12, outage=(noon - 24, noon))
    whole = counted(zeros=True, until=MIDNIGHT + 12)
    assert expected(missing, MIDNIGHT + 11) > 0.97 * expected(whole, MIDNIGHT + 11)
