"""The events that are not negative: how many of them are usual, and how the balance with the negatives varies.

They have a level and a season of their own, since talk may have doubled of late with no more negatives in it, or
go by the hours of an office while complaints come at night. Their season is believed as far as that of the
negatives is known: where these are few their nights are hardly known from their days, and others that are known to
sleep would make any negative at night too few for both to have grown alike.
"""

from collections.abc import Sequence

import numpy as np

from stream.spikes.baseline import Baseline, Forecast, Mixture
from stream.spikes.calendar import SLOTS, Calendar
from stream.spikes.dispersion import Dispersion
from stream.spikes.state import Floats

# A block teaches no more than a difference of so many spreads: neither scandals nor good news are what is usual.
_USUAL_SPREADS = 2.0
# With so many in their history, the season of the negatives is half known.
_UNKNOWN_NEGATIVES = 100


class Others:
    """Their decayed history, and the dispersion of the balance by length of window."""

    def __init__(self, windows: Sequence[int], half_life_days: float, calendar: Calendar) -> None:
        self.baseline = Baseline(half_life_days, calendar)
        self.balance = Dispersion(windows, half_life_days)

    def expect(
        self, negatives: Forecast, start: int, end: int, mixture: Mixture, *, since: int, number: int
    ) -> float:
        """How many are expected between two times, where negatives have that forecast and history that mixture.

        `number` came between `since` and `start`, which have not been learned; where `since` is 0 the learned
        history alone says it.
        """
        own = self.baseline.forecast(start, end, since=since, weight=float(number))
        odds = (1 - mixture.share) / mixture.share
        by_their_hours = negatives.mean * mixture.copies * odds * own.moved / negatives.moved
        known = mixture.negative / (mixture.negative + _UNKNOWN_NEGATIVES)
        return float(own.mean**known * by_their_hours ** (1 - known))

    def learn_balance(self, window: int, counts: tuple[int, int], expected: tuple[float, float]) -> None:
        """Learn from a block what negatives and others came, and were expected.

        Negatives count by the usual share of others, and others by that of negatives: on average both come to the
        same, whatever the rate. Of single items the square of the difference is on average the sum of
        the squares of all items; of stories, as many times that as an item has companions, itself among them.
        """
        negative, others = counts
        share = expected[0] / (expected[0] + expected[1])
        variance = (1 - share) ** 2 * negative + share**2 * others
        most = _USUAL_SPREADS * (self.balance[window] * variance) ** 0.5
        difference = (1 - share) * negative - share * others
        self.balance.learn(window, min(most, max(-most, difference)), variance)

    def dump(self) -> Floats:
        """All of it as numbers, but for the hours that were watched, which are those of the negatives."""
        return np.concatenate([self.baseline.counts, self.baseline.dump_recent(), self.balance.dump()])

    def load(self, numbers: Floats, negatives: Baseline, *, same_windows: bool) -> None:
        """Read what `dump` made; of the balance only what was learned of the same windows."""
        counts, rest = np.split(numbers, [SLOTS])
        recent, balance = np.split(rest, [Baseline.RECENT])
        self.baseline.load_counts(negatives, counts, recent)
        if same_windows:
            self.balance.load(balance)

    def begin_like(self, negatives: Baseline) -> None:
        """Take the season of the negatives, where a state of an earlier version tells no more than the share."""
        mixture = negatives.mixture
        times = (mixture.total - mixture.negative) / max(1e-9, mixture.weight)
        recent = negatives.dump_recent() * np.array([times, 1], dtype=np.float32)
        self.baseline.load_counts(negatives, negatives.counts * np.float32(times), recent)
