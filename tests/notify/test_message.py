"""Of which revisions of an alert people are told, and how."""

from datetime import timedelta

import pytest
from alert_records import START, alert

from stream.notify.message import message_of
from stream.records import AlertState, Evidence, Severity


def test_a_surge_is_told_with_its_reason_and_its_worst_events() -> None:
    evidence = [
        Evidence(id="1", time=START, negative=0.9, excerpt="Acme defaults", url="https://news.example/1"),
        Evidence(id="2", time=START, negative=0.8, excerpt="Acme's bonds fall"),
    ]
    message = message_of(alert("entity:ACME", reason="nine where one is usual", evidence=evidence))
    assert message is not None
    assert message.title == "Yellow: entity:ACME"
    assert message.body.splitlines() == [
        "2026-03-02 12:00 UTC: nine where one is usual",
        "- Acme defaults https://news.example/1",
        "- Acme's bonds fall",
    ]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"severity": Severity.YELLOW}, "warning"),
        ({"severity": Severity.ORANGE}, "warning"),
        ({"severity": Severity.RED}, "failure"),
        ({"severity": Severity.RED, "state": AlertState.RESOLVED}, "success"),
    ],
)
def test_a_red_alert_looks_worse_than_others_and_one_that_is_over_well(
    changes: dict[str, object], kind: str
) -> None:
    message = message_of(alert(**changes))
    assert message is not None
    assert message.kind == kind


def test_that_a_surge_is_over_is_told() -> None:
    message = message_of(alert("all", state=AlertState.RESOLVED, reason="it is over"))
    assert message is not None
    assert (message.title, message.body) == ("Resolved: all", "2026-03-02 12:00 UTC: it is over")


@pytest.mark.parametrize(("seconds", "late"), [(0, False), (59, False), (60, True)])
def test_what_is_told_within_a_minute_is_of_now(seconds: int, *, late: bool) -> None:
    message = message_of(alert(updated_at=START + timedelta(seconds=seconds)))
    assert message is not None
    assert ("fired 2026-03-02 12:00 UTC" in message.body) == late


@pytest.mark.parametrize(
    ("state", "body"),
    [
        (AlertState.FIRING, "2026-03-02 14:30 UTC: fired 2026-03-02 12:00 UTC; at its height many"),
        (AlertState.RESOLVED, "2026-03-02 14:30 UTC: over, fired 2026-03-02 12:00 UTC; at its height many"),
    ],
)
def test_what_is_told_late_says_when_it_was(state: AlertState, body: str) -> None:
    message = message_of(alert(state=state, updated_at=START + timedelta(hours=2.5)))
    assert message is not None
    assert message.body == body


@pytest.mark.parametrize(
    "changes",
    [
        {"state": AlertState.PENDING, "fired_at": None},
        {"state": AlertState.RESOLVED, "fired_at": None},
        {"muted": "quiet hours"},
    ],
)
def test_what_has_not_fired_and_what_a_rule_mutes_is_not_told(changes: dict[str, object]) -> None:
    assert message_of(alert(**changes)) is None
