"""What one would use instead, and an oracle that knows the truth; each made to keep the same budget.

A rival takes the times of a subject's negatives and one number, its strictness, and says when it would alert.
`calibrated` finds the strictness at which it alerts on quiet streams as often as the budget allows, where a day's
alerts are one. All are given what a user does not have: quiet streams of the very kind and rate that they will
watch.
"""

from collections.abc import Callable, Sequence

import numpy as np
from river.drift import ADWIN, PageHinkley
from scipy import special

from bench.simulation import STREAMS, Hours, Shape

BIN = 1 / 6
"""Those that take counts get them by ten minutes."""
REFRACTORY_HOURS = 24.0
"""What alerts again within this time is the same alert."""
WINDOWS = (1 / 6, 1.0, 6.0)
"""Of the oracle, in hours: the detector's own."""
Rival = Callable[[Hours, float, float], Hours]
"""Times of negatives, hours watched, strictness → all hours at which it would alert, in order."""


def _first_of_each(hours: Hours) -> list[float]:
    """Alerts, with no second one within the pause."""
    alerts: list[float] = []
    for hour in hours.tolist():
        if not alerts or hour - alerts[-1] > REFRACTORY_HOURS:
            alerts.append(hour)
    return alerts


def _binned(times: Hours, until: float) -> tuple[Hours, Hours]:
    """Ends of the bins, and their counts."""
    edges = np.arange(0, until + BIN, BIN)
    return edges[1:], np.histogram(times, edges)[0].astype(float)


def _over(times: Hours, window: float) -> Hours:
    """At each event, how many there were in the window that ends with it."""
    return np.arange(1.0, len(times) + 1) - np.searchsorted(times, times - window)


def fixed_threshold(window: float) -> Rival:
    """More negatives than a fixed number within the window, looked at with each event."""

    def alerts(times: Hours, until: float, strictness: float) -> Hours:  # noqa: ARG001
        return times[_over(times, window) > strictness]

    return alerts


def z_score(times: Hours, until: float, strictness: float) -> Hours:
    """Ten minutes' count so many deviations over the mean of the day before."""
    ends, counts = _binned(times, until)
    day = round(24 / BIN)
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    squares = np.concatenate([[0.0], np.cumsum(counts**2)])
    places = np.arange(day, len(counts))
    mean = (sums[places] - sums[places - day]) / day
    deviation = np.sqrt(np.maximum(1e-9, (squares[places] - squares[places - day]) / day - mean**2))
    hits: Hours = ends[places][(counts[places] - mean) / deviation > strictness]
    return hits


def page_hinkley(times: Hours, until: float, strictness: float) -> Hours:
    """River's PageHinkley on ten minutes' counts, for increases."""
    ends, counts = _binned(times, until)
    detector = PageHinkley(threshold=strictness, mode="up")
    hits = []
    for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
        detector.update(count)
        if detector.drift_detected:
            hits.append(end)
    return np.array(hits)


def adwin(times: Hours, until: float, strictness: float) -> Hours:
    """River's ADWIN on ten minutes' counts, where the mean rose."""
    ends, counts = _binned(times, until)
    detector = ADWIN(delta=10.0**-strictness, clock=1)
    hits, before = [], 0.0
    for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
        before = detector.estimation
        detector.update(count)
        if detector.drift_detected and detector.estimation > before:
            hits.append(end)
    return np.array(hits)


def oracle(stream: str, rate: float) -> Rival:
    """Tests the detector's windows, knowing the rate at every hour and how counts vary around it."""
    shape = STREAMS[stream].shape
    variances = [_dispersion(stream, window) for window in WINDOWS]

    def alerts(times: Hours, until: float, strictness: float) -> Hours:
        expected = _cumulated(shape, rate, until + 1)
        best = np.full(len(times), np.inf)
        for window, dispersion in zip(WINDOWS, variances, strict=True):
            mean = np.maximum(1e-9, expected(times) - expected(np.maximum(0, times - window)))
            counts = _over(times, window)
            looks = np.maximum(1.0, (counts - mean) ** 2 / counts / dispersion)
            best = np.minimum(best, _tail(counts, mean, dispersion) * looks * 24 / window)
        hits: Hours = times[best < np.exp(-strictness)]
        return hits

    return alerts


def _tail(counts: Hours, mean: Hours, dispersion: float) -> Hours:
    """P(at least that count | negative binomial), or Poisson, above the mean; 1 below it."""
    if dispersion < 1.001:
        tail = special.gammainc(counts, mean)
    else:
        size = mean / (dispersion - 1)
        tail = special.betainc(counts, size, mean / (mean + size))
    return np.where(counts > mean, tail, 1.0)


def _cumulated(shape: Shape, rate: float, until: float) -> Callable[[Hours], Hours]:
    grid = np.arange(0, until + 0.1, 0.1)
    values = np.concatenate([[0.0], np.cumsum(shape(grid[:-1] + 0.05)) * 0.1 * rate])
    return lambda times: np.interp(times, grid, values)


def _dispersion(stream: str, window: float) -> float:
    """Variance of counts over their mean, in windows of that length of a steady stream with the same stories."""
    kind = STREAMS[stream]
    if kind.items == 1:
        return 1.0
    hours = 100_000.0
    same = type(kind)(shape=np.ones_like, items=kind.items, delay=kind.delay)
    times, _ = same.draw(np.random.default_rng(0), 1.0, hours)
    counts = np.histogram(times, np.arange(0, hours, window))[0]
    return max(1.0, float(counts.var() / counts.mean()))


RIVALS: dict[str, tuple[Rival, tuple[float, float]]] = {
    "fixed, 10 min": (fixed_threshold(1 / 6), (1, 1e4)),
    "fixed, 1 h": (fixed_threshold(1.0), (1, 1e4)),
    "z-score": (z_score, (0.1, 1e3)),
    "PageHinkley": (page_hinkley, (0.1, 1e5)),
    "ADWIN": (adwin, (0.01, 300)),
}
"""By name, with the range of their strictness."""
ORACLE_RANGE = (0.1, 700.0)


def calibrated(
    rival: Rival,
    bounds: tuple[float, float],
    quiet: Sequence[Hours],
    hours: float,
    *,
    warm_up: float,
    allowed: float,
) -> float:
    """The least strictness at which the rival alerts at most `allowed` times on the quiet streams."""
    low, high = np.log(bounds)
    for _ in range(14):
        middle = (low + high) / 2
        strictness = float(np.exp(middle))
        alerts = sum(
            hour >= warm_up for times in quiet for hour in _first_of_each(rival(times, hours, strictness))
        )
        low, high = (low, middle) if alerts <= allowed else (middle, high)
    return float(np.exp(high))
