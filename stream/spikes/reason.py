"""Why an alert fires, in a sentence."""

from datetime import timedelta

from stream.records import Alert, AlertState
from stream.spikes.lifecycle import Finding

_TOPICS = 2
_AT_ONCE = timedelta(minutes=1)


def duration(seconds: int) -> str:
    """A length of time as people say it: 10 min, 1 h, 1.5 h."""
    if seconds < 3600:
        return f"{seconds / 60:g} min"
    return f"{seconds / 3600:.3g} h"


def told(alert: Alert) -> str:
    """The reason of an alert's revision, with its own times where those are not of now."""
    if alert.fired_at is None or alert.updated_at - alert.fired_at < _AT_ONCE:
        return alert.reason
    fired = f"fired {alert.fired_at:%Y-%m-%d %H:%M %Z}"
    over = f"over, {fired}" if alert.state is AlertState.RESOLVED else fired
    return f"{over}; at its height {alert.reason}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def reason(
    finding: Finding, topics: dict[str, int], *, after_another: bool = False, others_known: bool = True
) -> str:
    """Counts, expectation, ratio, window, share and topics of what was found; `topics` most frequent first.

    Without `others_known` nothing is known of events that are not negative, and no share is told.
    `after_another` says whether another surge may lie in the window, which was not counted.
    """
    sentence = f"{finding.negative} negatives in {duration(finding.seconds)}"
    if after_another:
        sentence += ", without those of the surge before,"
    if not finding.expected:
        return f"{sentence}, and no history yet that says how many are usual" + _topics(topics)
    ratio = finding.negative / finding.expected
    sentence += f" where {_number(finding.expected)} were expected ({_number(ratio)} ×)"
    if others_known and (finding.total > finding.negative or finding.expected_share < 0.99):
        share = finding.negative / finding.total
        sentence += (
            f"; {share:.0%} of {finding.total} items negative, usually {finding.expected_share:.0%}"
        ).replace("%", " %")
    return sentence + _topics(topics)


def _topics(topics: dict[str, int]) -> str:
    return f"; mostly {', '.join(list(topics)[:_TOPICS])}" if topics else ""
