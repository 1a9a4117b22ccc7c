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


@pytest.mark.parametrize("claimed", [None, WALL + timedelta(days=1)])
def test_no_event_is_counted_behind_where_the_stream_has_got_to(claimed: datetime | None) -> None:
    clock = PartitionClock(TOLERANCE)
    clock.place(WALL - timedelta(hours=1), WALL, WALL)
    clock.place(WALL, WALL, WALL)
    # It was sent an hour ago, and lay with its producer.
    moment, _ = clock.place(claimed, WALL - timedelta(hours=1), WALL)
    assert moment == WALL


def test_no_event_is_counted_before_there_were_records_or_at_no_time_at_all() -> None:
    earlier = datetime(1960, 1, 1, tzinfo=UTC)
    assert PartitionClock(TOLERANCE).place(None, earlier, WALL) == (datetime(1970, 1, 1, tzinfo=UTC), False)
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


THEN = datetime(2014, 9, 3, tzinfo=UTC)


def looked_at(stream: StreamClock, start: int, stop: int) -> datetime | None:
    """What the clock tells at the end, looked at once a second of a steady clock."""
    return [stream.now(second) for second in range(start, stop + 1)][-1]


def test_a_silent_streams_time_goes_on_by_itself() -> None:
    stream = StreamClock()
    stream.published(None, 1000)
    assert stream.now(1000) is None
    stream.published(THEN, 1000)
    assert looked_at(stream, 1000, 2800) == THEN + timedelta(minutes=30)


def test_after_a_standstill_the_streams_time_does_not_jump_over_what_is_still_to_be_read() -> None:
    stream = StreamClock()
    stream.published(THEN, 1000)
    looked_at(stream, 1000, 1060)
    paused = 1060 + 60 * 3600
    told = stream.now(paused)
    assert told is not None
    assert timedelta(minutes=1) < told - THEN < timedelta(minutes=5)
    assert stream.now(paused + 1) == told + timedelta(seconds=1)
    assert stream.behind, "what is missing is made up for once no event waits"
    stream.catch_up(THEN + timedelta(hours=60), paused + 2)
    assert stream.now(paused + 2) == THEN + timedelta(hours=60)
    assert not stream.behind


def test_an_event_that_comes_late_does_not_turn_a_silent_stream_back() -> None:
    stream = StreamClock()
    stream.published(THEN, 1000)
    looked_at(stream, 1000, 1600)
    stream.published(THEN, 1600)
    assert stream.now(1601) == THEN + timedelta(seconds=601)
    stream.published(THEN + timedelta(seconds=300), 1601)
    assert stream.now(1602) == THEN + timedelta(seconds=301)


def test_a_stream_whose_every_event_is_read_catches_up_with_the_time_since_and_never_goes_back() -> None:
    stream = StreamClock()
    stream.catch_up(THEN, 1000)
    assert stream.now(1000) is None, "there was no event"
    stream.published(THEN, 1000)
    stream.catch_up(THEN + timedelta(hours=6), 1002)
    assert stream.now(1003) == THEN + timedelta(hours=6, seconds=1)
    stream.catch_up(THEN, 1003)
    assert stream.now(1003) == THEN + timedelta(hours=6, seconds=1)


def test_where_no_event_waits_a_partition_stands_as_far_from_the_wall_clock_as_its_newest_event_did() -> None:
    clock = PartitionClock(TOLERANCE)
    assert clock.now(WALL) is None
    clock.place(THEN, WALL, WALL)
    assert clock.now(WALL + timedelta(hours=6)) == THEN + timedelta(hours=6)
    assert clock.now(WALL - timedelta(hours=6)) == THEN


def test_the_newest_partition_tells_the_time() -> None:
    clocks = [PartitionClock(TOLERANCE), PartitionClock(TOLERANCE), PartitionClock(TOLERANCE)]
    assert newest(clock.reached for clock in clocks) is None
    clocks[0].place(WALL - timedelta(hours=1), WALL, WALL)
    clocks[1].place(WALL, WALL, WALL)
    assert newest(clock.reached for clock in clocks) == WALL
