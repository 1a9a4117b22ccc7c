"""The replay's pace: its own speed, but never ahead of the workers."""

import json
import math
from datetime import UTC, datetime, timedelta

from demo.pace import LONGEST_SILENCE_SECONDS, WIDEST_SPREAD_SECONDS, Pace
from stream.replay import Item

START = datetime(2026, 3, 2, tzinfo=UTC)
PLENTY = 1_000_000


def items(*minutes: float | None) -> list[Item]:
    """One item at each of these minutes after the start."""
    times = [None if minute is None else START + timedelta(minutes=minute) for minute in minutes]
    return [Item(json.dumps({"text": str(n)}).encode(), time) for n, time in enumerate(times)]


def numbers(run) -> list[int]:
    return [int(json.loads(item.value)["text"]) for item in run]


def test_items_are_sent_when_their_time_has_come():
    pace = Pace(items(0, 1, 2, 10), speed=60)
    assert numbers(pace.due(0, processed=0, room=PLENTY)) == [0]
    assert numbers(pace.due(0.9, processed=0, room=PLENTY)) == []
    assert numbers(pace.due(1.2, processed=0, room=PLENTY)) == [1, 2]
    assert not pace.done
    assert not pace.held_back


def test_items_at_the_same_time_are_sent_together():
    pace = Pace(items(0, 0, 0, 1), speed=60)
    assert numbers(pace.due(0, processed=0, room=PLENTY)) == [0, 1, 2]


def test_an_item_without_a_time_goes_with_the_one_before_it():
    pace = Pace(items(0, None, 5, None), speed=60)
    assert numbers(pace.due(0, processed=0, room=PLENTY)) == [0, 1]


def test_at_most_the_room_is_on_its_way():
    pace = Pace(items(*[0] * 100), speed=60)
    assert len(pace.due(0, processed=0, room=30)) == 30
    assert pace.held_back
    assert len(pace.due(1, processed=0, room=30)) == 0
    assert len(pace.due(1, processed=12, room=30)) == 12


def test_a_replay_that_was_held_back_does_not_catch_up_in_a_burst():
    pace = Pace(items(*range(100)), speed=60)
    pace.due(0, processed=0, room=1)
    for _ in range(20):  # twenty seconds, in which the workers do nothing
        assert numbers(pace.due(1, processed=0, room=1)) == []
    assert len(pace.due(1, processed=1, room=PLENTY)) <= 3


def test_a_long_silence_is_cut_short():
    pace = Pace(items(0, 60 * 24 * 365), speed=60)
    pace.due(0, processed=0, room=PLENTY)
    pace.due(0.01, processed=1, room=PLENTY)
    assert numbers(pace.due(LONGEST_SILENCE_SECONDS, processed=1, room=PLENTY)) == [1]
    assert pace.done


def test_without_times_everything_is_due_at_once():
    pace = Pace(items(None, None, None), speed=60)
    assert numbers(pace.due(0, processed=0, room=2)) == [0, 1]
    assert numbers(pace.due(0, processed=2, room=2)) == [2]
    assert pace.time is None


def test_at_full_speed_only_the_room_counts():
    pace = Pace(items(0, 10, 20, 30), speed=math.inf)
    assert numbers(pace.due(0, processed=0, room=3)) == [0, 1, 2]
    assert numbers(pace.due(0, processed=1, room=3)) == [3]


def test_events_on_their_way_together_lie_close_in_event_time():
    hours = WIDEST_SPREAD_SECONDS / 3600
    pace = Pace(items(0, 60 * (hours - 1), 60 * (hours + 1), 60 * (hours + 2)), speed=math.inf)
    assert numbers(pace.due(0, processed=0, room=PLENTY)) == [0, 1]
    assert numbers(pace.due(0, processed=0, room=PLENTY)) == []
    assert numbers(pace.due(0, processed=1, room=PLENTY)) == [2, 3]


def test_a_gap_wider_than_the_spread_does_not_stop_the_replay():
    pace = Pace(items(0, 60 * 100, 60 * 200), speed=math.inf)
    sent = []
    for processed in range(3):
        sent += numbers(pace.due(0, processed=processed, room=PLENTY))
    assert sent == [0, 1, 2]


def test_the_time_is_that_of_the_last_item_sent():
    pace = Pace(items(0, 1, 90), speed=60)
    pace.due(0, processed=0, room=PLENTY)
    pace.due(1.5, processed=0, room=PLENTY)
    assert pace.time == START + timedelta(minutes=1)
