"""What people are told of an alert's revision."""

from dataclasses import dataclass
from typing import Literal

from stream.records import Alert, AlertState, Severity
from stream.spikes.reason import told

Kind = Literal["success", "warning", "failure"]
"""How a message looks where messages have colours or icons."""


@dataclass(frozen=True, slots=True)
class Message:
    """Plain text, with a title for those targets that have one."""

    title: str
    body: str
    kind: Kind


def message_of(alert: Alert) -> Message | None:
    """What is told of this revision; None where it is not for people.

    That is while it is pending, where a rule mutes it, and where it ends without ever having fired.
    """
    if alert.muted or alert.state is AlertState.PENDING or alert.fired_at is None:
        return None
    lines = [
        f"{alert.updated_at:%Y-%m-%d %H:%M %Z}: {told(alert)}",
        *(_line(one.excerpt, one.url) for one in alert.evidence),
    ]
    if alert.state is AlertState.RESOLVED:
        return Message(f"Resolved: {alert.subject}", lines[0], "success")
    kind: Kind = "failure" if alert.severity is Severity.RED else "warning"
    return Message(f"{alert.severity.value.capitalize()}: {alert.subject}", "\n".join(lines), kind)


def _line(excerpt: str, url: str | None) -> str:
    return f"- {excerpt} {url}" if url else f"- {excerpt}"
