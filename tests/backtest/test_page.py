"""The page of a backtest: what its pictures and its words say."""

import re
from datetime import timedelta

import pytest
from alert_records import alert
from count_files import START

from stream.backtest.page import BARS, BOTTOM, HEIGHT, SHOWN, Run, page, picture
from stream.records import Window


def row(interval: int, negative: int, expected: float | None = None) -> Window:
    return Window(
        subject="all",
        start=START + timedelta(minutes=interval),
        seconds=60,
        negative=negative,
        neutral=0,
        positive=0,
        expected_negative=expected,
    )


def expectation(rows: list[Window], top: float) -> list[float]:
    """The heights of the line of a picture in which the highest is `top`."""
    found = re.search(r'<polyline points="([^"]*)"', picture(rows, []))
    assert found is not None
    heights = [float(point.split(",")[1]) for point in found[1].split()]
    return [top * (1 - height / (HEIGHT - BOTTOM)) for height in heights]


def test_intervals_without_events_are_expected_as_those_before_them() -> None:
    rows = [row(0, 100, 4.0), row(3, 0, 8.0), row(5, 0)]
    assert expectation(rows, top=100) == pytest.approx([4, 4, 4, 8, 8, 8], abs=0.05)


def test_what_comes_before_there_is_history_is_expected_as_the_first_that_is_known() -> None:
    assert expectation([row(0, 100), row(1, 0, 4.0)], top=100) == pytest.approx([4, 4], abs=0.05)


def test_several_intervals_in_one_bar_are_expected_together_though_most_of_them_are_empty() -> None:
    # Two intervals a bar, and one in the last.
    rows = [row(0, 1_000, 4.0), row(2 * BARS - 2, 0, 6.0)]
    expected = expectation(rows, top=1_000)
    assert expected[:2] == pytest.approx([8, 8], abs=0.5)
    assert expected[-1] == pytest.approx(6, abs=0.5)


def test_without_history_nothing_is_expected() -> None:
    assert expectation([row(0, 1)], top=1) == []


def test_of_subjects_without_a_picture_it_is_said_whose_alerts_the_other_file_has() -> None:
    second = [alert(f"entity:{number:02}") for number in range(SHOWN + 2)]
    html = page("Backtest", [], [Run("ours", [], []), Run("theirs", second, [])])
    assert "2 more subjects have alerts; alerts.json has all alerts of ours." in html


def test_an_alert_that_was_reopened_is_one_alert_with_several_surges() -> None:
    html = page("Backtest", [], [Run("ours", [alert("all")] * 2, []), Run("theirs", [], [])])
    assert "ours: 1 alerts" in html
    assert html.count("<li>") == 2


def test_subjects_with_the_most_alerts_come_first_however_often_an_alert_was_reopened() -> None:
    alerts = [*[alert("topic:a")] * 3, alert("topic:b", id="first"), alert("topic:b", id="second")]
    html = page("Backtest", [], [Run("ours", alerts, [])])
    assert html.index("<h2>topic:b</h2>") < html.index("<h2>topic:a</h2>")
