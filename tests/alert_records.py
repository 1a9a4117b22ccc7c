"""Alerts as the watch stage publishes them."""

from datetime import UTC, datetime
from typing import Any

from stream.records import Alert, AlertState, Severity

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def alert(subject: str = "all", **changes: Any) -> Alert:
    """A yellow alert that fires, with these values in place of the usual ones."""
    usual: dict[str, Any] = {
        "id": subject,
        "revision": 1,
        "subject": subject,
        "state": AlertState.FIRING,
        "severity": Severity.YELLOW,
        "started_at": START,
        "updated_at": START,
        "fired_at": START,
        "window_seconds": 600,
        "negative": 9,
        "total": 9,
        "expected_negative": 1.0,
        "expected_share": 0.1,
        "probability": 1e-9,
        "peak_negative": 9,
        "reason": "many",
    }
    return Alert(**usual | changes)
