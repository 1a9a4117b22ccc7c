"""A subject's past: exact counts of the last day, and what the time before makes one expect.

Time moves in one direction. What the longest window has left behind goes from the rings into the baselines, an
hour at a time; each window's blocks go into the dispersion once their late events are in.
"""

from collections.abc import Sequence

import numpy as np

from stream.labels import Sentiment
from stream.spikes.baseline import Baseline
from stream.spikes.blocks import Blocks
from stream.spikes.calendar import HOUR, SLOTS, Calendar, shifted
from stream.spikes.dispersion import Dispersion
from stream.spikes.explanation import Explanation
from stream.spikes.intervals import InAlert, Intervals
from stream.spikes.novelty import UNIT
from stream.spikes.others import Others
from stream.spikes.settings import SpikeSettings
from stream.spikes.state import Floats
from stream.spikes.tail import Tails
from stream.spikes.trend import Trend
from stream.spikes.windows import Counts, Windows

_MINUTE = 60


class History:
    """Counts, baselines and dispersion of one subject; times are Unix seconds."""

    def __init__(self, subject: str, settings: SpikeSettings, in_alert: InAlert) -> None:
        lengths, half_life = settings.windows_seconds, settings.half_life_days
        self._calendar = Calendar(settings.season_zone)
        self.dispersion = Dispersion(lengths, half_life)
        self.others = Others(lengths, half_life, self._calendar)
        self.tails = Tails(lengths, settings.false_alarms_per_day)
        self._windows = Windows(subject, settings.interval_seconds, settings.lateness_seconds)
        self._intervals = Intervals(
            self._windows,
            lengths[-1],
            baseline=Baseline(half_life, self._calendar),
            others=self.others,
            dispersion=self.dispersion,
            tails=self.tails,
            in_alert=in_alert,
        )
        self._blocks = Blocks(
            self._windows,
            self._intervals,
            settings,
            dispersion=self.dispersion,
            others=self.others,
            in_alert=in_alert,
        )
        self._shape = (settings.interval_seconds, *lengths)
        self.clock: int | None = None
        """The newest time seen or said."""

    @property
    def now(self) -> int:
        """The clock, 0 before the first event."""
        return self.clock or 0

    @property
    def trend(self) -> Trend:
        """The rows of the newest intervals."""
        return self._windows.trend

    @property
    def baseline(self) -> Baseline:
        """What is learned of the negatives."""
        return self._intervals.baseline

    def oldest(self, time: int) -> int:
        """Start of what is still kept once an event of `time` is in."""
        return self._windows.oldest(max(time, self.now))

    def count(self, time: int, sentiment: Sentiment, weight: int = UNIT, number: int = 1) -> None:
        """Count `number` events that are not older than `oldest`.

        A negative weighs `weight` units in the tests.
        """
        self._windows.count(time, sentiment, weight, number)
        negative = sentiment == "negative"
        self._intervals.note(time, weight=number * weight / UNIT, negative=negative, number=number)

    def note_row(self, time: int) -> None:
        """Take note of a row of counts: where rows come, an empty interval is known to be empty."""
        self._intervals.note_row(time)

    def window(self, seconds: int, end: int, *, whole: bool = True) -> Counts | None:
        """Counts of the window of that length that ends with the second `end`; None where not all is kept.

        It begins with the first bucket that lies in it as a `whole`, or else with the one that it begins in.
        """
        return self._windows.ending(seconds, end, whole=whole)

    def explain(self, counts: Counts, *, in_alert: bool) -> Explanation:
        """What history explains of a window with those counts.

        Of what is not yet learned, nothing in which an alert has a part is history, but in the first day.
        """
        return self._intervals.explain(counts, in_alert=in_alert)

    def usual(self, start: int, end: int) -> float:
        """Weighted negatives that the learned history explains between two times."""
        return self.baseline.forecast(start, end).mean

    def expect(self, start: int, end: int) -> float | None:
        """Plain negatives expected in an interval of the trend; None while there is no history."""
        counts = self._windows.intervals(start // self.trend.ring.seconds, end)
        history = self.explain(counts, in_alert=False)
        return None if history.forecast.history_hours < 1 else history.negatives

    # Time

    def begin(self, time: int) -> None:
        """Start with the first event."""
        self.clock = time
        self._intervals.begin(time)
        self._windows.slide(time, self.expect)
        self._blocks.begin(time)

    def move(self, time: int) -> bool:
        """Let the clock go to `time`, never back; true when a minute is over."""
        before = self.now
        if time <= before:
            return False
        if time // _MINUTE == before // _MINUTE:
            self.clock = time
            return False
        self._blocks.learn(time)
        self._intervals.learn(time)
        self._windows.slide(time, self.expect)
        self.clock = time
        return True

    # State

    def dump(self) -> tuple[list[int], Floats]:
        """The history as whole numbers and others."""
        times = [self.now, *self._intervals.dump(), *self._blocks.dump()]
        last, sums = self.tails.dump()
        baseline, recent = self.baseline.dump(), self.baseline.dump_recent()
        numbers = [len(self._shape), *self._shape, *times, *self._windows.dump(), *last]
        return numbers, np.concatenate([baseline, self.dispersion.dump(), sums, recent])

    @property
    def offset(self) -> int:
        """By how many seconds the clocks that its hours go by were ahead of UTC in the middle of its history."""
        return self._offset(self.baseline.dump())

    def _offset(self, baseline: Floats) -> int:
        hours = float(baseline[SLOTS : 2 * SLOTS].sum())
        return self._calendar.offset(self.now - round(hours / 2 * HOUR))

    def load(
        self, numbers: Sequence[int], floats: Floats, others: Floats | None = None, *, offset: int = 0
    ) -> None:
        """Read what `dump` and `others.dump` made; earlier versions had no `others`.

        Where hours went by other clocks, since `offset` is another, what they had moves to those of now. Where
        intervals were set differently then, the baseline is kept and the rest begins anew; where windows
        were, the counts are kept too.
        """
        shape, numbers = tuple(numbers[1 : 1 + numbers[0]]), numbers[1 + numbers[0] :]
        known = Baseline.SIZE + self.dispersion.size
        self.clock = numbers[0]
        # That of now would be an hour off where a zone is named because summer time has just begun or ended.
        if ahead := self._offset(floats) - offset:
            counts_and_hours = [shifted(part, ahead) for part in np.split(floats[: 2 * SLOTS], 2)]
            floats = np.concatenate([*counts_and_hours, floats[2 * SLOTS :]])
            others = (
                None if others is None else np.concatenate([shifted(others[:SLOTS], ahead), others[SLOTS:]])
            )
        # States of earlier versions end behind the dispersion, or behind the tails.
        tails, recent = (
            floats[known:][: self.tails.size],
            floats[known + self.tails.size :][: Baseline.RECENT],
        )
        if shape != self._shape:
            # What is behind the baseline has another size then.
            recent = floats[floats.size :]
        self.baseline.load(floats[: Baseline.SIZE], recent)
        if others is None:
            self.others.begin_like(self.baseline)
        else:
            self.others.load(others, self.baseline, same_windows=shape == self._shape)
        clock, *times = numbers[: Intervals.SIZE + len(shape)]
        if shape[0] != self._shape[0]:
            self.begin(clock)
            return
        self.clock = clock
        self._intervals.load(times[: Intervals.SIZE])
        rest = numbers[Intervals.SIZE + len(shape) :]
        rest = rest[self._windows.load(rest) :]
        if shape != self._shape:
            self._blocks.begin(clock)
            return
        self._blocks.load(times[Intervals.SIZE :])
        self.dispersion.load(floats[Baseline.SIZE : known])
        self.tails.load(rest, tails)
