"""The clocks and weekends by which a subject's hours are told apart."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from spike_streams import Feed, reload, watch

from stream.spikes.baseline import Baseline
from stream.spikes.calendar import DAY, HOUR, SLOTS, WEEK, Calendar, shifted
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


def test_where_the_clocks_are_changed_the_time_is_parted() -> None:
    change, day = int(SPRING.timestamp()), 2 * DAY
    [before, after] = Calendar(NEW_YORK).spans(change - day, change + day)
    assert before[1] == (before[0][0], before[0][1] + day), "till two, as the clocks went"
    assert after[0] == Calendar(NEW_YORK).week(change)
    assert after[0][1] - before[1][1] == HOUR


@given(st.integers(unix(2015, 1, 1), unix(2035, 1, 1)), st.integers(1, 60), st.sampled_from(ZONES))
def test_an_interval_is_shared_by_the_hours_that_it_lies_in(start: int, minutes: int, zone: str) -> None:
    calendar, start = Calendar(zone), start // 900 * 900
    found = dict.fromkeys(range(SLOTS), 0.0)
    for minute in range(minutes):
        found[calendar.slot(start + 60 * minute)] += 1 / minutes
    shares = calendar.shares(start, start + 60 * minutes)
    assert sum(share for _, share in shares) == pytest.approx(1)
    if calendar.offset(start) == calendar.offset(start + 60 * minutes):
        assert dict(shares) == pytest.approx({slot: share for slot, share in found.items() if share})


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


def test_hours_of_half_an_hour_s_zone_are_learned_by_its_own() -> None:
    baseline = Baseline(28, Calendar("Asia/Kolkata"))
    baseline.learn(unix(2026, 3, 4, 3), HOUR, weight=6, negative=6, total=6)
    assert {slot: count for slot, count in enumerate(baseline.counts.tolist()) if count} == {8: 3, 9: 3}


def test_silence_and_late_events_are_learned_by_the_clocks_too() -> None:
    baseline = Baseline(28, Calendar(NEW_YORK))
    saturday = unix(2026, 3, 14, zone=NEW_YORK)
    baseline.learn_silence(saturday, 3 * HOUR)
    baseline.learn_late(saturday + HOUR, saturday + 3 * HOUR, weight=2, negative=2, total=2)
    counts, hours = np.split(baseline.dump()[: 2 * SLOTS], 2)
    assert np.flatnonzero(counts).tolist() == [25]
    assert np.flatnonzero(hours).tolist() == [24, 25, 26]


def test_of_an_hour_of_the_clock_that_was_never_watched_less_is_known() -> None:
    baseline = Baseline(28, Calendar(NEW_YORK))
    for day in range(2, 12):
        midnight = unix(2026, 2, day, zone=NEW_YORK)
        for hour in range(12):
            baseline.learn(midnight + hour * HOUR, HOUR, weight=5, negative=5, total=5)
    watched, unwatched = (unix(2026, 2, 13, hour, zone=NEW_YORK) for hour in (10, 21))
    season = baseline.season
    assert season.uncertainty(unwatched, unwatched + HOUR) > 2 * season.uncertainty(watched, watched + HOUR)


@given(st.lists(st.floats(0, 100, width=32), min_size=SLOTS, max_size=SLOTS), st.integers(-48, 56))
def test_what_was_learned_by_other_clocks_moves_without_loss(values: list[float], quarters: int) -> None:
    learned = np.array(values, dtype=np.float32)
    assert shifted(learned, quarters * 900).sum() == pytest.approx(learned.sum(), rel=1e-4, abs=1e-3)


def test_eight_by_utc_is_four_by_the_clocks_of_shanghai_s_afternoon() -> None:
    learned = np.zeros(SLOTS, dtype=np.float32)
    learned[8] = 5
    there = shifted(learned, 8 * HOUR)
    assert there.tolist() == [5.0 if slot == 16 else 0.0 for slot in range(SLOTS)]


@pytest.mark.parametrize(("minutes", "found"), [(30, {8: 2, 9: 2}), (-30, {7: 2, 8: 2}), (-60, {7: 4})])
def test_by_half_an_hour_each_slot_moves_half_of_what_it_holds(minutes: int, found: dict[int, float]) -> None:
    learned = np.zeros(SLOTS, dtype=np.float32)
    learned[8] = 4
    assert {slot: value for slot, value in enumerate(shifted(learned, 60 * minutes)) if value} == found


def test_what_was_learned_on_one_side_of_a_weekend_s_midnight_blurs_with_the_other() -> None:
    learned = np.full(SLOTS, 5.0, dtype=np.float32)
    learned[24:] = 0.2
    weekdays, weekends = np.split(shifted(learned, 8 * HOUR), 2)
    assert weekends[12:].tolist() == pytest.approx([0.2] * 12), (
        "all of whose hours were weekends' by UTC, too"
    )
    assert 0.2 < weekends[4] < 1.2
    assert 4 < weekdays[4] < 5


def test_a_zone_that_is_named_just_after_its_clocks_changed_has_the_hours_from_before() -> None:
    baseline = Baseline(28)
    office(baseline, 28, SPRING - timedelta(days=28), NEW_YORK)
    subject = Subject("x", SpikeSettings())
    history = subject._history
    history.begin(int(SPRING.timestamp()) + DAY // 2)
    history.baseline.load(baseline.dump(), baseline.dump_recent())
    state = json.loads(subject.dump())
    # As earlier versions wrote it, which knew no zones.
    del state["offset"]
    found = Subject.load("x", json.dumps(state).encode(), SpikeSettings(season_zone=NEW_YORK))
    eight = unix(2026, 3, 10, 8, zone=NEW_YORK)
    before, at_eight, after = (
        found._history.usual(eight + h * HOUR, eight + (h + 1) * HOUR) for h in (-1, 0, 1)
    )
    assert at_eight > 2.5 * max(before, after)


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
    moved_there = reload(subject, SpikeSettings(season_zone="Asia/Shanghai"))
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
    subject = Subject("x", SpikeSettings(season_zone=zone))
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


def test_a_state_by_other_clocks_than_those_of_utc_is_no_state_for_versions_that_know_no_others() -> None:
    formats = {}
    for zone in ("UTC", NEW_YORK):
        subject = Subject("x", SpikeSettings(season_zone=zone))
        watch(subject, Feed().between(0, 24, negative=4, neutral=8))
        formats[zone] = json.loads(subject.dump())["v"]
    assert formats == {"UTC": 1, NEW_YORK: 2}


def test_reading_a_state_by_the_same_clocks_changes_nothing() -> None:
    subject = Subject("x", SpikeSettings(season_zone=NEW_YORK))
    watch(subject, Feed().between(0, 72, negative=4, neutral=8))
    assert reload(subject, SpikeSettings(season_zone=NEW_YORK)).dump() == subject.dump()


@pytest.mark.parametrize("zone", ["Mars/Base", "America", "", "../etc"])
def test_a_zone_that_does_not_exist_is_named(zone: str) -> None:
    with pytest.raises(ValidationError, match=f"'{zone}' is no time zone; write one like Asia/Shanghai"):
        SpikeSettings(season_zone=zone)


def test_times_that_no_calendar_has_are_in_some_slot() -> None:
    assert 0 <= Calendar("Asia/Shanghai").slot(unix(9999, 12, 31, 23)) < SLOTS
