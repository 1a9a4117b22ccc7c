"""The picture: what rows of the trend and alert revisions amount to."""

from datetime import timedelta

from demo_scenes import BANK, DAIRY, NAMES, START, alert, window

from demo.picture import Picture, names_of
from stream.records import AlertState, Severity
from stream.watchlist import Company, Watchlist


def row(picture: Picture, subject: str, cells: int = 24):
    return next(each for each in picture.rows(50, cells) if each.subject == subject)


def test_a_later_row_of_an_interval_replaces_the_earlier_one():
    picture = Picture()
    picture.take_window(window("all", 1, 2, neutral=1))
    picture.take_window(window("all", 1, 5, neutral=3, positive=2))
    assert picture.counted == 10
    assert row(picture, "all").negative == 5


def test_only_the_subject_all_counts_events():
    picture = Picture()
    picture.take_window(window("all", 1, 2))
    picture.take_window(window("topic:credit-risk", 1, 2))
    assert picture.counted == 2


def test_recent_counts_leave_out_what_is_older_than_six_hours():
    picture = Picture()
    picture.take_window(window(BANK, 0, 7))
    picture.take_window(window(BANK, 5, 1, positive=3))
    picture.take_window(window("all", 8, 1))
    assert (row(picture, BANK).negative, row(picture, BANK).total) == (1, 4)
    assert row(picture, BANK).share == 0.25
    assert row(picture, "all").share == 1.0


def test_a_subject_without_recent_events_has_no_share():
    picture = Picture(NAMES)
    picture.take_window(window("all", 1, 1))
    assert row(picture, BANK).share is None


def test_the_trend_holds_a_day_of_negatives_in_equal_cells():
    picture = Picture()
    for quarter in range(96):
        picture.take_window(window("all", quarter / 4, 1))
    assert row(picture, "all", cells=24).trend == [4] * 24
    assert row(picture, "all", cells=96).trend == [1] * 96
    # 96 intervals in 40 cells: three intervals to a cell, since a cell holds whole ones.
    assert row(picture, "all", cells=40).trend == [3] * 32


def test_an_old_interval_leaves_the_trend():
    picture = Picture()
    picture.take_window(window("all", 0, 9))
    picture.take_window(window("all", 30, 1))
    assert sum(row(picture, "all").trend) == 1


def test_the_trend_shows_where_an_alert_was_on():
    picture = Picture()
    for quarter in range(96):
        picture.take_window(window(BANK, quarter / 4, 1))
    picture.take_alert(alert(BANK, fired=10.2, resolved=12.0, state=AlertState.RESOLVED))
    on = [place for place, severity in enumerate(row(picture, BANK).severities) if severity is Severity.RED]
    assert on == [10, 11]


def test_an_alert_that_was_reopened_is_as_severe_in_each_place_as_it_was_there():
    picture = Picture()
    for quarter in range(96):
        picture.take_window(window(BANK, quarter / 4, 1))
    first = alert(BANK, severity=Severity.YELLOW)
    for hours, severity, state in (
        (11, Severity.RED, AlertState.FIRING),
        (12, Severity.RED, AlertState.RESOLVED),
        (15, Severity.YELLOW, AlertState.FIRING),
        (17, Severity.YELLOW, AlertState.RESOLVED),
    ):
        picture.take_alert(first)
        moment = START + timedelta(hours=hours)
        ended = moment if state is AlertState.RESOLVED else None
        revision = {"severity": severity, "state": state, "updated_at": moment, "resolved_at": ended}
        picture.take_alert(first.model_copy(update=revision | {"revision": hours}))
    on = {place: severity for place, severity in enumerate(row(picture, BANK).severities) if severity}
    assert on == {10: Severity.RED, 11: Severity.RED, 15: Severity.YELLOW, 16: Severity.YELLOW}


def test_a_revision_that_is_not_newer_is_no_news():
    picture = Picture()
    assert picture.take_alert(alert(BANK, revision=2))
    assert not picture.take_alert(alert(BANK, revision=2))
    assert not picture.take_alert(alert(BANK, revision=1))
    assert picture.take_alert(alert(BANK, revision=3, resolved=12, state=AlertState.RESOLVED))


def test_the_alert_that_changed_last_comes_first():
    picture = Picture()
    picture.take_alert(alert(BANK))
    picture.take_alert(alert(DAIRY))
    picture.take_alert(alert(BANK, revision=2))
    assert [each.subject for each in picture.fired] == [BANK, DAIRY]


def test_an_alert_that_never_fired_is_not_listed():
    picture = Picture()
    picture.take_alert(alert(BANK, state=AlertState.PENDING, fired=None))
    assert picture.fired == []
    assert row_alert(picture, BANK) is AlertState.PENDING


def row_alert(picture: Picture, subject: str) -> AlertState | None:
    picture.take_window(window(subject, 0, 1))
    found = row(picture, subject).alert
    return found.state if found else None


def test_an_alert_that_is_over_leaves_its_row_after_a_day():
    picture = Picture()
    picture.take_alert(alert(BANK, fired=10, resolved=12, state=AlertState.RESOLVED))
    picture.take_window(window("all", 35, 1))
    assert row(picture, "all")
    assert row_alert(picture, BANK) is AlertState.RESOLVED
    picture.take_window(window("all", 37, 1))
    assert row_alert(picture, BANK) is None


def test_rows_stand_in_a_fixed_order():
    picture = Picture(NAMES)
    for subject in ("topic:markets", DAIRY, "entity:AAPL", "all", "topic:capital"):
        picture.take_window(window(subject, 1, 1))
    shown = [each.subject for each in picture.rows(50, 24)]
    assert shown == ["all", BANK, DAIRY, "entity:AAPL", "topic:capital", "topic:markets"]


def test_where_room_is_scarce_alerts_stay_then_the_watch_list_then_the_loudest():
    picture = Picture({DAIRY: "Mutang Dairy"})
    picture.take_window(window("topic:markets", 1, 0, neutral=50))
    picture.take_window(window("topic:capital", 1, 0, neutral=60))
    picture.take_window(window("topic:people", 1, 3))
    picture.take_alert(alert("topic:people", fired=1))
    assert [each.subject for each in picture.rows(2, 24)] == ["all", "topic:people"]
    assert [each.subject for each in picture.rows(3, 24)] == ["all", DAIRY, "topic:people"]
    assert [each.subject for each in picture.rows(4, 24)] == ["all", DAIRY, "topic:capital", "topic:people"]


def test_subjects_are_called_what_people_call_them():
    picture = Picture(NAMES)
    assert picture.label(BANK) == "Heyan Bank"
    assert picture.title(BANK) == "Heyan Bank (699018.SH)"
    assert picture.title("entity:AAPL") == "AAPL"
    assert picture.title("topic:credit-risk") == "credit-risk"
    assert picture.title("all") == "everything"


def test_names_come_from_the_watch_list():
    watchlist = Watchlist([Company(name="Heyan Bank", ticker="699018.SH")])
    assert names_of(watchlist) == {BANK: "Heyan Bank"}


def test_the_pictures_time_is_the_end_of_the_newest_interval():
    picture = Picture()
    picture.take_window(window("all", 3, 1))
    picture.take_window(window("all", 1, 1))
    assert picture.time == START + timedelta(hours=3.25)
