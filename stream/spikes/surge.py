"""The test of the windows that end together: which show a surge, or come near one."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream.spikes.baseline import Forecast
from stream.spikes.calendar import HOUR
from stream.spikes.explanation import Explanation
from stream.spikes.gate import Part, opens
from stream.spikes.history import History
from stream.spikes.intervals import GOES_ON
from stream.spikes.lifecycle import Finding
from stream.spikes.settings import SpikeSettings
from stream.spikes.surprise import alarms_per_day, volume_tail
from stream.spikes.tail import OVER_LEVEL
from stream.spikes.windows import Counts

_SHORTEST_HISTORY_HOURS = 1.0


@dataclass(frozen=True, slots=True)
class Peak:
    """A window whose count is rare enough to be worth a look."""

    window: int
    """Which of the lengths."""
    seconds: int
    whole: Counts
    """All that lies in the window."""
    counts: Counts
    """What of it came after the last surge, and is judged."""
    explanation: Explanation
    """Of all of the window."""
    alarms: float
    """How often a day the volume test would meet such a count by chance."""
    probability: float
    since: int
    """What came before belongs to another surge."""
    in_alert: bool


def find_peaks(
    history: History, settings: SpikeSettings, end: int, *, active: bool, since: int
) -> list[Peak]:
    """Peaks in the windows of all lengths that end with the second `end`.

    `active` says whether there is an alert, whose own events are then no history. What came before `since` belongs
    to another surge, and is not counted; the rest must be many for the whole window, lest one seems to go on.
    """
    peaks = []
    for window, seconds in enumerate(settings.windows_seconds):
        whole = history.window(seconds, end)
        if whole is None:
            continue
        counts = whole.since(since)
        if counts.weight < settings.minimum_negatives:
            continue
        explanation = history.explain(whole, in_alert=active)
        forecast = explanation.forecast
        if not _is_raised(counts, forecast, settings, seconds):
            continue
        variance = forecast.variance(history.dispersion[window])
        alarms, tail = alarms_per_day(counts.weight, forecast.mean, variance, seconds)
        if alarms <= history.tails.level:
            peaks.append(Peak(window, seconds, whole, counts, explanation, alarms, tail, since, active))
    return peaks


def find_surges(
    peaks: Sequence[Peak], history: History, settings: SpikeSettings, *, firing: bool
) -> tuple[list[Finding], bool | None]:
    """The peaks that are surges, or near one, and whether the gate lets any of them through: None without any.

    An alert that is `firing` goes on by volume alone. The peaks end together.
    """
    findings = []
    opened: bool | None = None
    parts: list[Part] = []
    for peak in peaks:
        counts, explanation = peak.counts, peak.explanation
        excess = history.tails.share(peak.window, peak.alarms)
        if excess > OVER_LEVEL or not _goes_on(peak):
            continue
        let_through = settings.volume_only
        if not let_through:
            parts = parts or find_parts(peaks, history, settings)
            judged = next(part for part in parts if part.seconds == peak.seconds)
            let_through = opens(judged, parts, false_alarms_per_day=settings.false_alarms_per_day)
        opened = opened or let_through
        if not (firing or let_through):
            continue
        findings.append(
            Finding(
                seconds=peak.seconds,
                start=counts.start,
                negative=counts.negative,
                total=counts.total,
                expected=explanation.negatives,
                expected_share=explanation.mixture.share,
                probability=peak.probability,
                excess=excess * history.tails.use,
                ratio=counts.weight / max(explanation.forecast.mean, 1e-9),
            )
        )
    return findings, opened


def find_reached(history: History, settings: SpikeSettings, end: int, *, active: bool) -> list[Finding]:
    """The windows that end with the second `end` and reach a threshold: that alone is a surge, a mild one."""
    findings = []
    for threshold in settings.threshold:
        # Rather a bucket too long than to miss what came in time.
        counts = history.window(threshold.seconds, end, whole=False)
        if counts is None or counts.negative < threshold.negatives:
            continue
        explanation = history.explain(counts, in_alert=active)
        forecast = explanation.forecast
        variance = forecast.variance(history.dispersion[settings.windows_seconds.index(threshold.seconds)])
        # Without any history nothing can be said of what is usual.
        known = forecast.history_hours >= _SHORTEST_HISTORY_HOURS
        findings.append(
            Finding(
                seconds=threshold.seconds,
                start=counts.start,
                negative=counts.negative,
                total=counts.total,
                expected=explanation.negatives if known else 0.0,
                expected_share=explanation.mixture.share,
                probability=volume_tail(counts.weight, forecast.mean, variance),
                excess=1.0,
                ratio=counts.weight / max(forecast.mean, 1e-9) if known else 1.0,
            )
        )
    return findings


def _is_raised(counts: Counts, forecast: Forecast, settings: SpikeSettings, seconds: int) -> bool:
    """The cheap part of the test: enough history, and enough negatives for its expectation."""
    return counts.weight >= settings.minimum_ratio * forecast.mean and _is_known(forecast, seconds)


def _is_known(forecast: Forecast, seconds: int) -> bool:
    """Whether there is enough history for windows of that length."""
    # Twice the window's own length, and an hour: with less, the first busy minutes would be a surge.
    return forecast.history_hours >= max(_SHORTEST_HISTORY_HOURS, 2 * seconds / HOUR)


def _goes_on(peak: Peak) -> bool:
    """Whether the newest part of the window is above usual too; if not, its surge is over.

    Without this a surge of ten minutes would keep an alert for as long as the longest window remembers it.
    """
    whole, newest = peak.whole, peak.whole.newest
    usual = peak.explanation.forecast.mean * (newest.end - newest.start) / (whole.end - whole.start)
    return newest.since(peak.counts.start).weight >= GOES_ON * usual


def find_parts(peaks: Sequence[Peak], history: History, settings: SpikeSettings) -> list[Part]:
    """What the windows that end together with those of the peaks say of negatives and others, these among them.

    With fewer negatives than make a surge a window says nothing of them, nor does it without history.
    """
    peak = peaks[0]
    judged = {peak.window for peak in peaks}
    parts = []
    for window, seconds in enumerate(settings.windows_seconds):
        whole = history.window(seconds, peak.whole.end - 1)
        if whole is None:
            continue
        counts = whole.since(peak.since)
        explanation = history.explain(counts, in_alert=peak.in_alert)
        told = counts.weight >= settings.minimum_negatives and _is_known(explanation.forecast, seconds)
        if window not in judged and not told:
            continue
        parts.append(
            Part(
                seconds=seconds,
                negative=counts.negative,
                others=counts.total - counts.negative,
                expected_negative=explanation.negatives,
                expected_others=explanation.others,
                history=explanation.mixture.total + 2,
                clustering=history.others.balance[window],
            )
        )
    return parts
