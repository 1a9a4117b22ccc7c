"""The test of one window: whether it shows a surge, or comes near one."""

from stream.spikes.baseline import HOUR, Forecast
from stream.spikes.history import Counts, History
from stream.spikes.lifecycle import Finding
from stream.spikes.settings import SpikeSettings
from stream.spikes.surprise import alarms_per_day, share_rises

# A test is near its level within this factor of it.
_NEAR = 10.0


def find_surges(
    history: History, settings: SpikeSettings, end: int, *, active: bool, firing: bool
) -> list[Finding]:
    """Findings in the windows of all lengths that end with the second `end`.

    `active` and `firing` say whether there is an alert, whose own events are then no history, and which then goes
    on by volume alone.
    """
    findings = []
    for window, seconds in enumerate(settings.windows_seconds):
        counts = history.window(seconds, end)
        if counts is None or counts.weight < settings.minimum_negatives:
            continue
        forecast = history.forecast(counts, in_alert=active)
        if not _is_raised(counts, forecast, settings, seconds):
            continue
        variance = forecast.variance(history.dispersion[window])
        alarms, tail = alarms_per_day(counts.weight, forecast.mean, variance, seconds)
        excess = alarms * len(settings.windows_seconds) / settings.false_alarms_per_day
        if excess > _NEAR or not _goes_on(counts, forecast, settings):
            continue
        mixture = history.mixture(counts, in_alert=active)
        if not (firing or settings.volume_only) and not share_rises(
            counts.negative,
            counts.total,
            history_negative=mixture.negative,
            history_total=mixture.total,
        ):
            continue
        findings.append(
            Finding(
                seconds=seconds,
                start=counts.start,
                negative=counts.negative,
                total=counts.total,
                expected=forecast.mean * mixture.copies,
                expected_share=mixture.share,
                probability=tail,
                excess=excess,
                ratio=counts.weight / forecast.mean,
            )
        )
    return findings


def _is_raised(counts: Counts, forecast: Forecast, settings: SpikeSettings, seconds: int) -> bool:
    """The cheap part of the test: enough history, and enough negatives for its expectation."""
    # Twice the window's own length, and an hour: with less, the first busy minutes would be a surge.
    return counts.weight >= settings.minimum_ratio * forecast.mean and forecast.history_hours >= max(
        1.0, 2 * seconds / HOUR
    )


def _goes_on(counts: Counts, forecast: Forecast, settings: SpikeSettings) -> bool:
    """Whether the newest part of the window is above usual too; if not, its surge is over.

    Without this a surge of ten minutes would keep an alert for as long as the longest window remembers it.
    """
    newest = counts.newest
    usual = forecast.mean * (newest.end - newest.start) / (counts.end - counts.start)
    return newest.weight >= settings.minimum_ratio * usual
