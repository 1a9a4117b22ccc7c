"""What a subject's own history makes one expect: its level, its season, its share of negatives.

The rate of negatives is a level times a season (hour of day, on weekdays and at weekends), judged by a history in
which a day counts half after `half_life_days`. Levels move: how far this one has tells what the last days had to
what the whole history made one expect of them, shrunk towards 1. Level and season are gamma-distributed given that
history, so a forecast is negative binomial. The factors of hours, and those of weekdays and weekends, are shrunk
towards 1, and the more, the less those of this subject have varied so far (empirical Bayes): little history means
little season. The factor of an hour of a kind of day is shrunk in the same way towards the product of the two. So
the nights of weekends are known from other nights and from the days of weekends, before there were many of them.

Silence is believed only as far as the subject's own rate allows: once ten events should have come since the last
one, the rest of the silence is taken for an outage. It is then no evidence of a lower rate; the history only ages.
"""

from array import array
from dataclasses import dataclass

import numpy as np

from stream.spikes.calendar import DAY, HOUR, SLOT_OF_HOUR, SLOTS, WEEK, Calendar, Doubles, Integers
from stream.spikes.state import Floats

_HALF_HOURS = 2 * 7 * 24
# Between the middles of two hours the season goes straight from one to the other, but that at midnight it steps
# where another kind of day begins: what Friday's last hour has says nothing of the first one on Saturday.
_HALVES = np.arange(_HALF_HOURS)
_OWN_HOUR = SLOT_OF_HOUR[_HALVES // 2]
_NEAR_HOUR = (_OWN_HOUR + np.where(_HALVES % 2, 1, -1)) % 24 + _OWN_HOUR // 24 * 24
_BY_HOUR = np.arange(SLOTS) % 24
_BY_KIND = np.arange(SLOTS) // 24
_BELIEVED_EVENTS = 10
_LONGEST_SILENCE_SECONDS = 4 * WEEK
# Season factors of financial news vary about so much (variance). Where a subject was never watched at an hour,
# this keeps it quiet through its first morning, and through the Monday after it.
_SEASON_VARIANCE = 0.5
_FLAT = 1e-4
# The level of late forgets by half in so long, or in a quarter of the time that the history takes, and stands
# against so many events (more, where counts vary more) that say it has not moved: levels are taken to move by a
# quarter.
_LATE_HALF_LIFE = 42 * HOUR
_UNMOVED_EVENTS = 16
# What forecasts are divided by may round to 0 where counts are huge.
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Forecast:
    """What history explains in a span of time: of negatives, of which near-duplicates weigh less, or of others."""

    mean: float
    uncertainty: float
    """Relative variance of the mean itself: how little is known about level and season."""
    history_hours: float
    """Length of the history that it rests on, decayed."""
    moved: float
    """How far the level of late is from that of the whole history, as a factor."""

    def variance(self, dispersion: float) -> float:
        """Variance of the count."""
        return dispersion * self.mean + self.uncertainty * self.mean**2


@dataclass(frozen=True, slots=True)
class Mixture:
    """What history was made of, decayed."""

    weight: float
    """Negatives, near-duplicates weighing less."""
    negative: float
    total: float

    @property
    def share(self) -> float:
        """Share of negatives; a quarter before anything is known."""
        return (self.negative + 0.5) / (self.total + 2)

    @property
    def copies(self) -> float:
        """How many plain negatives there are to one of weight 1."""
        return (self.negative + 1) / (self.weight + 1)


class Season:
    """The season as it follows from the learned counts; made anew whenever those change."""

    def __init__(self, counts: Floats, hours: Floats, dispersion: float, calendar: Calendar) -> None:
        self._calendar = calendar
        count, exposure = counts.astype(float), hours.astype(float)
        self.dispersion = dispersion
        self.count = float(count.sum())
        self.hours = float(exposure.sum())
        level = (self.count + 0.5) / max(1e-9, self.hours)
        # Hours of the day and kinds of day first, since more is known of them than of each hour of each kind.
        # The level depends on the factors and they on it; three rounds settle it.
        hour, kind = np.ones(SLOTS), np.ones(SLOTS)
        for _ in range(3):
            hour, hour_uncertainty = _pooled(count, exposure * level * kind, _BY_HOUR, dispersion)
            kind, kind_uncertainty = _pooled(count, exposure * level * hour, _BY_KIND, dispersion)
            usual = hour * kind
            variance = _season_variance(count, exposure * level * usual, dispersion)
            weight = 1 / np.maximum(variance, _SEASON_VARIANCE * (1 - exposure))
            spread_counts = count / dispersion + weight
            expected = exposure * (level / dispersion) + weight / usual
            factors = spread_counts / expected
            level = (self.count + 0.5) / max(1e-9, float(exposure @ factors))
        halves = 0.75 * factors[_OWN_HOUR] + 0.25 * factors[_NEAR_HOUR]
        # Twice the level with half the season is the same. The level is that of a whole week, lest hours weighted
        # with the season of Friday and those with the season of Monday cannot be added up.
        mean = float(halves.mean())
        self.seasonal_hours = float(exposure @ factors) / mean
        shrinkage = weight / usual / expected
        self._uncertainties = _packed(1 / spread_counts)
        self._shrinkages = _packed(shrinkage)
        self._hour_uncertainties = _packed(shrinkage**2 * hour_uncertainty)
        self._kind_uncertainties = _packed(shrinkage**2 * kind_uncertainty)
        self._cumulated = _packed(np.concatenate(([0.0], np.cumsum(halves / mean) / 2)))

    def integral(self, start: int, end: int) -> float:
        """Hours from `start` to `end`, each weighted with its season factor."""
        hours = 0.0
        for first, last in self._calendar.spans(start, end):
            hours += self._until(*last) - self._until(*first)
        return hours

    def _until(self, weeks: int, second: int) -> float:
        half, rest = divmod(second, HOUR // 2)
        low, high = self._cumulated[half], self._cumulated[half + 1]
        return weeks * self._cumulated[-1] + low + (high - low) * rest / (HOUR // 2)

    def uncertainty(self, start: int, end: int) -> float:
        """Relative variance of the season's mean factor between `start` and `end`.

        What the data say of two hours errs independently, what is only believed of them errs alike.
        """
        slot = self._calendar.slot((start + end) // 2)
        alike = self._shrinkages[slot]
        hours = max(1.0, (end - start) / HOUR)
        return (
            self._uncertainties[slot] * (alike + (1 - alike) / hours)
            + self._hour_uncertainties[slot] / hours
            + self._kind_uncertainties[slot]
        )


def _packed(values: Doubles) -> "array[float]":
    """The same numbers, read one by one faster than from numpy, in a quarter of a list's memory."""
    return array("d", values.tobytes())


def _pooled(
    count: Doubles, expected: Doubles, groups: Integers, dispersion: float
) -> tuple[Doubles, Doubles]:
    """By slot, the factor of the group that it is in, and the relative variance of that factor."""
    counts: Doubles = np.bincount(groups, count).astype(float)
    wanted: Doubles = np.bincount(groups, expected).astype(float)
    weight = 1 / _season_variance(counts, wanted, dispersion)
    spread = counts / dispersion + weight
    factors = spread / (wanted / dispersion + weight)
    return factors[groups], (1 / spread)[groups]


def _season_variance(count: Doubles, expected: Doubles, dispersion: float) -> float:
    """Variance of the season factors: what counts vary beyond chance, mixed with what is believed beforehand."""
    squares = float(expected @ expected)
    if squares == 0:
        return _SEASON_VARIANCE
    difference = count - expected
    total = float(expected.sum())
    beyond = (float(difference @ difference) - dispersion * total) / squares
    error = dispersion * (2 * squares + total) / squares**2
    trust, belief = 1 / error, 1 / _SEASON_VARIANCE**2
    return max(_FLAT, (trust * beyond + belief * _SEASON_VARIANCE) / (trust + belief))


class Baseline:
    """A subject's decayed history, learned interval by interval."""

    SIZE = 2 * SLOTS + 3
    """How many numbers its state has."""
    RECENT = 2
    """How many more that of late has."""

    def __init__(self, half_life_days: float, calendar: Calendar | None = None) -> None:
        self._calendar = calendar or Calendar()
        self._half_life = half_life_days * DAY
        self._late_half_life = min(_LATE_HALF_LIFE, self._half_life / 4)
        self._numbers: Floats = np.zeros(self.SIZE, dtype=np.float32)
        # Of late: weighted negatives, and hours weighted with their season.
        self._recent: Floats = np.zeros(self.RECENT, dtype=np.float32)
        self._view()
        self.dispersion = 1.0

    def _view(self) -> None:
        # Weighted negatives and watched hours by slot; plain negatives and all events; dispersion.
        self._counts = self._numbers[:SLOTS]
        self._hours = self._numbers[SLOTS : 2 * SLOTS]
        self._totals = self._numbers[2 * SLOTS : 2 * SLOTS + 2]
        self._cached: Season | None = None

    @property
    def season(self) -> Season:
        """The season as it is known now."""
        if self._cached is None:
            self._cached = Season(self._counts, self._hours, self.dispersion, self._calendar)
        return self._cached

    @property
    def dispersion(self) -> float:
        """How much counts per hour vary, relative to Poisson; it decides how fast the season is believed."""
        return float(self._numbers[-1])

    @dispersion.setter
    def dispersion(self, value: float) -> None:
        self._numbers[-1] = value
        self._cached = None

    @property
    def hours(self) -> float:
        """Length of the history, decayed."""
        return self.season.hours

    @property
    def believed_silence(self) -> float:
        """For how many seconds silence counts as evidence."""
        rate = (float(self._totals[1]) + 0.5) / max(1.0, float(self._hours.sum()))
        return min(_LONGEST_SILENCE_SECONDS, _BELIEVED_EVENTS * self.dispersion / rate * HOUR)

    def learn(
        self,
        time: int,
        seconds: float,
        *,
        weight: float,
        negative: float,
        total: float,
        season: Season | None = None,
        of_late: float | None = None,
    ) -> None:
        """Take the counts of one interval, `seconds` of which were watched, into the history.

        Who learns several at once may give the `season` that was known before: it is not made anew for each.
        The level of late learns the `weight`, or only as much of it as `of_late`.
        """
        end = time + round(seconds)
        late = weight if of_late is None else of_late
        self._recent += np.array([late, (season or self.season).integral(time, end)], dtype=np.float32)
        for slot, share in self._calendar.shares(time, end):
            self._counts[slot] += np.float32(weight * share)
            self._hours[slot] += np.float32(seconds / HOUR * share)
        self._totals += np.array([negative, total], dtype=np.float32)
        self._cached = None

    def learn_late(self, time: int, now: int, *, weight: float, negative: int, total: int) -> None:
        """Take late events into an interval that has been learned; `now` is how far learning has come."""
        share = 0.5 ** ((now - time) / self._half_life)
        share_of_late = 0.5 ** ((now - time) / self._late_half_life)
        self._counts[self._calendar.slot(time)] += np.float32(weight * share)
        self._recent[0] += np.float32(weight * share_of_late)
        self._totals += np.array([share * negative, share * total], dtype=np.float32)
        self._cached = None

    def learn_silence(self, start: int, seconds: int, *, age: int = 0) -> None:
        """Take a silence into the history, whose middle lies `age` seconds before what was learned last."""
        believed = min(seconds, _LONGEST_SILENCE_SECONDS)
        share, share_of_late = 0.5 ** (age / self._half_life), 0.5 ** (age / self._late_half_life)
        self._recent[1] += np.float32(share_of_late * self.season.integral(start, start + believed))
        self._hours += (share * self._calendar.hours(start, believed)).astype(np.float32)
        self._cached = None

    def age(self, seconds: float) -> None:
        """Let the history lose weight."""
        self._numbers[:-1] *= np.float32(0.5 ** (seconds / self._half_life))
        self._recent *= np.float32(0.5 ** (seconds / self._late_half_life))
        self._cached = None

    def forecast(
        self, start: int, end: int, *, since: int = 0, weight: float = 0.0, moves: bool = True
    ) -> Forecast:
        """What history explains between `start` and `end`; without `moves` at the level of the whole history.

        Where `since` is given, so are the negatives between that time and `start`, which have not been learned.
        """
        season = self.season
        # Half an event beforehand: Jeffreys' prior for a Poisson rate.
        count, hours, seasonal = season.count + 0.5, season.hours, season.seasonal_hours
        recent, recent_hours = self._recent.tolist()
        if since:
            between = season.integral(since, start)
            count, recent = count + weight, recent + weight
            seasonal, recent_hours = seasonal + between, recent_hours + between
            hours += (start - since) / HOUR
        level = count / max(1e-9, seasonal)
        unmoved = season.dispersion * _UNMOVED_EVENTS
        moved = (recent + unmoved) / (recent_hours * level + unmoved) if moves else 1.0
        return Forecast(
            mean=max(_LEAST, moved * level * season.integral(start, end)),
            uncertainty=season.dispersion / min(count, recent + unmoved) + season.uncertainty(start, end),
            history_hours=hours,
            moved=moved,
        )

    @property
    def mixture(self) -> Mixture:
        """What the history was made of."""
        negative, total = self._totals.tolist()
        return Mixture(self.season.count, negative, total)

    def dump(self) -> Floats:
        """The history as `SIZE` numbers, but for that of late."""
        return self._numbers

    def dump_recent(self) -> Floats:
        """That of late."""
        return self._recent

    def load(self, numbers: Floats, recent: Floats) -> None:
        """Read what the two above made; without the second the level has not moved."""
        self._numbers = numbers.copy()
        self._view()
        if recent.size:
            self._recent = recent.copy()
        else:
            whole = (self.season.count, self.season.seasonal_hours)
            share = self._late_half_life / self._half_life
            self._recent = np.array([part * share for part in whole], dtype=np.float32)

    @property
    def counts(self) -> Floats:
        """Decayed counts by hour of day and kind of day."""
        return self._counts

    def load_counts(self, other: "Baseline", counts: Floats, recent: Floats) -> None:
        """Take the watched hours of another, with counts of one's own."""
        numbers = other.dump().copy()
        numbers[:SLOTS] = counts
        self.load(numbers, recent)
