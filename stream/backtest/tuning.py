"""From a wanted number of alerts a week to the settings that would have given it. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from stream.records import Alert, Severity

BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""False alarms per subject and day that are tried."""
SHORTEST = timedelta(days=14)
"""With less history than this, most of it is what a subject's usual is learned from."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one budget gives."""

    budget: float
    weekly: dict[Severity, float]
    """Alerts a week, by severity."""

    def at_least(self, severity: Severity) -> float:
        """Alerts a week of that severity or a higher one."""
        order = list(Severity)
        return sum(self.weekly[each] for each in order[order.index(severity) :])


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings that come nearest to what was wanted without passing it."""

    budget: float
    minimum_severity: Severity
    weekly: float


def try_budget(budget: float, alerts: Sequence[Alert], length: timedelta) -> Trial:
    """What the alerts of a history of that length come to; one that was reopened is one, by its worst surge."""
    mildest_first = sorted(alerts, key=lambda alert: list(Severity).index(alert.severity))
    counts = Counter({alert.id: alert.severity for alert in mildest_first}.values())
    return Trial(budget, {severity: counts[severity] * (_WEEK / length) for severity in Severity})


def propose(trials: Sequence[Trial], wanted: float) -> Proposal | None:
    """The largest budget that stays within `wanted` alerts a week; where none does, with the mildest severity
    muted that brings it there. None where nothing does."""
    for severity in Severity:
        fitting = [trial for trial in trials if trial.at_least(severity) <= wanted]
        if fitting:
            best = max(fitting, key=lambda trial: trial.budget)
            return Proposal(best.budget, severity, best.at_least(severity))
    return None
