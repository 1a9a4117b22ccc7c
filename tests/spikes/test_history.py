"""What a subject's past makes one expect, and how much its counts are known to vary."""

import numpy as np
import pytest

from bench.simulation import by_day_and_week
from stream.spikes.baseline import DAY, HOUR, Baseline

MONDAY = 4 * DAY
"""Of the first week of Unix time."""


def learned(rate: float, days: int) -> Baseline:
    """A baseline that has seen the usual counts of a subject with nights and weekends, hour by hour."""
    baseline = Baseline(half_life_days=7)
    for hour in range(24 * days):
        count = rate * float(by_day_and_week(np.array([hour + 0.5]))[0])
        baseline.learn(MONDAY + hour * HOUR, HOUR, weight=count, negative=count, total=3 * count)
        baseline.age(HOUR)
    return baseline


@pytest.mark.parametrize("hour", [5 * 24 + 3, 6 * 24 + 4, 24 + 3, 5 * 24 + 14])
def test_a_weekend_night_is_known_from_other_nights_and_from_the_weekend_s_days(hour: int) -> None:
    baseline = learned(20, days=14)
    start = MONDAY + 2 * 7 * DAY + hour * HOUR
    truth = 20 * float(by_day_and_week(np.array([hour + 0.5]))[0])
    forecast = baseline.forecast(start, start + HOUR)
    assert forecast.mean == pytest.approx(truth, rel=0.3)
    assert forecast.uncertainty < 0.15


def test_before_its_first_weekend_a_subject_s_saturday_is_expected_like_its_other_days() -> None:
    baseline = learned(20, days=5)
    start = MONDAY + 5 * DAY + 14 * HOUR
    weekday = baseline.forecast(start - DAY, start - DAY + HOUR)
    saturday = baseline.forecast(start, start + HOUR)
    assert saturday.mean == pytest.approx(weekday.mean, rel=0.35)
    assert saturday.uncertainty > 3 * weekday.uncertainty, "and nobody knows yet"
