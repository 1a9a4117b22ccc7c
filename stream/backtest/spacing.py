"""How far apart the rows of a file of counts are, and what detector can be made of such rows. Pure."""

import statistics
from collections.abc import Iterable
from datetime import datetime

from stream.command import UsageError
from stream.spikes.reason import duration
from stream.spikes.settings import SpikeSettings

_REGULAR = 0.9
"""Share of the steps from row to row that must be alike, or so many times as long: nights may be left out."""
_TOLERANCE = 0.05


def row_spacing(rows: Iterable[tuple[datetime, str, int]]) -> int:
    """Seconds from one row to the next of its subject, the longest of all subjects; 0 where rows come irregularly.

    Rows are in the order of their times. Those that come whenever something happened have no spacing.
    """
    steps: dict[str, list[float]] = {}
    before: dict[str, datetime] = {}
    for time, subject, _ in rows:
        if subject in before:
            steps.setdefault(subject, []).append((time - before[subject]).total_seconds())
        before[subject] = time
    spacings = [0.0]
    for lengths in steps.values():
        usual = statistics.median(lengths)
        alike = sum(
            abs(length - max(1, round(length / usual)) * usual) < _TOLERANCE * usual
            for length in lengths
            if usual
        )
        if alike >= _REGULAR * len(lengths):
            spacings.append(usual)
    return round(max(spacings))


def fitting(settings: SpikeSettings, spacing: int) -> SpikeSettings:
    """The settings without the windows that rows so far apart cannot fill, whose alerts outlast a row.

    All of a row is counted at its end: in a window of ten minutes a whole day's negatives would be a surge. Raises
    `UsageError` where no window is left, or not that of a threshold.
    """
    windows = tuple(seconds for seconds in settings.windows_seconds if seconds >= spacing)
    if not windows:
        raise UsageError(
            f"the rows are {duration(spacing)} apart, longer than the longest of `spikes.windows_seconds` "
            f"({duration(settings.windows_seconds[-1])}): give counts of shorter times"
        )
    for threshold in settings.threshold:
        if threshold.seconds not in windows:
            raise UsageError(
                f"the rows are {duration(spacing)} apart: a threshold within {duration(threshold.seconds)} "
                "cannot be judged by them"
            )
    return settings.model_copy(
        update={
            "windows_seconds": windows,
            "resolve_after_seconds": max(settings.resolve_after_seconds, spacing + 60),
        }
    )
