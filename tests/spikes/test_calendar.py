"""The clocks and weekends by which a subject's hours are told apart."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from spike_streams import Feed, reload, watch

from stream.spikes.baseline import Baseline
from stream.spikes.calendar import DAY, HOUR, SLOTS, WEEK, Calendar, moved
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Subject

NEW_YORK = "America/New_York"
ZONES = ("UTC", NEW_YORK, "Asia/Shanghai", "Asia/Kolkata", "Australia/Lord_Howe")
SPRING = datetime(2026, 3, 8, 2, tzinfo=UTC) + timedelta(hours=5)
"""When the clocks of New York go from two to three."""


def unix(*moment: int, zone: str = "UTC") -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[arg-type,misc]


@given(st.integers(unix(2015, 1, 1), unix(2035, 1, 1)), st.sampled_from(ZONES))
def test_a_time_is_in_the_slot_of_its_local_hour_and_kind_of_day(time: int, zone: str) -> None:
    local = datetime.fromtimestamp(time, ZoneInfo(zone))
    assert Calendar(zone).slot(time) == local.hour + (24 if local.weekday() >= 5 else 0)


@given(
    st.integers(unix(2015, 1, 1), unix(2035, 1, 1)),
    st.integers(0, 4 * WEEK),
    st.sampled_from(ZONES),
)
def test_spans_have_every_second_once(start: int, seconds: int, zone: str) -> None:
    spans = Calendar(zone).spans(start, start + seconds)
    lengths = [(last[0] - first[0]) * WEEK + last[1] - first[1] for first, last in spans]
    assert min(lengths) >= 0
    assert sum(lengths) == seconds


def test_a_saturday_begins_at_its_own_midnight() -> None:
    shanghai = Calendar("Asia/Shanghai")
    midnight = unix(2026, 3, 7, zone="Asia/Shanghai")
    assert [shanghai.slot(time) for time in (midnight - 1, midnight)] == [23, 24]


def test_the_hour_that_a_spring_night_does_not_have_is_not_counted_and_that_of_autumn_is_twice() -> None:
    calendar = Calendar(NEW_YORK)
    spring, autumn = unix(2026, 3, 8, zone=NEW_YORK), unix(2026, 11, 1, zone=NEW_YORK)
    assert calendar.hours(spring, 23 * HOUR)[24:].tolist() == [1, 1, 0] + 21 * [1]
    assert calendar.hours(autumn, 25 * HOUR)[24:].tolist() == [1, 2] + 22 * [1]


def office(baseline: Baseline, days: int, first: datetime, zone: str) -> None:
    """Ten negatives between eight and nine by the clocks of New York, one in any other hour."""
    for hour in range(24 * days):
        moment = first + timedelta(hours=hour)
        count = 10.0 if moment.astimezone(ZoneInfo(zone)).hour == 8 else 1.0
        baseline.learn(int(moment.timestamp()), HOUR, weight=count, negative=count, total=3 * count)
        baseline.age(HOUR)


def test_what_comes_at_eight_is_expected_at_eight_after_the_clocks_have_changed() -> None:
    baseline = Baseline(28, Calendar(NEW_YORK))
    office(baseline, 28, SPRING - timedelta(days=28), NEW_YORK)
    eight = unix(2026, 3, 9, 8, zone=NEW_YORK)
    forecasts = [baseline.forecast(start, start + HOUR).mean for start in (eight - HOUR, eight, eight + HOUR)]
    assert forecasts[1] > 2.5 * max(forecasts[0], forecasts[2])


def test_the_night_in_which_clocks_change_is_as_long_as_it_is() -> None:
    baseline = Baseline(28, Calendar(NEW_YORK))
    office(baseline, 28, SPRING - timedelta(days=28), NEW_YORK)
    change = int(SPRING.timestamp())
    whole = baseline.season.integral(change - DAY, change + DAY)
    parts = [
        baseline.season.integral(change + hour * HOUR, change + (hour + 1) * HOUR) for hour in range(-24, 24)
    ]
    assert sum(parts) == pytest.approx(whole)
    assert min(parts) > 0


@given(st.lists(st.floats(0, 100, width=32), min_size=SLOTS, max_size=SLOTS), st.integers(-48, 56))
def test_what_was_learned_by_other_clocks_moves_without_loss(values: list[float], quarters: int) -> None:
    learned = np.array(values, dtype=np.float32)
    assert moved(learned, quarters * 900).sum() == pytest.approx(learned.sum(), rel=1e-4, abs=1e-3)


def test_eight_by_utc_is_four_by_the_clocks_of_shanghai_s_afternoon() -> None:
    learned = np.zeros(SLOTS, dtype=np.float32)
    learned[8] = 5
    there = moved(learned, 8 * HOUR)
    assert there.tolist() == [5.0 if slot == 16 else 0.0 for slot in range(SLOTS)]


def test_a_state_that_was_learned_by_other_clocks_still_expects_the_same_at_the_same_time() -> None:
    subject = Subject("x", SpikeSettings())
    feed = Feed()
    for day in range(18):
        night, noon = 24.0 * day, 24.0 * day + 10
        watch(subject, feed.between(night, noon, negative=1, neutral=2))
        watch(subject, feed.between(noon, noon + 4, negative=12, neutral=24))
        watch(subject, feed.between(noon + 4, night + 24, negative=1, neutral=2))
    assert subject.clock is not None
    noon = int(subject.clock.timestamp()) // DAY * DAY + DAY + 11 * HOUR
    moved_there = reload(subject, SpikeSettings(zone="Asia/Shanghai"))
    back = reload(moved_there, SpikeSettings())
    for start in (noon, noon + 8 * HOUR):
        before = subject._history.usual(start, start + HOUR)
        assert moved_there._history.usual(start, start + HOUR) == pytest.approx(before, rel=0.1)
        assert back._history.usual(start, start + HOUR) == pytest.approx(before, rel=0.1)
    with_others = [each._history.others.baseline for each in (subject, moved_there)]
    usual = [each.forecast(noon, noon + HOUR).mean for each in with_others]
    assert usual[1] == pytest.approx(usual[0], rel=0.1)


def alerts_after_the_change(zone: str) -> int:
    """In eight days after the change of spring, of a subject with the hours of an office in New York."""
    draws = np.random.default_rng(1)
    subject = Subject("x", SpikeSettings(zone=zone))
    begin = SPRING - timedelta(days=42)
    fired = set()
    for quarter in range(50 * 96):
        moment = begin + timedelta(minutes=15 * quarter)
        local = moment.astimezone(ZoneInfo(NEW_YORK))
        rate = 30 if local.hour == 8 else 16 if 9 <= local.hour < 18 else 1.2
        rate *= 1 if local.weekday() < 5 else 0.2
        subject.count(moment + timedelta(minutes=15), int(draws.poisson(rate)))
        fired |= {alert.fired_at for alert in subject.take_alerts() if alert.fired_at is not None}
    return sum(moment > SPRING for moment in fired)


def test_hours_that_move_with_the_clocks_of_their_zone_alert_nobody() -> None:
    assert alerts_after_the_change(NEW_YORK) == 0
    assert alerts_after_the_change("UTC") > 0, "an hour early by the clocks that do not change"


def test_reading_a_state_by_the_same_clocks_changes_nothing() -> None:
    subject = Subject("x", SpikeSettings(zone=NEW_YORK))
    watch(subject, Feed().between(0, 72, negative=4, neutral=8))
    assert reload(subject, SpikeSettings(zone=NEW_YORK)).dump() == subject.dump()


def test_a_zone_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValidationError, match="'Mars/Base' is no time zone; write one like Asia/Shanghai"):
        SpikeSettings(zone="Mars/Base")
