"""How far a demo is, and how much may be on its way."""

from datetime import UTC, datetime, timedelta

import pytest

from demo.progress import LEAST_COUNTING_ROOM, LEAST_ROOM, Progress

START = datetime(2026, 3, 2, tzinfo=UTC)


def steady(rate: int, seconds: int = 10) -> Progress:
    """A replay in which all that is sent is scored and counted at once, at so many events a second."""
    progress = Progress(10_000)
    for second in range(seconds):
        progress.sample(second)
        progress.events_sent(rate, second)
        progress.events_processed(rate, 0, second)
        progress.events_counted(progress.scored, second)
        progress.time = START + timedelta(minutes=second)
    progress.sample(seconds)
    return progress


def test_rates_are_per_second_over_the_last_seconds():
    progress = steady(50)
    assert progress.sent_rate == pytest.approx(50)
    assert progress.scored_rate == pytest.approx(50)
    assert progress.speed == pytest.approx(60, rel=0.3)
    assert progress.seconds == 9


def test_without_samples_there_are_no_rates():
    assert Progress(10).scored_rate == 0
    assert Progress(10).speed == 0


def test_the_speed_waits_for_the_first_event_time():
    progress = Progress(10)
    progress.sample(0)
    progress.time = START
    progress.sample(1)
    assert progress.speed == 0


def test_dead_letters_do_not_wait():
    progress = Progress(10)
    progress.events_sent(10, 0)
    progress.events_processed(6, 3, 1)
    assert progress.processed == 9
    assert progress.waiting == 1


def test_the_room_is_what_the_workers_do_in_a_second():
    assert Progress(10).room == LEAST_ROOM
    assert steady(20).room == LEAST_ROOM
    assert steady(500).room == 500


def test_there_is_less_room_when_counting_is_behind():
    progress = Progress(10_000)
    progress.events_sent(LEAST_COUNTING_ROOM, 0)
    progress.events_processed(LEAST_COUNTING_ROOM - 10, 0, 1)
    assert progress.room == 10
    progress.events_processed(10, 0, 1)
    assert progress.room == 0
    progress.events_counted(LEAST_COUNTING_ROOM, 2)
    assert progress.room == LEAST_ROOM


def test_events_that_are_never_counted_do_not_stop_the_replay():
    progress = Progress(10_000)
    progress.events_sent(300, 0)
    progress.events_processed(300, 0, 1)
    progress.events_counted(10, 2)
    assert progress.room == 0
    progress.events_counted(10, 5)
    assert progress.uncounted == 290
    progress.events_counted(10, 30)
    assert progress.uncounted == 0
    assert progress.given_up == 290
    assert progress.room == LEAST_ROOM
