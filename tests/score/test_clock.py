"""The stream's own time."""

from datetime import UTC, datetime, timedelta

import pytest

from stream.score.clock import PartitionClock, StreamClock, newest, recorded_time

WALL = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOLERANCE = timedelta(minutes=5)


def test_history_is_no_fault() -> None:
    clock = PartitionClock(TOLERANCE)
    then = datetime(2014, 9, 3, tzinfo=UTC)
    assert clock.place(then, WALL, WALL) == (then, False)
    assert clock.reached == then


def test_an_event_without_a_time_happened_when_the_broker_recorded_it() -> None:
    recorded = WALL - timedelta(seconds=3)
    assert PartitionClock(TOLERANCE).place(None, recorded, WALL) == (recorded, False)


def test_an_event_from_the_future_is_counted_at_the_streams_own_time_and_moves_no_clock() -> None:
    clock = PartitionClock(TOLERANCE)
    then = datetime(2014, 9, 3, tzinfo=UTC)
    clock.place(then, WALL, WALL)
    later = WALL + timedelta(seconds=2)
    assert clock.place(WALL + timedelta(days=400), later, later) == (then + timedelta(seconds=2), True)
    assert clock.reached == then


def test_an_event_from_the_future_that_comes_first_is_counted_when_it_was_recorded() -> None:
    clock = PartitionClock(TOLERANCE)
    assert clock.place(WALL + timedelta(days=1), WALL, WALL) == (WALL, True)
    assert clock.reached is None


def test_an_event_without_a_time_does_not_tear_a_replay_of_2014_into_the_present() -> None:
    clock = PartitionClock(TOLERANCE)
    then = datetime(2014, 9, 3, tzinfo=UTC)
    clock.place(then, WALL, WALL)
    later = WALL + timedelta(seconds=2)
    assert clock.place(None, later, later) == (then + timedelta(seconds=2), False)


def test_events_without_times_that_were_left_lying_are_counted_when_they_were_recorded() -> None:
    clock = PartitionClock(TOLERANCE)
    for hours in (3, 2, 1):
        recorded = WALL - timedelta(hours=hours)
        assert clock.place(None, recorded, WALL) == (recorded, False)
    assert clock.reached == WALL - timedelta(hours=1)


def test_a_record_was_never_written_later_than_now() -> None:
    milliseconds = int(WALL.timestamp() * 1000)
    assert recorded_time(milliseconds, WALL) == WALL
    assert recorded_time(milliseconds * 1000, WALL) == WALL, "microseconds"
    assert recorded_time(-1, WALL) == datetime(1970, 1, 1, tzinfo=UTC), "no timestamp at all"


def test_no_event_is_counted_before_there_were_records_or_at_no_time_at_all() -> None:
    clock = PartitionClock(TOLERANCE)
    clock.place(datetime(1975, 1, 1, tzinfo=UTC), WALL, WALL)
    earlier = datetime(1980, 1, 1, tzinfo=UTC)
    assert clock.place(None, earlier, WALL) == (datetime(1970, 1, 1, tzinfo=UTC), False)
    broken = PartitionClock(TOLERANCE)
    broken.load(f"{WALL.isoformat()} {-(10**11)}")
    assert broken.place(None, WALL, WALL) == (WALL, False)


def test_a_clock_outlives_a_restart() -> None:
    before, after = PartitionClock(TOLERANCE), PartitionClock(TOLERANCE)
    before.place(datetime(2014, 9, 3, tzinfo=UTC), WALL, WALL)
    after.load(before.dump())
    assert after.dump() == before.dump() != ""
    assert after.place(None, WALL, WALL) == before.place(None, WALL, WALL)


@pytest.mark.parametrize(
    "text", ["", "x", "2014-09-03T00:00:00+00:00", "then now", "2014-09-03T00:00:00 1e99"]
)
def test_metadata_of_another_program_is_no_clock(text: str) -> None:
    clock = PartitionClock(TOLERANCE)
    clock.load(text)
    assert clock.reached is None


def test_a_source_whose_clock_runs_a_little_ahead_is_believed() -> None:
    ahead = WALL + timedelta(minutes=4)
    assert PartitionClock(TOLERANCE).place(ahead, WALL, WALL) == (ahead, False)


def test_an_older_event_does_not_turn_the_clock_back() -> None:
    clock = PartitionClock(TOLERANCE)
    clock.place(WALL, WALL, WALL)
    older = WALL - timedelta(hours=1)
    assert clock.place(older, WALL, WALL) == (older, False)
    assert clock.reached == WALL


def test_the_first_event_that_tells_its_time_corrects_a_clock_that_had_none() -> None:
    clock = PartitionClock(TOLERANCE)
    clock.place(None, WALL, WALL)
    then = datetime(2014, 9, 3, tzinfo=UTC)
    clock.place(then, WALL, WALL)
    assert clock.reached == then


def test_a_silent_streams_time_goes_on_by_itself() -> None:
    stream = StreamClock()
    stream.published(None, WALL)
    assert stream.now(WALL) is None
    then = datetime(2014, 9, 3, tzinfo=UTC)
    stream.published(then, WALL)
    assert stream.now(WALL + timedelta(minutes=30)) == then + timedelta(minutes=30)


def test_a_wall_clock_that_is_set_back_does_not_turn_the_stream_back() -> None:
    stream = StreamClock()
    stream.published(WALL, WALL)
    assert stream.now(WALL - timedelta(hours=1)) == WALL


def test_the_newest_partition_tells_the_time() -> None:
    clocks = [PartitionClock(TOLERANCE), PartitionClock(TOLERANCE), PartitionClock(TOLERANCE)]
    assert newest(clocks) is None
    clocks[0].place(WALL - timedelta(hours=1), WALL, WALL)
    clocks[1].place(WALL, WALL, WALL)
    assert newest(clocks) == WALL
