"""What a subject's own history makes one expect: its level, its season, its share of negatives.

The rate of negatives is a level times a season (hour of day, on weekdays and at weekends), judged by a history in
which a day counts half after `half_life_days`. Level and season are gamma-distributed given that history, so
a forecast is negative binomial. Each season factor is shrunk towards 1, the more the less the factors of this
subject have varied so far (empirical Bayes), so that little history means little season.

Silence is believed only as far as the subject's own rate allows: once ten events should have come since the last
one, the rest of the silence is taken for an outage. It is then no evidence of a lower rate; the history only ages.
"""

import math
from dataclasses import dataclass

import numpy as np

from stream.spikes.state import Floats, pack_floats, unpack_floats

HOUR = 3600
DAY = 86_400
WEEK = 7 * DAY

_SLOTS = 48
_HALF_HOURS = 2 * 7 * 24
# 1970-01-01 was a Thursday; weeks begin on Monday here.
_MONDAY = 3 * DAY
_SLOT_OF_HOUR = np.array([hour % 24 + (24 if hour >= 5 * 24 else 0) for hour in range(7 * 24)])
_BELIEVED_EVENTS = 10
_LONGEST_SILENCE_SECONDS = 4 * WEEK
# Season factors of financial news vary about so much (variance); before a subject's own are known, this keeps it
# quiet through its first morning. The same number is the standard error of that belief.
_SEASON_VARIANCE = 0.3
_FLAT = 1e-4


@dataclass(frozen=True)
class Forecast:
    """What history explains in a span of time; the numbers are of weighted negatives."""

    mean: float
    uncertainty: float
    """Relative variance of the mean itself: how little is known about level and season."""
    history_hours: float
    """Length of the history that it rests on, decayed."""
    exact_mean: float
    """The same for plain, unweighted negatives."""
    share_negative: float
    share_total: float
    """Negatives and events in the history, decayed: what the share is judged by."""

    @property
    def share(self) -> float:
        """Share of negatives that history explains, a quarter before anything is known."""
        return (self.share_negative + 0.5) / (self.share_total + 2)


@dataclass(frozen=True)
class Recent:
    """History between what has been learned and the window that is judged."""

    start: int
    end: int
    weight: float
    negative: int
    total: int


class _Season:
    """The season as it follows from the learned counts; made anew whenever those change."""

    def __init__(self, counts: Floats, hours: Floats, dispersion: float) -> None:
        count, exposure = counts.astype(float), hours.astype(float)
        self.exposure = max(1e-9, float(exposure.sum()))
        factors, weight = np.ones(_SLOTS), 1.0 / _FLAT
        expected = exposure
        # The level depends on the factors and they on it; three rounds settle it.
        for _ in range(3):
            level = (count.sum() + 0.5) / max(1e-9, float((exposure * factors).sum()))
            expected = exposure * level
            weight = 1 / _season_variance(count, expected, dispersion)
            factors = (count / dispersion + weight) / (expected / dispersion + weight)
        self.uncertainties = 1 / (count / dispersion + weight)
        self.shrinkages = weight / (expected / dispersion + weight)
        self.seasonal_hours = float((exposure * factors).sum())
        by_hour = factors[_SLOT_OF_HOUR]
        # Between the middles of two hours the season goes straight from one to the other.
        halves = np.empty(_HALF_HOURS)
        halves[0::2] = 0.75 * by_hour + 0.25 * np.roll(by_hour, 1)
        halves[1::2] = 0.75 * by_hour + 0.25 * np.roll(by_hour, -1)
        self._cumulated: list[float] = [0.0, *(np.cumsum(halves) / 2).tolist()]

    def integral(self, start: int, end: int) -> float:
        """Hours from `start` to `end`, each weighted with its season factor."""
        return self._until(end) - self._until(start)

    def _until(self, time: int) -> float:
        weeks, second = divmod(time + _MONDAY, WEEK)
        half, rest = divmod(second, HOUR // 2)
        low, high = self._cumulated[half], self._cumulated[half + 1]
        return weeks * self._cumulated[-1] + low + (high - low) * rest / (HOUR // 2)

    def uncertainty(self, start: int, end: int) -> float:
        """Relative variance of the season's mean factor between `start` and `end`.

        What the data say of two hours errs independently, what is only believed of them errs alike.
        """
        slot = slot_of((start + end) // 2)
        alike = float(self.shrinkages[slot])
        hours = max(1.0, (end - start) / HOUR)
        return float(self.uncertainties[slot]) * (alike + (1 - alike) / hours)


def slot_of(time: int) -> int:
    """Index of the season's slot that `time` lies in."""
    return int(_SLOT_OF_HOUR[(time + _MONDAY) % WEEK // HOUR])


def _season_variance(count: Floats, expected: Floats, dispersion: float) -> float:
    """Variance of the season factors: what counts vary beyond chance, mixed with what is believed beforehand."""
    squares = float((expected**2).sum())
    if squares == 0:
        return _SEASON_VARIANCE
    beyond = float(((count - expected) ** 2 - dispersion * expected).sum()) / squares
    error = dispersion * float((2 * expected**2 + expected).sum()) / squares**2
    trust, belief = 1 / error, 1 / _SEASON_VARIANCE**2
    return max(_FLAT, (trust * beyond + belief * _SEASON_VARIANCE) / (trust + belief))


class Baseline:
    """A subject's decayed history, learned interval by interval."""

    def __init__(self, half_life_days: float) -> None:
        self._half_life = half_life_days * DAY
        self._counts: Floats = np.zeros(_SLOTS, dtype=np.float32)
        self._hours: Floats = np.zeros(_SLOTS, dtype=np.float32)
        # Plain negatives and all events, unlike the counts by slot without novelty weights.
        self._totals: Floats = np.zeros(2, dtype=np.float32)
        self._dispersion = 1.0
        self._season: _Season | None = None

    @property
    def season(self) -> _Season:
        """The season of the present history."""
        if self._season is None:
            self._season = _Season(self._counts, self._hours, self._dispersion)
        return self._season

    def set_dispersion(self, dispersion: float) -> None:
        """Say how much counts per hour vary, relative to Poisson; it decides how fast the season is believed."""
        self._dispersion = dispersion
        self._season = None

    @property
    def believed_silence(self) -> float:
        """For how many seconds silence counts as evidence."""
        rate = (float(self._totals[1]) + 0.5) / max(1.0, float(self._hours.sum()))
        return min(_LONGEST_SILENCE_SECONDS, _BELIEVED_EVENTS * self._dispersion / rate * HOUR)

    def learn(self, time: int, seconds: float, *, weight: float, negative: float, total: float) -> None:
        """Take the counts of one interval, `seconds` of which were watched, into the history."""
        slot = slot_of(time)
        self._counts[slot] += np.float32(weight)
        self._hours[slot] += np.float32(seconds / HOUR)
        self._totals += np.array([negative, total], dtype=np.float32)
        self._season = None

    def learn_late(self, time: int, now: int, *, weight: float, negative: bool) -> None:
        """Take a single late event into an interval that has been learned; `now` is how far learning has come."""
        share = 0.5 ** ((now - time) / self._half_life)
        self._counts[slot_of(time)] += np.float32(weight * share)
        self._totals += np.array([share * negative, share], dtype=np.float32)
        self._season = None

    def learn_silence(self, start: int, seconds: int) -> None:
        """Take an hour-by-hour silence into the history."""
        hours = np.arange(start, start + min(seconds, _LONGEST_SILENCE_SECONDS), HOUR)
        slots = _SLOT_OF_HOUR[(hours + _MONDAY) % WEEK // HOUR]
        self._hours += np.bincount(slots, minlength=_SLOTS).astype(np.float32)
        self._season = None

    def age(self, seconds: float) -> None:
        """Let the history lose weight."""
        factor = np.float32(0.5 ** (seconds / self._half_life))
        self._counts *= factor
        self._hours *= factor
        self._totals *= factor
        self._season = None

    def forecast(self, start: int, end: int, recent: Recent | None = None) -> Forecast:
        """What history, and what came since, explains between `start` and `end`."""
        season = self.season
        counted = float(self._counts.sum())
        seasonal, hours = season.seasonal_hours, season.exposure
        negative, total = float(self._totals[0]), float(self._totals[1])
        ratio_counted = counted
        if recent is not None:
            seasonal += season.integral(recent.start, recent.end)
            hours += (recent.end - recent.start) / HOUR
            counted += recent.weight
            negative += recent.negative
            total += recent.total
            ratio_counted = counted
        # Half an event beforehand: Jeffreys' prior for a Poisson rate.
        counted += 0.5
        mean = counted / max(1e-9, seasonal) * season.integral(start, end)
        return Forecast(
            mean=mean,
            uncertainty=self._dispersion / counted + season.uncertainty(start, end),
            history_hours=hours,
            exact_mean=mean * (negative + 1) / (ratio_counted + 1),
            share_negative=negative,
            share_total=total,
        )

    def dump(self) -> list[str]:
        """The history as text."""
        return [
            pack_floats(np.concatenate([self._counts, self._hours, self._totals])),
        ]

    def load(self, parts: list[str]) -> None:
        """Read what `dump` made."""
        numbers = unpack_floats(parts[0], 2 * _SLOTS + 2)
        self._counts = numbers[:_SLOTS].copy()
        self._hours = numbers[_SLOTS : 2 * _SLOTS].copy()
        self._totals = numbers[2 * _SLOTS :].copy()
        self._season = None


def spread(mean: float, uncertainty: float, dispersion: float) -> float:
    """Standard deviation of a count with that forecast."""
    return math.sqrt(dispersion * mean + uncertainty * mean**2)
