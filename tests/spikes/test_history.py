"""What a subject's past makes one expect, and how much its counts are known to vary."""

import json

import numpy as np
import pytest
from spike_streams import SETTINGS, Feed, at, fired, watch

from bench.simulation import by_day_and_week, draw
from stream.spikes.baseline import Baseline
from stream.spikes.calendar import DAY, HOUR
from stream.spikes.dispersion import Dispersion
from stream.spikes.settings import SpikeSettings, Threshold
from stream.spikes.subject import Subject

MONDAY = 4 * DAY
"""Of the first week of Unix time."""


def learned(rate: float, days: int) -> Baseline:
    """A baseline that has seen the usual counts of a subject with nights and weekends, hour by hour."""
    baseline = Baseline(half_life_days=28)
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


def test_a_level_that_has_moved_is_known_within_days() -> None:
    baseline = learned(20, days=28)
    begin = MONDAY + 28 * DAY
    for hour in range(4 * 24):
        count = 40 * float(by_day_and_week(np.array([hour + 0.5]))[0])
        baseline.learn(begin + hour * HOUR, HOUR, weight=count, negative=count, total=3 * count)
        baseline.age(HOUR)
    start = begin + 4 * DAY + 12 * HOUR
    truth = 40 * float(by_day_and_week(np.array([4 * 24 + 12.5]))[0])
    assert baseline.forecast(start, start + HOUR).mean == pytest.approx(truth, rel=0.15)


def test_where_history_is_short_what_is_of_late_is_shorter_still() -> None:
    baseline = Baseline(half_life_days=2)
    for hour in range(11 * 24):
        count = 40.0 if hour < 10 * 24 else 80.0
        baseline.learn(MONDAY + hour * HOUR, HOUR, weight=count, negative=count, total=3 * count)
        baseline.age(HOUR)
    start = MONDAY + 11 * DAY
    assert (
        baseline.forecast(start, start + HOUR).mean
        > 1.25 * baseline.forecast(start, start + HOUR, moves=False).mean
    )


def test_a_few_events_of_late_hardly_move_the_level() -> None:
    baseline = Baseline(half_life_days=28)
    for hour in range(24 * 28):
        count = 0.2 if hour < 24 * 28 - 20 else 0.4
        baseline.learn(MONDAY + hour * HOUR, HOUR, weight=count, negative=count, total=1)
        baseline.age(HOUR)
    start = MONDAY + 28 * DAY
    assert 0.2 < baseline.forecast(start, start + HOUR).mean < 0.25


def test_a_scandal_of_three_days_alerts_to_its_end_and_does_not_become_what_is_usual() -> None:
    feed, subject = Feed(1), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 240, negative=3, neutral=6))
    assert subject.clock is not None
    end = int(subject.clock.timestamp())
    before = subject._history.usual(end, end + DAY)
    # Day by day, as a feed draws them.
    for hour in (240, 264, 288):
        watch(subject, feed.between(hour, hour + 24, negative=30, neutral=6))
    assert subject.alerted
    assert subject._history.usual(end + 3 * DAY, end + 4 * DAY) < 2.5 * before


def test_a_scandal_is_no_norm_because_another_alert_came_after_it() -> None:
    feed, subject = Feed(1), Subject("x", SpikeSettings(refractory_seconds=3600))
    watch(subject, feed.between(0, 240, negative=5, neutral=10))
    begin = int(at(240 + 24).timestamp())
    before = subject._history.usual(begin, begin + HOUR)
    # The second begins when the first is over, and before the hour of the first is learned.
    parts = [(240, 241, 480.0), (241, 246.5, 5.0), (246.5, 246.6, 300.0), (246.6, 262, 5.0)]
    alerts = [
        alert
        for start, end, rate in parts
        for alert in watch(subject, feed.between(start, end, negative=rate))
    ]
    assert len({alert.id for alert in fired(alerts)}) > 1
    assert subject._history.usual(begin, begin + HOUR) < 3 * before


def test_rare_stories_of_several_items_each_are_not_taken_for_single_events() -> None:
    ratios = []
    for seed in range(6):
        subject = Subject("x", SpikeSettings())
        for event in draw("overdispersed", np.random.default_rng(seed), 0.2, 28 * 24).observations():
            subject.observe(event, "simulated")
        ratios.append(subject._history.dispersion[1])
    # Geometric with a mean of three: five times the variance of single events, within the hour most of it.
    assert 2.0 < float(np.mean(ratios)) < 6.0


def _balance(stream: str, rate: float, window: int) -> float:
    subject = Subject("x", SpikeSettings())
    for event in draw(stream, np.random.default_rng(1), rate, 28 * 24).observations():
        subject.observe(event, "simulated")
    return subject._history.others.balance[window]


def test_the_balance_of_negatives_and_others_varies_as_much_as_their_stories_have_items() -> None:
    assert 3.0 < _balance("overdispersed", 2, 2) < 6.0
    assert _balance("poisson", 2, 2) < 1.2


def test_a_season_that_negatives_and_others_share_does_not_move_their_balance() -> None:
    assert _balance("seasonal", 10, 2) < 1.2


def test_good_news_and_scandals_hardly_tell_how_the_balance_usually_varies() -> None:
    feed, subject = Feed(1), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 14 * 24, negative=1.0, neutral=2.0))
    before = [subject._history.others.balance[window] for window in range(3)]
    watch(subject, feed.between(14 * 24, 14 * 24 + 10, negative=1.0, neutral=60.0))
    watch(subject, feed.between(14 * 24 + 10, 14 * 24 + 20, negative=30.0, neutral=2.0))
    watch(subject, feed.between(14 * 24 + 20, 16 * 24, negative=1.0, neutral=2.0))
    after = [subject._history.others.balance[window] for window in range(3)]
    assert max(now / then for now, then in zip(after, before, strict=True)) < 2


def test_who_was_only_spoken_ill_of_at_first_is_watched_like_others_weeks_later() -> None:
    found = 0
    for seed in range(4):
        feed, subject = Feed(seed), Subject("x", SETTINGS)
        watch(subject, feed.between(0, 14 * 24, negative=4.0))
        watch(subject, feed.between(14 * 24, 28 * 24, negative=3.0, neutral=12.0))
        found += bool(fired(watch(subject, feed.between(28 * 24, 28 * 24 + 2, negative=24.0, neutral=12.0))))
    assert found == 4


def _expected_others(subject: Subject, end: float) -> float:
    history = subject._history
    counts = history.window(HOUR, int(at(end).timestamp()))
    assert counts is not None
    return history.explain(counts, in_alert=False).others


def test_others_that_have_doubled_of_late_are_expected_with_no_more_negatives() -> None:
    feed, subject = Feed(1), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 20 * 24, negative=5.0, neutral=10.0))
    assert _expected_others(subject, 20 * 24) == pytest.approx(10, rel=0.15)
    watch(subject, feed.between(20 * 24, 24 * 24, negative=5.0, neutral=20.0))
    assert _expected_others(subject, 24 * 24) > 16


def test_so_are_others_of_a_subject_with_few_negatives() -> None:
    feed, subject = Feed(1), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 20 * 24, negative=0.1, neutral=10.0))
    watch(subject, feed.between(20 * 24, 24 * 24, negative=0.1, neutral=20.0))
    assert _expected_others(subject, 24 * 24) > 15


def test_others_have_hours_of_their_own() -> None:
    feed, subject = Feed(1), Subject("x", SETTINGS)
    for day in range(21):
        watch(subject, feed.between(day * 24, day * 24 + 12, negative=5.0, neutral=20.0))
        watch(subject, feed.between(day * 24 + 12, day * 24 + 24, negative=5.0, neutral=2.0))
    watch(subject, feed.between(21 * 24, 21 * 24 + 6, negative=5.0, neutral=20.0))
    assert _expected_others(subject, 21 * 24 + 6) == pytest.approx(20, rel=0.25)
    watch(subject, feed.between(21 * 24 + 6, 21 * 24 + 18, negative=5.0, neutral=2.0))
    assert _expected_others(subject, 21 * 24 + 18) < 5
    assert subject._history.others.balance[2] < 1.5


def test_others_that_sleep_do_not_make_the_few_negatives_of_a_subject_expected_at_night() -> None:
    """One negative a day, at any hour of office: whether it might come at night is not known from so few."""
    feed, subject = Feed(1), Subject("x", SETTINGS)
    for day in range(21):
        watch(subject, feed.between(day * 24, day * 24 + 12, negative=1 / 12, neutral=3.0))
        watch(subject, feed.between(day * 24 + 12, day * 24 + 24, neutral=0.1))
    history = subject._history
    night = history.window(6 * HOUR, int(at(21 * 24 - 3).timestamp()))
    assert night is not None
    expected = history.explain(night, in_alert=False)
    assert expected.others / expected.negatives > 20, "by their own hours alone nine to one"


def test_where_nothing_tells_of_it_the_balance_ages_towards_what_is_believed() -> None:
    balance = Dispersion((600, 3600), 28)
    for _ in range(400):
        balance.learn(1, 60.0, 900.0)
    before = balance[1]
    balance.age(1, 24 * 28)
    assert 1.5 < balance[1] < before


def test_in_a_state_of_before_others_had_a_history_they_have_the_hours_of_the_negatives() -> None:
    feed, subject = Feed(1), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 14 * 24, negative=5.0, neutral=10.0))
    state = json.loads(subject.dump())
    assert state.pop("others")
    again = Subject.load("x", json.dumps(state).encode(), SETTINGS)
    then, now = (one._history.others.baseline for one in (subject, again))
    assert now.counts.sum() == pytest.approx(then.counts.sum(), rel=0.1)
    assert now.dump_recent() == pytest.approx(then.dump_recent(), rel=0.2)
    assert _expected_others(again, 14 * 24) == pytest.approx(10, rel=0.25)
    begin = int(at(14 * 24).timestamp())
    assert again._history.usual(begin, begin + HOUR) == subject._history.usual(begin, begin + HOUR)


def test_the_hours_of_a_surge_do_not_tell_how_counts_usually_vary() -> None:
    """A subject with a negative every five hours, and a scandal of ten hours with two in each ten minutes."""
    feed, subject = Feed(1), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 7 * 24, negative=0.2, neutral=2.0))
    before = [subject._history.dispersion[window] for window in range(3)]
    assert fired(watch(subject, feed.between(7 * 24, 7 * 24 + 10, negative=12.0, neutral=2.0)))
    watch(subject, feed.between(7 * 24 + 10, 8 * 24, negative=0.2, neutral=2.0))
    after = [subject._history.dispersion[window] for window in range(3)]
    assert max(now / then for now, then in zip(after, before, strict=True)) < 4


def test_ordinary_days_that_an_alert_covers_are_learned_like_others() -> None:
    def expected(*thresholds: Threshold) -> float:
        feed, subject = Feed(2), Subject("x", SpikeSettings(threshold=thresholds))
        watch(subject, feed.between(0, 12 * 24, negative=1))
        end = int(at(12 * 24).timestamp())
        return subject._history.usual(end, end + 6 * HOUR)

    assert expected(Threshold(negatives=3, seconds=21_600)) == pytest.approx(expected(), rel=0.1)


def test_a_surge_is_not_what_is_expected_while_it_lasts_nor_right_after_it() -> None:
    feed, subject = Feed(4), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 14 * 24, negative=1, neutral=2))
    subject.take_windows(closed_only=False)
    assert fired(watch(subject, feed.between(14 * 24, 14 * 24 + 8, negative=40, neutral=2)))
    watch(subject, feed.between(14 * 24 + 8, 14 * 24 + 12, negative=1, neutral=2))
    rows = subject.take_windows(closed_only=False)
    assert max(row.expected_negative or 0 for row in rows) < 0.5
