"""How often a subject's counts go beyond what their distribution allows, learned from its own excesses.

The volume test says how rare a count is if counts are negative binomial. The news of many a subject has heavier
tails: it jumps to ten times the usual every other day. So of each window length the peaks over a level are kept in
mind, in the way of extreme value theory: how often they come, against the theory, and how far beyond the level
they go on average. Surprise beyond the level (natural logarithm of the level over the test's alarms per day) is
exponential with mean 1 in theory; its real mean has a gamma prior around that, which makes the forecast a Lomax
distribution. So a count is judged by what this subject's excesses were like, and little history changes little.

A peak that fires teaches no more than its like usually do, or than would fire by the theory: scandals must not
hide the next one.

There are fewer alarms than the shares of the budget add up to: a story is met by several windows, some of which
have hardly any counts over the level, since those are whole numbers; and the gate stops some peaks. What is
missing is made up for, lest less than the budget is used.

Source: peaks over threshold, Davison and Smith 1990, "Models for Exceedances over High Thresholds".
"""

import math
from collections.abc import Sequence

import numpy as np

from stream.spikes.calendar import DAY, HOUR
from stream.spikes.state import Floats

OVER_LEVEL = 8.5
"""The level is met so many times as often as a window's share of the budget."""
# Weights of the theory, in peaks: for how often they come, and for how far they go. With ten for the second, rare
# stories of several items came to 1.25 times a budget of one in a hundred days, with five to 0.92 times.
_PRIOR_PEAKS = 2.0
_PRIOR_EXCESSES = 5.0
# Peaks are rare, so what is known of them must be remembered for longer than what is usual: at a budget of one
# false alarm in a hundred days a window has one peak a month. With a half-life of 56 days rare stories of several
# items each alarmed a sixth more often.
_HALF_LIFE = 140 * DAY
# The same for whether a window uses its share of the budget: that it has hardly any peaks is to be seen sooner.
_PRIOR_USE = 0.5
# Windows six times as long as the one before share many of their alarms: of simulated streams of all kinds three
# together gave 0.6 to 0.75 of the sum. So n of them count as n / (1 + 0.27 (n - 1)) that share none; windows of
# other ratios were not measured.
_SHARED = 0.27
# As cut, the excesses of peaks of which one in `OVER_LEVEL` fires have a mean that is too small by that share.
_UNCUT = OVER_LEVEL / (OVER_LEVEL - 1)
# What a peak that fires may teach at least: what fires where nothing is known. It is not what fires by now, which
# would rise with each scandal: of equal ones, a week apart, the sixth to the tenth were not told.
_MOST_TAUGHT = _PRIOR_EXCESSES * (OVER_LEVEL ** (1 / _PRIOR_EXCESSES) - 1)
# What stands for the height of a peak that has fired, which teaches no more.
_FIRED = 1e6
# What is kept of a window length: decayed peaks, their excess, watched days; and of the peak that goes on, what
# has been learned of its excess, or less than 0 where none does.
_PEAKS, _EXCESS, _DAYS, _HEIGHT = range(4)
# What is kept of all together: peaks that the gate let through and that it stopped, and whether it has let the one
# through that goes on.
_OPENED, _STOPPED, _THROUGH = _PEAKS, _EXCESS, _HEIGHT


class Tails:
    """The peaks of all window lengths of a subject."""

    def __init__(self, windows: Sequence[int], false_alarms_per_day: float) -> None:
        self._lengths = windows
        self.level = OVER_LEVEL * false_alarms_per_day / len(windows)
        """Alarms per day by the volume test from which on a count is a peak."""
        # A row for each window, and one for all together.
        self._sums: Floats = np.zeros((len(windows) + 1, 4), dtype=np.float32)
        self._sums[:, _HEIGHT] = -1
        self._last = [0] * (len(windows) + 1)

    @property
    def use(self) -> float:
        """How much of the budget is used where each window alarms by its share of it."""
        opened, stopped, _, _ = self._sums[-1].tolist()
        through = (_PRIOR_PEAKS + opened) / (_PRIOR_PEAKS + opened + stopped)
        windows = self._sums[:-1].tolist()
        used = sum(min(1.0, self._often(peaks, days, _PRIOR_USE)) for peaks, _, days, _ in windows)
        apart = used / (1 + _SHARED * max(0.0, used - 1))
        return float(apart / len(windows) * through)

    def share(self, window: int, alarms: float) -> float:
        """Alarms per day that a test at this count would give, over what the budget allows this window.

        `alarms`, at most the level, is what the volume test alone would expect of it.
        """
        often, weight, scale = self._forecast(window)
        return float(often * (1 + self._surprise(alarms) / scale) ** -weight)

    def learn(self, window: int, alarms: float, time: int) -> None:
        """Take a count at `time`: below the level it teaches nothing, what lies close together is one peak."""
        if alarms > self.level:
            return
        row = self._sums[window]
        if time - self._last[window] > max(HOUR, self._lengths[window]) or row[_HEIGHT] < 0:
            row[_PEAKS] += 1
            row[_HEIGHT] = 0
        height, excess = float(row[_HEIGHT]), self._surprise(alarms)
        if height < _FIRED and self.share(window, alarms) < 1:
            # What it has taught before it fired is taken back, too.
            _, weight, scale = self._forecast(window)
            usual = (scale - _UNCUT * height) / (weight - 1)
            row[_EXCESS] += min(excess, max(_MOST_TAUGHT, usual)) - height
            row[_HEIGHT] = _FIRED
        elif excess > height:
            row[_EXCESS] += excess - height
            row[_HEIGHT] = excess
        self._last[window] = max(self._last[window], time)

    def count(self, time: int, *, opened: bool) -> None:
        """Some window is near its share of the budget at `time`, and the gate lets it through or not.

        What lies within the longest window is one story, let through if any part of it is.
        """
        row = self._sums[-1]
        if time - self._last[-1] > max(HOUR, self._lengths[-1]):
            row[_STOPPED] += 1
            row[_THROUGH] = 0
        self._last[-1] = max(self._last[-1], time)
        if opened and row[_THROUGH] <= 0:
            row[_OPENED] += 1
            row[_STOPPED] = max(0.0, row[_STOPPED] - 1)
            row[_THROUGH] = 1

    def age(self, seconds: float, *, watched: float) -> None:
        """Let time pass, of which so many seconds were watched."""
        self._sums[:, :_HEIGHT] *= np.float32(0.5 ** (seconds / _HALF_LIFE))
        self._sums[:, _DAYS] += np.float32(watched / DAY)

    def _surprise(self, alarms: float) -> float:
        """How far beyond the level a count is."""
        return max(0.0, math.log(self.level / max(alarms, 1e-300)))

    def _forecast(self, window: int) -> tuple[float, float, float]:
        """How often peaks come, over what the budget allows; shape and scale of their excess."""
        peaks, excess, days, _ = self._sums[window].tolist()
        often = self._often(peaks, days, _PRIOR_PEAKS)
        return often, _PRIOR_EXCESSES + peaks, _PRIOR_EXCESSES + _UNCUT * excess

    def _often(self, peaks: float, days: float, prior: float) -> float:
        """How often peaks come, over what the budget allows a window; the prior is that they do as in theory."""
        return OVER_LEVEL * (prior + peaks) / (prior + self.level * days)

    @property
    def size(self) -> int:
        """How many numbers, beside the whole ones, its state has."""
        return 1 + self._sums.size

    def dump(self) -> tuple[list[int], Floats]:
        """The peaks as whole numbers and others, of which the first is the level that they are over."""
        return self._last, np.concatenate([[np.float32(self.level)], self._sums.ravel()])

    def load(self, numbers: Sequence[int], floats: Floats) -> None:
        """Read what `dump` made; without it nothing is known.

        Of peaks over a higher level so many are over this one as the levels are to each other, and how far they go
        beyond it is the same, by the theory. Of peaks over a lower level nothing can be said.
        """
        if not numbers or floats[0] < np.float32(self.level):
            return
        self._last = list(numbers)
        self._sums = floats[1:].reshape(self._sums.shape).copy()
        if floats[0] > np.float32(self.level):
            self._sums[:, [_PEAKS, _EXCESS]] *= np.float32(self.level) / floats[0]
            self._sums[:, _HEIGHT] = -1
