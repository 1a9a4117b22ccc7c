"""Records that wait together: what is told of them, and what is saved."""

from datetime import timedelta

import pytest
from spike_streams import MONDAY, SETTINGS, recorded

from stream.records import Observations, Tick
from stream.spikes.subject import Outcome, Subject
from stream.watch.batch import Batch
from stream.watch.cursor import Cursor
from stream.watch.keeper import Partition
from stream.watch.ownership import Owned


@pytest.fixture
def owned() -> Owned:
    return Owned(3, Partition({}, SETTINGS), Cursor(3, None), next_save=100)


def negatives(subject: str, first: int, count: int, minutes: int) -> Observations:
    begin = MONDAY + timedelta(minutes=minutes)
    return recorded(
        subject, [(begin + timedelta(seconds=one), "negative") for one in range(count)], first=first
    )


def test_each_subject_s_state_is_saved_once_and_knows_all_of_its_records(owned: Owned) -> None:
    batch = Batch(owned)
    batch.apply(0, negatives("entity:ACME", 0, 3, 0), 1.0, now=0)
    batch.apply(1, negatives("entity:BOLT", 3, 1, 0), 2.0, now=0)
    batch.apply(2, negatives("entity:ACME", 4, 2, 1), 3.0, now=0)
    (first, state), (second, _) = batch.states
    assert (first, second) == (b"entity:ACME", b"entity:BOLT")
    assert state is not None
    repeated = Subject.load("entity:ACME", state, SETTINGS)
    for record in (negatives("entity:ACME", 0, 3, 0), negatives("entity:ACME", 4, 2, 1)):
        assert {repeated.observe(one, "b") for one in record.observations} == {Outcome.REPEAT}
    assert (batch.observations, owned.cursor.following) == (6, 3)
    assert [part.recorded_at for part in batch.parts] == [1.0, 2.0, 3.0]


def test_of_a_row_of_the_trend_the_newest_is_sent(owned: Owned) -> None:
    batch = Batch(owned)
    for number in range(3):
        batch.apply(number, negatives("entity:ACME", number, 1, 0), 1.0, now=0)
        batch.apply(number + 3, Tick(tick=MONDAY + timedelta(minutes=number)), 1.0, now=0)
    told = [row for part in batch.parts for change in part.changes for row in change.windows]
    assert len({row.key for row in told}) < len(told)
    assert {key: row.negative for key, row in batch.rows.items()} == {told[-1].key: 3}


def test_a_tick_that_leaves_nothing_to_tell_is_saved_only_now_and_then(owned: Owned) -> None:
    for now, due in ((99.0, False), (100.0, True)):
        batch = Batch(owned)
        batch.apply(0, Tick(tick=MONDAY + timedelta(minutes=now)), 1.0, now=now)
        assert (batch.due, batch.states) == (due, [])


def test_what_cannot_be_read_is_passed_over_for_good(owned: Owned) -> None:
    batch = Batch(owned)
    batch.apply(7, None, 1.0, now=0)
    assert (batch.due, batch.states, owned.cursor.following) == (True, [], 8)
    assert batch.parts[0].recorded_at is None
