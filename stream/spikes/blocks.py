"""How counts vary from block to block of a window's length, learned once a block's late events are in."""

from collections.abc import Sequence

from stream.spikes.dispersion import Dispersion
from stream.spikes.intervals import YOUNG_HOURS, InAlert, Intervals
from stream.spikes.others import Others
from stream.spikes.settings import SpikeSettings
from stream.spikes.windows import Windows

# A block teaches the dispersion no more than one that far beyond its forecast: it is to tell how counts vary from
# day to day, and the tails how far they jump. But what is no more than the least surge is learned in full, or a
# subject with few stories, of several items each, would seem to have but single ones.
_USUAL_SPREADS = 2.0


class Blocks:
    """Which blocks have taught the dispersion of the negatives, and the balance of these with the others."""

    def __init__(
        self,
        windows: Windows,
        intervals: Intervals,
        settings: SpikeSettings,
        *,
        dispersion: Dispersion,
        others: Others,
        in_alert: InAlert,
    ) -> None:
        self._windows, self._intervals = windows, intervals
        self._dispersion, self._others, self._in_alert = dispersion, others, in_alert
        self._lengths = settings.windows_seconds
        self._minimum = settings.minimum_negatives
        self._delays = [self._delay(seconds, settings.lateness_seconds) for seconds in self._lengths]
        self._next = [0] * len(self._lengths)
        """By window: index of the first block that is not learned."""

    def _delay(self, seconds: int, lateness: int) -> int:
        """How long a block waits, for its late events, and lest a surge that begins is taken for usual.

        No longer than until the baseline learns it, or than its ring holds it.
        """
        return min(max(lateness, self._lengths[-1] - seconds), self._windows.keeps_block(seconds))

    def begin(self, time: int) -> None:
        """Start with `time`: the block that has begun is not whole."""
        self._next = [time // seconds + 1 for seconds in self._lengths]

    def learn(self, time: int) -> None:
        """Learn what has waited long enough when the clock goes to `time`."""
        for window, seconds in enumerate(self._lengths):
            until = (time - self._delays[window]) // seconds
            if self._next[window] < until:
                self._learn(window, until)

    def _learn(self, window: int, until: int) -> None:
        seconds = self._lengths[window]
        believed = self._intervals.believed_until
        block = self._next[window]
        while block < until and (counts := self._windows.block(seconds, block)) is not None:
            alerted = self._in_alert(counts.start, counts.end)
            history = self._intervals.explain(counts, in_alert=alerted)
            forecast = history.forecast
            if counts.start <= believed and forecast.history_hours >= YOUNG_HOURS:
                spread = forecast.variance(self._dispersion[window]) ** 0.5
                # The forecast's own error stays in the difference: without it lively subjects seem too calm, and
                # of the public benchmark's 15 surges 10 are found in place of 14.
                # The hours of a surge have many such blocks, and are not how counts usually vary.
                below = 0 if alerted else self._minimum
                weight = min(counts.weight, max(below, forecast.mean + _USUAL_SPREADS * spread))
                self._dispersion.learn(window, weight - forecast.mean, forecast.mean)
                if alerted:
                    self._others.balance.age(window, 1)
                else:
                    both = (counts.negative, counts.total - counts.negative)
                    self._others.learn_balance(window, both, (history.negatives, history.others))
            block += 1
        silent = min(until, int(believed) // seconds) - block
        if silent > 0 and self._intervals.baseline.hours >= YOUNG_HOURS:
            mean = self._intervals.baseline.forecast(block * seconds, (block + 1) * seconds).mean
            self._dispersion.learn(window, mean, mean, silent)
            self._others.balance.age(window, silent)
        self._next[window] = until

    def dump(self) -> list[int]:
        """How far each window is, as so many numbers."""
        return [*self._next]

    def load(self, numbers: Sequence[int]) -> None:
        """Read what `dump` made."""
        self._next = list(numbers)
