"""What is learned of a subject's intervals, once the longest window has left them behind.

An hour at a time they go from the trend into the baselines, of the negatives and of the others. Those of an alert
teach little, silence is believed only for so long, and late events are taken in afterwards.
"""

from collections.abc import Callable

from stream.spikes.baseline import Baseline, Forecast, Season
from stream.spikes.calendar import HOUR
from stream.spikes.dispersion import Dispersion
from stream.spikes.explanation import Explanation
from stream.spikes.others import Others
from stream.spikes.tail import Tails
from stream.spikes.windows import Counts, Windows

YOUNG_HOURS = 24.0
"""With less than a day of history its forecasts are too poor to tell dispersion from their own errors, and what
came during an alert is better than nothing."""
GOES_ON = 1.5
"""A surge goes on while there are so many times the usual negatives."""

InAlert = Callable[[int, int], bool]
"""Whether a span of time touches an alert."""


class Intervals:
    """The baselines of one subject, and how far they have learned; times are Unix seconds."""

    def __init__(
        self,
        windows: Windows,
        longest: int,
        *,
        baseline: Baseline,
        others: Others,
        dispersion: Dispersion,
        tails: Tails,
        in_alert: InAlert,
    ) -> None:
        self.baseline = baseline
        self._windows, self._longest = windows, longest
        self._seconds = windows.trend.ring.seconds
        self._others, self._dispersion, self._tails, self._in_alert = others, dispersion, tails, in_alert
        self._since = 0
        """Time of the first event."""
        self._newest = 0
        """Time of the newest event, which the clock alone does not change."""
        self._learned = 0
        """Index of the first interval that the baselines have not learned."""
        self._filled = 0
        """Index of the last learned interval that was not empty, or of which a row of counts says that it was."""
        self._rows_from: int | None = None
        """Index of the interval from which on rows of counts have come without an outage; None without such."""

    def begin(self, time: int) -> None:
        """Start with the first event."""
        self._since = self._newest = time
        self._learned = self._filled = time // self._seconds

    def note(self, time: int, *, weight: float, negative: bool, number: int) -> None:
        """Take note of events that are counted; those that are late for their interval are learned at once."""
        self._newest = max(self._newest, time)
        if time // self._seconds < self._learned:
            self._learn_late(time, weight=weight, negative=negative, number=number)

    def note_row(self, time: int) -> None:
        """Take note of a row of counts: where rows come, an empty interval is known to be empty."""
        if self._rows_from is None or time - self._newest > self.baseline.believed_silence:
            self._rows_from = time // self._seconds
        self._newest = max(self._newest, time)

    @property
    def believed_until(self) -> float:
        """Until when the silence after the newest event is believed."""
        return self._newest + self.baseline.believed_silence

    def explain(self, counts: Counts, *, in_alert: bool) -> Explanation:
        """What history explains of a window with those counts.

        History is what the baselines have learned and, unless an alert has a part in that, what came after it and
        before the window.
        """
        since = self._unlearned_since(counts, in_alert=in_alert)
        unlearned = self._windows.intervals(self._learned, counts.end) if since else counts
        return Explanation(counts, self.baseline, self._others, since=since, unlearned=unlearned)

    def _unlearned_since(self, counts: Counts, *, in_alert: bool) -> int:
        """Where history before a window begins that has not been learned; 0 where there is none to use."""
        since = max(self._since, self._learned * self._seconds)
        if since >= counts.start:
            return 0
        of_alert = in_alert or self._in_alert(since, counts.start)
        return 0 if of_alert and self.baseline.hours >= YOUNG_HOURS else since

    # Learning

    def learn(self, time: int) -> None:
        """Learn the whole hours that the longest window leaves behind when the clock goes to `time`."""
        until = (time - self._longest) // HOUR * HOUR // self._seconds
        if self._learned >= until:
            return
        self.baseline.dispersion = self._others.baseline.dispersion = self._dispersion.near(HOUR)
        seasons = (self.baseline.season, self._others.baseline.season)
        for bucket in range(self._learned, min(until, self._windows.trend.ring.last + 1)):
            self._learn_interval(bucket, *seasons)
            self._learned = bucket + 1
        gap = (until - self._learned) * self._seconds
        if gap > 0:
            silent = (self._learned - self._filled) * self._seconds
            believed = int(self.baseline.believed_silence) - silent
            if believed > 0:
                for baseline in (self.baseline, self._others.baseline):
                    baseline.learn_silence(self._learned * self._seconds, min(gap, believed))
            self._age(gap)
            self._tails.age(gap, watched=max(0, min(gap, believed)))
            self._learned = until

    def _learn_interval(self, bucket: int, season: Season, season_of_others: Season) -> None:
        seconds = self._seconds
        start, end = bucket * seconds, (bucket + 1) * seconds
        counts = self._windows.intervals(bucket, end)
        self._age(seconds)
        if counts.total or (self._rows_from is not None and bucket >= self._rows_from):
            self._filled = bucket
        elif (bucket - self._filled) * seconds > self.baseline.believed_silence:
            self._tails.age(seconds, watched=0)
            return
        self._tails.age(seconds, watched=seconds)
        alerted = counts.weight > 0 and self._in_alert(start, end)
        share = self._share_learned(bucket) if alerted else 1.0
        self.baseline.learn(
            start,
            min(seconds, end - self._since),
            weight=counts.weight * share,
            negative=counts.negative * share,
            total=counts.total * share,
            season=season,
            of_late=counts.weight * min(share, self._share_of_late(bucket)) if alerted else None,
        )
        others = counts.total - counts.negative
        self._others.baseline.learn(
            start,
            min(seconds, end - self._since),
            weight=others,
            negative=0,
            total=others,
            season=season_of_others,
        )

    def _age(self, seconds: float) -> None:
        self.baseline.age(seconds)
        self._others.baseline.age(seconds)

    def _learn_late(self, time: int, *, weight: float, negative: bool, number: int) -> None:
        """Take late events into an hour that has been learned, unless that is a surge."""
        hour = -(-time // HOUR) * HOUR
        now = self._learned * self._seconds
        if hour < (before := self._since // HOUR * HOUR):
            # The history is longer than it seemed, by the hours of which all was watched.
            for baseline in (self.baseline, self._others.baseline):
                baseline.learn_silence(hour, before - hour, age=now - (hour + before) // 2)
            self._since = hour
        if not negative:
            self._others.baseline.learn_late(time, now, weight=float(number), negative=0, total=number)
        grown = self.baseline.hours >= YOUNG_HOURS
        if negative and grown and self._share_learned(time // self._seconds) < 1:
            return
        self.baseline.learn_late(
            time,
            now,
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
        most = forecast.mean + 2 * forecast.variance(self._dispersion.near(HOUR)) ** 0.5
        return float(min(1.0, most / max(weight, 1e-9)))

    def _share_of_late(self, bucket: int) -> float:
        """Share of an interval during a surge that the level of late learns: a scandal of days is no move of it.

        So much that the longest window around it teaches no more than what makes a surge go on: of ordinary hours
        within an alert many are above that, and the others below.
        """
        weight, forecast = self._around(bucket, max(HOUR, self._longest))
        return min(1.0, GOES_ON * forecast.mean / max(weight, 1e-9))

    def _around(self, bucket: int, span: int) -> tuple[float, Forecast]:
        """Weighted negatives of the span that an interval lies in, and what the history explains there.

        The whole history, or what an alert teaches would raise what it may teach next.
        """
        start = bucket * self._seconds // span * span
        counts = self._windows.intervals(start // self._seconds, start + span)
        return counts.weight, self.baseline.forecast(start, start + span, moves=False)

    # State

    SIZE = 4
    """How many whole numbers its state has."""

    def dump(self) -> list[int]:
        """How far it is as `SIZE` numbers; the baselines have dumps of their own."""
        return [self._since, self._newest, self._learned, self._filled]

    def load(self, numbers: list[int]) -> None:
        """Read what `dump` made."""
        self._since, self._newest, self._learned, self._filled = numbers
