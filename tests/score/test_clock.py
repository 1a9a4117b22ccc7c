"""The stream's own time."""

from datetime import UTC, datetime, timedelta

from stream.score.clock import PartitionClock, StreamClock

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
    assert clock.place(WALL + timedelta(days=400), WALL, WALL) == (then, True)
    assert clock.reached == then


def test_an_event_from_the_future_that_comes_first_is_counted_when_it_was_recorded() -> None:
    clock = PartitionClock(TOLERANCE)
    assert clock.place(WALL + timedelta(days=1), WALL, WALL) == (WALL, True)
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


def test_a_silent_streams_time_goes_on_by_itself() -> None:
    clock = StreamClock()
    assert clock.now(WALL) is None
    then = datetime(2014, 9, 3, tzinfo=UTC)
    clock.moved_to(then, WALL)
    assert clock.now(WALL + timedelta(minutes=30)) == then + timedelta(minutes=30)


def test_a_wall_clock_that_is_set_back_does_not_turn_the_stream_back() -> None:
    clock = StreamClock()
    clock.moved_to(WALL, WALL)
    assert clock.now(WALL - timedelta(hours=1)) == WALL
