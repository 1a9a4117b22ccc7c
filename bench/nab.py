"""The Numenta Anomaly Benchmark's rule for scoring detections.

A detection inside a labelled window earns the more the earlier it comes, and only the window's first counts; one
outside costs the more the further it lies behind the last window; a window without detection costs a whole point.
0 is a detector that never speaks, 100 one that detects each window at its start.

Source: Lavin and Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark",
and its public code.
"""

import bisect
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stream.backtest.inputs import read_counts
from stream.backtest.run import Backtest
from stream.spikes.settings import SpikeSettings

FALSE_ALARM_WEIGHTS = {"standard": 0.11, "low false alarms": 0.22}
"""What a false detection costs in each profile; a hit is worth 1, a miss costs 1."""
_PROBATION_SHARE, _PROBATION_MOST = 0.15, 750


def _sigmoid(position: float) -> float:
    """From 1 well before position 0 to -1 well behind it."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


@dataclass(frozen=True, slots=True)
class Series:
    """A labelled series: how many rows it has, and the first and last row of each anomalous window."""

    rows: int
    windows: Sequence[tuple[int, int]]

    @property
    def probation(self) -> int:
        """So many rows at the beginning are not judged."""
        return min(int(_PROBATION_SHARE * self.rows), int(_PROBATION_SHARE * 5000), _PROBATION_MOST)


def raw_score(series: Series, detections: Sequence[int], false_alarm_weight: float) -> float:
    """Sum of what detections (numbers of rows) earn and cost, and of what missed windows cost."""
    score = 0.0
    best: dict[int, float] = {}
    firsts = [first for first, _ in series.windows]
    for row in detections:
        if row < series.probation:
            continue
        window = bisect.bisect_right(firsts, row) - 1
        if window < 0:
            score -= false_alarm_weight
            continue
        first, last = series.windows[window]
        if row <= last:
            earned = _sigmoid((row - last - 1) / (last - first + 1)) / _sigmoid(-1.0)
            best[window] = max(best.get(window, -math.inf), earned)
        else:
            score += false_alarm_weight * _sigmoid((row - last) / (last - first))
    return score + sum(best.values()) - (len(series.windows) - len(best))


def score(results: Sequence[tuple[Series, Sequence[int]]], profile: str) -> float:
    """The score over several series and their detections, on the scale from 0 (silence) to 100 (perfect)."""
    windows = sum(len(series.windows) for series, _ in results)
    weight = FALSE_ALARM_WEIGHTS[profile]
    raw = sum(raw_score(series, detections, weight) for series, detections in results)
    return 100 * (raw + windows) / (2 * windows)


def read_series(folder: Path) -> Iterator[tuple[Path, Series]]:
    """The series of a folder with the benchmark's files: its CSVs, and `combined_windows.json`."""
    for name, windows in sorted(json.loads((folder / "combined_windows.json").read_bytes()).items()):
        file = folder / Path(name).name
        if not file.exists():
            continue
        places = {time: place for place, (time, _) in enumerate(read_counts(file))}
        marked = [tuple(places[_moment(end)] for end in window) for window in windows]
        yield file, Series(len(places), [(first, last) for first, last in marked])


def detections(file: Path, settings: SpikeSettings) -> list[int]:
    """Rows of a file of counts at which an alert first fires, as `downtick backtest --counts` tells them."""
    rows = read_counts(file)
    places = {time: place for place, (time, _) in enumerate(rows)}
    test = Backtest(settings.model_copy(update={"volume_only": True}))
    for time, number in rows:
        test.count(time, file.stem, number)
    test.finish()
    first: dict[str, int] = {}
    for alert in test.alerts:
        if alert.fired_at is not None:
            first.setdefault(alert.id, places[alert.fired_at])
    return list(first.values())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
