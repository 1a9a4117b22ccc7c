"""What metrics and the log say of a batch once it is saved, and of the alerts that fire."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from stream.metrics import WatchMetrics
from stream.records import Alert
from stream.spikes.subject import Outcome
from stream.watch.batch import Part

logger = logging.getLogger(__name__)


def count_up(metrics: WatchMetrics, part: Part) -> None:
    """Count what became of a record's observations, and tell of its alerts."""
    now = datetime.now(UTC).timestamp()
    for change in part.changes:
        for observation, outcome in change.outcomes:
            metrics.observed(change.subject, observation.sentiment, outcome)
            # Not the partition's time: ticks move that, too, and would hide that no event comes.
            if outcome is Outcome.COUNTED:
                metrics.event_counted_at(observation.time.timestamp())
        for alert in change.alerts:
            metrics.alert_published(
                alert.state.value,
                alert.severity.value,
                now - part.recorded_at if part.recorded_at else None,
                muted=alert.muted is not None,
            )
            muted = f" (muted: {alert.muted})" if alert.muted else ""
            logger.info("alert %s %s: %s%s", alert.state.value, alert.subject, alert.reason, muted)


def show_firing(metrics: WatchMetrics, alerts: Sequence[Alert]) -> None:
    """Show the alerts that fire: how many of each severity, and by how much each is beyond what is usual."""
    metrics.firing_are(Counter(alert.severity.value for alert in alerts))
    metrics.surges_are({alert.subject: surge_ratio(alert) for alert in alerts})


def surge_ratio(alert: Alert) -> float:
    """How many times the negatives that were expected there are; 1 where nothing is known of them."""
    return alert.negative / alert.expected_negative if alert.expected_negative else 1.0
