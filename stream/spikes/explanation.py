"""What history explains of one window: how many negatives, and how many other events."""

from stream.spikes.baseline import Baseline, Mixture
from stream.spikes.others import Others
from stream.spikes.windows import Counts


class Explanation:
    """What is learned, and what came after it and before the window, explain of the window.

    What is not learned begins at the time `since`, and `unlearned` are its counts together with those of the
    window. Where the learned history alone explains it, `since` is 0 and `unlearned` the window's own.
    """

    __slots__ = ("_baseline", "_counts", "_mixture", "_others", "_since", "_unlearned", "forecast")

    def __init__(
        self, counts: Counts, baseline: Baseline, others: Others, *, since: int, unlearned: Counts
    ) -> None:
        self._counts, self._baseline, self._others = counts, baseline, others
        self._since, self._unlearned = since, unlearned
        self._mixture: Mixture | None = None
        weight = max(0.0, unlearned.weight - counts.weight)
        self.forecast = baseline.forecast(counts.start, counts.end, since=since, weight=weight)
        """Of negatives, near-duplicates weighing less."""

    @property
    def mixture(self) -> Mixture:
        """What the history was made of that the forecast rests on."""
        if self._mixture is None:
            self._mixture = self._mixed()
        return self._mixture

    def _mixed(self) -> Mixture:
        learned = self._baseline.mixture
        if not self._since:
            return learned
        counts, unlearned = self._counts, self._unlearned
        return Mixture(
            learned.weight + max(0.0, unlearned.weight - counts.weight),
            learned.negative + max(0, unlearned.negative - counts.negative),
            learned.total + max(0, unlearned.total - counts.total),
        )

    @property
    def negatives(self) -> float:
        """Plain negatives."""
        return self.forecast.mean * self.mixture.copies

    @property
    def others(self) -> float:
        """Events that are not negative."""
        counts, unlearned = self._counts, self._unlearned
        number = 0
        if self._since:
            number = max(0, unlearned.total - unlearned.negative - counts.total + counts.negative)
        return self._others.expect(
            self.forecast, counts.start, counts.end, self.mixture, since=self._since, number=number
        )
