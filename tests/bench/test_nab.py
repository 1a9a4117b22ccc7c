"""The public benchmark's rule: what its paper says of it holds of ours."""

from pathlib import Path

import pytest
from count_files import FIRST, write_two_surges

from bench.nab import Series, detections, raw_score, score
from stream.backtest.inputs import read_counts
from stream.spikes.settings import SpikeSettings

SERIES = Series(5_000, [(1_000, 1_100), (3_000, 3_100)])


def test_a_detector_that_never_speaks_scores_nothing() -> None:
    assert score([(SERIES, [])], "standard") == 0


def test_a_detector_that_finds_each_window_at_its_start_scores_a_hundred() -> None:
    assert score([(SERIES, [1_000, 3_000])], "standard") == pytest.approx(100)
    assert score([(SERIES, [1_000, 3_000])], "low false alarms") == pytest.approx(100)


def test_the_earlier_a_window_is_found_the_better_and_only_the_first_time_counts() -> None:
    early, late = (score([(SERIES, [row])], "standard") for row in (1_010, 1_090))
    assert 50 > early > late > 25
    assert score([(SERIES, [1_010, 1_090])], "standard") == early


def test_a_false_alarm_costs_the_more_the_further_it_is_behind_a_window() -> None:
    found = [1_000, 3_000]
    whole = score([(SERIES, found)], "standard")
    just_behind, far_behind = (score([(SERIES, [*found, row])], "standard") for row in (1_105, 2_000))
    assert whole > just_behind > far_behind
    assert far_behind == pytest.approx(whole - 100 * 0.11 / 4)
    assert score([(SERIES, [*found, 2_000])], "low false alarms") == pytest.approx(whole - 100 * 0.22 / 4)


def test_what_fires_in_the_first_rows_is_not_judged() -> None:
    assert SERIES.probation == 750
    assert Series(1_000, []).probation == 150
    assert raw_score(SERIES, [10, 749], 0.11) == raw_score(SERIES, [], 0.11)
    assert raw_score(SERIES, [750], 0.11) == raw_score(SERIES, [], 0.11) - 0.11


def test_an_alert_that_is_reopened_is_one_detection_where_it_first_fires(tmp_path: Path) -> None:
    file = write_two_surges(tmp_path / "x.csv", 20, 5)
    (row,) = detections(file, SpikeSettings())
    assert read_counts(file)[row][0] == FIRST
