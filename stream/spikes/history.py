"""A subject's past: exact counts of the last day, and what the time before makes one expect.

Time moves in one direction. What the longest window has left behind goes from the rings into the baseline, an hour
at a time; each window's blocks go into the dispersion once their late events are in.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stream.labels import Sentiment
from stream.spikes.baseline import HOUR, Baseline, Forecast, Mixture, Season
from stream.spikes.counts import BUCKETS, Ring
from stream.spikes.dispersion import Dispersion
from stream.spikes.novelty import UNIT
from stream.spikes.others import Others
from stream.spikes.settings import MINUTE_WINDOWS_SECONDS, SpikeSettings
from stream.spikes.state import Floats
from stream.spikes.tail import Tails
from stream.spikes.trend import NEGATIVE, REPEATED, Trend

_MINUTE = 60


class Columns(NamedTuple):
    """Which of a ring's columns say what."""

    negative: int
    total: tuple[int, ...]
    """They add up to all events."""
    repeated: int
    """Units by which near-duplicates lessen the weight of the negatives."""


_OF_MINUTES = Columns(negative=0, total=(1,), repeated=2)
_OF_TREND = Columns(negative=NEGATIVE, total=tuple(range(REPEATED)), repeated=REPEATED)
# With less than a day of history its forecasts are too poor to tell dispersion from their own errors, and what
# came during an alert is better than nothing.
_YOUNG_HOURS = 24.0
# A block teaches the dispersion no more than one that far beyond its forecast: it is to tell how counts vary from
# day to day, and the tails how far they jump. But what is no more than the least surge is learned in full, or a
# subject with few stories, of several items each, would seem to have but single ones.
_USUAL_SPREADS = 2.0
GOES_ON = 1.5
"""A surge goes on while there are so many times the usual negatives."""

InAlert = Callable[[int, int], bool]
"""Whether a span of time touches an alert."""


class Counts:
    """Exact counts of a window, from a bucket of a ring up to the time `end`."""

    __slots__ = ("_columns", "_first", "_last", "_ring", "end", "negative", "start", "weight")

    def __init__(self, ring: Ring, first: int, end: int, columns: Columns) -> None:
        self._ring, self._columns = ring, columns
        self._first, self._last = first, (end - 1) // ring.seconds
        self.start, self.end = first * ring.seconds, end
        self.negative = ring.total(columns.negative, first, self._last)
        self.weight = self.negative - ring.total(columns.repeated, first, self._last) / UNIT
        """Negatives, near-duplicates weighing less."""

    @property
    def total(self) -> int:
        """All events."""
        return sum(self._ring.total(column, self._first, self._last) for column in self._columns.total)

    @property
    def newest(self) -> "Counts":
        """The window's newest quarter."""
        return self.since((self._last - (self._last - self._first) // 4) * self._ring.seconds)

    def since(self, time: int) -> "Counts":
        """What came from `time` on, of whole buckets."""
        first = -(-time // self._ring.seconds)
        return self if first <= self._first else Counts(self._ring, first, self.end, self._columns)


class History:
    """Counts, baseline and dispersion of one subject; times are Unix seconds."""

    def __init__(self, subject: str, settings: SpikeSettings, in_alert: InAlert) -> None:
        self._in_alert = in_alert
        self.trend = Trend(subject, settings.interval_seconds, settings.lateness_seconds)
        self._windows = settings.windows_seconds
        self._minimum = settings.minimum_negatives
        self._lateness = settings.lateness_seconds
        self._minutes = Ring(_MINUTE, 3)
        self._baseline = Baseline(settings.half_life_days)
        self.dispersion = Dispersion(self._windows, settings.half_life_days)
        self.others = Others(self._windows, settings.half_life_days)
        self.tails = Tails(self._windows, settings.false_alarms_per_day)
        self.clock: int | None = None
        """The newest time seen or said."""
        self._since = 0
        """Time of the first event."""
        self._newest = 0
        """Time of the newest event, which `move` alone does not change."""
        self._learned = 0
        """Index of the first interval that the baseline has not learned."""
        self._filled = 0
        """Index of the last learned interval that was not empty, or of which a row of counts says that it was."""
        self._rows_from: int | None = None
        """Index of the interval from which on rows of counts have come without an outage; None without such."""
        self._blocks = [0] * len(self._windows)
        """By window: index of the first block that the dispersion has not learned."""

    @property
    def now(self) -> int:
        """The clock, 0 before the first event."""
        return self.clock or 0

    def oldest(self, time: int) -> int:
        """Start of what is still kept once an event of `time` is in."""
        seconds = self.trend.ring.seconds
        return (max(time, self.now) // seconds - BUCKETS + 1) * seconds

    def count(self, time: int, sentiment: Sentiment, weight: int = UNIT, number: int = 1) -> None:
        """Count `number` events that are not older than `oldest`.

        A negative weighs `weight` units in the tests.
        """
        negative = sentiment == "negative"
        seconds = self.trend.ring.seconds
        self._newest = max(self._newest, time)
        self.trend.count(time, sentiment, number * (UNIT - weight), number)
        if time // seconds < self._learned:
            self._learn_late(time, weight=number * weight / UNIT, negative=negative, number=number)
        minute = time // _MINUTE
        if minute >= self._minutes.first:
            self._minutes.add(minute, _OF_MINUTES.total[0], number)
            if negative:
                self._minutes.add(minute, _OF_MINUTES.negative, number)
                self._minutes.add(minute, _OF_MINUTES.repeated, number * (UNIT - weight))

    def note_row(self, time: int) -> None:
        """Take note of a row of counts: where rows come, an empty interval is known to be empty."""
        if self._rows_from is None or time - self._newest > self._baseline.believed_silence:
            self._rows_from = time // self.trend.ring.seconds
        self._newest = max(self._newest, time)

    def window(self, seconds: int, end: int, *, whole: bool = True) -> Counts | None:
        """Counts of the window of that length that ends with the second `end`; None where not all is kept.

        It begins with the first bucket that lies in it as a `whole`, or else with the one that it begins in.
        """
        ring, columns = self._ring(seconds)
        first = (end - seconds) // ring.seconds + (1 if whole else 0)
        return None if first < ring.first else Counts(ring, first, end + 1, columns)

    def _ring(self, seconds: int) -> tuple[Ring, Columns]:
        if seconds <= MINUTE_WINDOWS_SECONDS:
            return self._minutes, _OF_MINUTES
        return self.trend.ring, _OF_TREND

    def forecast(self, counts: Counts, *, in_alert: bool) -> Forecast:
        """What history explains in a window with those counts.

        History is what the baseline has learned and, unless an alert has a part in that, what came after it and
        before the window.
        """
        since = self._unlearned_since(counts, in_alert=in_alert)
        if not since:
            return self._baseline.forecast(counts.start, counts.end)
        before = self._unlearned(counts.end)
        weight = max(0.0, before.weight - counts.weight)
        return self._baseline.forecast(counts.start, counts.end, since=since, weight=weight)

    def mixture(self, counts: Counts, *, in_alert: bool) -> Mixture:
        """What the history was made of that `forecast` rests on."""
        learned = self._baseline.mixture
        if not self._unlearned_since(counts, in_alert=in_alert):
            return learned
        before = self._unlearned(counts.end)
        return Mixture(
            learned.weight + max(0.0, before.weight - counts.weight),
            learned.negative + max(0, before.negative - counts.negative),
            learned.total + max(0, before.total - counts.total),
        )

    def expect_both(self, counts: Counts, *, in_alert: bool) -> tuple[float, float]:
        """Plain negatives, and other events, that history makes one expect in a window with those counts."""
        forecast = self.forecast(counts, in_alert=in_alert)
        mixture = self.mixture(counts, in_alert=in_alert)
        since = self._unlearned_since(counts, in_alert=in_alert)
        number = 0
        if since:
            before = self._unlearned(counts.end)
            number = max(0, before.total - before.negative - counts.total + counts.negative)
        others = self.others.expect(forecast, counts.start, counts.end, mixture, since=since, number=number)
        return forecast.mean * mixture.copies, others

    def _unlearned_since(self, counts: Counts, *, in_alert: bool) -> int:
        """Where history before a window begins that has not been learned; 0 where there is none to use."""
        since = max(self._since, self._learned * self.trend.ring.seconds)
        if since >= counts.start:
            return 0
        of_alert = in_alert or self._in_alert(since, counts.start)
        return 0 if of_alert and self._baseline.hours >= _YOUNG_HOURS else since

    def _unlearned(self, end: int) -> Counts:
        return Counts(self.trend.ring, self._learned, end, _OF_TREND)

    def usual(self, start: int, end: int) -> float:
        """Weighted negatives that the learned history explains between two times."""
        return self._baseline.forecast(start, end).mean

    def expect(self, start: int, end: int) -> float | None:
        """Plain negatives expected in an interval of the trend; None while there is no history."""
        ring = self.trend.ring
        counts = Counts(ring, start // ring.seconds, end, _OF_TREND)
        forecast = self.forecast(counts, in_alert=False)
        if forecast.history_hours < 1:
            return None
        return forecast.mean * self.mixture(counts, in_alert=False).copies

    # Time

    def begin(self, time: int) -> None:
        """Start with the first event."""
        self.clock = self._since = self._newest = time
        self._minutes.slide(time // _MINUTE)
        self.trend.slide(time, self.expect)
        self._learned = self._filled = time // self.trend.ring.seconds
        # The block that has begun is not whole.
        self._blocks = [time // window + 1 for window in self._windows]

    def move(self, time: int) -> bool:
        """Let the clock go to `time`, never back; true when a minute is over."""
        before = self.now
        if time <= before:
            return False
        minute = time // _MINUTE
        if minute == before // _MINUTE:
            self.clock = time
            return False
        for window, seconds in enumerate(self._windows):
            if self._blocks[window] < (time - self._delay(seconds)) // seconds:
                self._learn_blocks(window, time)
        self._learn_intervals(time)
        self._minutes.slide(minute)
        self.trend.slide(time, self.expect)
        self.clock = time
        return True

    def _delay(self, seconds: int) -> int:
        """How long a block waits, for its late events, and lest a surge that begins is taken for usual.

        No longer than until the baseline learns it, or than its ring holds it.
        """
        ring, _ = self._block_ring(seconds)
        wanted = max(self._lateness, self._windows[-1] - seconds)
        return min(wanted, (BUCKETS - 1) * ring.seconds - seconds)

    def _block_ring(self, seconds: int) -> tuple[Ring, Columns]:
        """Blocks of whole intervals are read from the trend, which keeps them for longer than the minutes."""
        if seconds % self.trend.ring.seconds:
            return self._minutes, _OF_MINUTES
        return self.trend.ring, _OF_TREND

    def _learn_blocks(self, window: int, time: int) -> None:
        """Learn how much the counts vary from block to block, up to `time`."""
        seconds = self._windows[window]
        ring, columns = self._block_ring(seconds)
        until = (time - self._delay(seconds)) // seconds
        believed = self._newest + self._baseline.believed_silence
        block = self._blocks[window]
        while block < until and block * seconds <= ring.last * ring.seconds:
            start, end = block * seconds, (block + 1) * seconds
            counts = Counts(ring, start // ring.seconds, end, columns)
            alerted = self._in_alert(start, end)
            forecast = self.forecast(counts, in_alert=alerted)
            if start <= believed and forecast.history_hours >= _YOUNG_HOURS:
                spread = forecast.variance(self.dispersion[window]) ** 0.5
                # The hours of a surge have many such blocks, and are not how counts usually vary.
                below = 0 if alerted else self._minimum
                weight = min(counts.weight, max(below, forecast.mean + _USUAL_SPREADS * spread))
                self.dispersion.learn(window, weight - forecast.mean, forecast.mean)
                if alerted:
                    self.others.balance.age(window, 1)
                else:
                    both = (counts.negative, counts.total - counts.negative)
                    self.others.learn_balance(window, both, self.expect_both(counts, in_alert=False))
            block += 1
        silent = min(until, int(believed) // seconds) - block
        if silent > 0 and self._baseline.hours >= _YOUNG_HOURS:
            mean = self.usual(block * seconds, (block + 1) * seconds)
            self.dispersion.learn(window, mean, mean, silent)
            self.others.balance.age(window, silent)
        self._blocks[window] = until

    def _learn_intervals(self, time: int) -> None:
        """Learn the whole hours that the longest window leaves behind when the clock goes to `time`."""
        ring, seconds = self.trend.ring, self.trend.ring.seconds
        until = (time - self._windows[-1]) // HOUR * HOUR // seconds
        if self._learned >= until:
            return
        self._baseline.dispersion = self.others.baseline.dispersion = self.dispersion.near(HOUR)
        seasons = (self._baseline.season, self.others.baseline.season)
        for bucket in range(self._learned, min(until, ring.last + 1)):
            self._learn_interval(bucket, *seasons)
            self._learned = bucket + 1
        gap = (until - self._learned) * seconds
        if gap > 0:
            silent = (self._learned - self._filled) * seconds
            believed = int(self._baseline.believed_silence) - silent
            if believed > 0:
                for baseline in (self._baseline, self.others.baseline):
                    baseline.learn_silence(self._learned * seconds, min(gap, believed))
            self._age(gap)
            self.tails.age(gap, watched=max(0, min(gap, believed)))
            self._learned = until

    def _learn_interval(self, bucket: int, season: Season, season_of_others: Season) -> None:
        seconds = self.trend.ring.seconds
        start, end = bucket * seconds, (bucket + 1) * seconds
        counts = Counts(self.trend.ring, bucket, end, _OF_TREND)
        self._age(seconds)
        if counts.total or (self._rows_from is not None and bucket >= self._rows_from):
            self._filled = bucket
        elif (bucket - self._filled) * seconds > self._baseline.believed_silence:
            self.tails.age(seconds, watched=0)
            return
        self.tails.age(seconds, watched=seconds)
        alerted = counts.weight > 0 and self._in_alert(start, end)
        share = self._share_learned(bucket) if alerted else 1.0
        self._baseline.learn(
            start,
            min(seconds, end - self._since),
            weight=counts.weight * share,
            negative=counts.negative * share,
            total=counts.total * share,
            season=season,
            of_late=counts.weight * min(share, self._share_of_late(bucket)) if alerted else None,
        )
        others = counts.total - counts.negative
        self.others.baseline.learn(
            start,
            min(seconds, end - self._since),
            weight=others,
            negative=0,
            total=others,
            season=season_of_others,
        )

    def _age(self, seconds: float) -> None:
        self._baseline.age(seconds)
        self.others.baseline.age(seconds)

    def _learn_late(self, time: int, *, weight: float, negative: bool, number: int) -> None:
        """Take late events into an hour that has been learned, unless that is a surge."""
        seconds = self.trend.ring.seconds
        hour = -(-time // HOUR) * HOUR
        if hour < self._since // HOUR * HOUR:
            # The history is longer than it seemed, by the hours of which all was watched.
            for baseline in (self._baseline, self.others.baseline):
                baseline.learn_silence(hour, self._since // HOUR * HOUR - hour)
            self._since = hour
        if not negative:
            self.others.baseline.learn_late(
                time, self._learned * seconds, weight=float(number), negative=0, total=number
            )
        grown = self._baseline.hours >= _YOUNG_HOURS
        if negative and grown and self._share_learned(time // seconds) < 1:
            return
        self._baseline.learn_late(
            time,
            self._learned * seconds,
            weight=weight if negative else 0.0,
            negative=number if negative else 0,
            total=number,
        )

    def _share_learned(self, bucket: int) -> float:
        """Share of an interval during a surge that is learned.

        Of each hour no more than a high but usual count, lest a long surge becomes the norm. Hours, since of an
        interval in which next to nothing is expected hardly one event would be learned, and the level would sink.
        """
        weight, forecast = self._around(bucket, HOUR)
        most = forecast.mean + 2 * forecast.variance(self.dispersion.near(HOUR)) ** 0.5
        return float(min(1.0, most / max(weight, 1e-9)))

    def _share_of_late(self, bucket: int) -> float:
        """Share of an interval during a surge that the level of late learns: a scandal of days is no move of it.

        So much that the longest window around it teaches no more than what makes a surge go on: of ordinary hours
        within an alert many are above that, and the others below.
        """
        weight, forecast = self._around(bucket, max(HOUR, self._windows[-1]))
        return min(1.0, GOES_ON * forecast.mean / max(weight, 1e-9))

    def _around(self, bucket: int, span: int) -> tuple[float, Forecast]:
        """Weighted negatives of the span that an interval lies in, and what the history explains there.

        The whole history, or what an alert teaches would raise what it may teach next.
        """
        ring = self.trend.ring
        start = bucket * ring.seconds // span * span
        counts = Counts(ring, start // ring.seconds, start + span, _OF_TREND)
        return counts.weight, self._baseline.forecast(start, start + span, moves=False)

    # State

    def dump(self) -> tuple[list[int], Floats]:
        """The history as whole numbers and others."""
        times = [self.now, self._since, self._newest, self._learned, self._filled, *self._blocks]
        numbers = [len(self._shape), *self._shape, *times]
        numbers += [*self._minutes.dump(), *self.trend.ring.dump()]
        last, sums = self.tails.dump()
        baseline, recent = self._baseline.dump(), self._baseline.dump_recent()
        return [*numbers, *last], np.concatenate([baseline, self.dispersion.dump(), sums, recent])

    @property
    def _shape(self) -> tuple[int, ...]:
        return (self.trend.ring.seconds, *self._windows)

    def load(self, numbers: Sequence[int], floats: Floats, others: Floats | None = None) -> None:
        """Read what `dump` and `others.dump` made; earlier versions had no `others`.

        Where intervals were set differently then, the baseline is kept and the rest begins anew; where windows
        were, the counts are kept too.
        """
        shape, numbers = tuple(numbers[1 : 1 + numbers[0]]), numbers[1 + numbers[0] :]
        known = Baseline.SIZE + self.dispersion.size
        # States of earlier versions end behind the dispersion, or behind the tails.
        tails, recent = (
            floats[known:][: self.tails.size],
            floats[known + self.tails.size :][: Baseline.RECENT],
        )
        if shape != self._shape:
            # What is behind the baseline has another size then.
            recent = floats[floats.size :]
        self._baseline.load(floats[: Baseline.SIZE], recent)
        if others is None:
            self.others.begin_like(self._baseline)
        else:
            self.others.load(others, self._baseline, same_windows=shape == self._shape)
        if shape[0] != self._shape[0]:
            self.begin(numbers[0])
            return
        self.clock, self._since, self._newest, self._learned, self._filled = numbers[:5]
        place = 4 + len(shape)
        self._blocks = list(numbers[5:place])
        place += self._minutes.load(numbers[place:])
        place += self.trend.load(numbers[place:])
        if shape != self._shape:
            self._blocks = [self.clock // window + 1 for window in self._windows]
            return
        self.dispersion.load(floats[Baseline.SIZE : known])
        self.tails.load(numbers[place:], tails)
