"""Partitions advance together in event time, and none of them loses its own order."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from stream.score.merge import SLACK, Merge

START = datetime(2014, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def merge_of(*partitions: list[float | None]) -> Merge[tuple[int, int]]:
    merge = Merge[tuple[int, int]]()
    for number, times in enumerate(partitions):
        for place, minutes in enumerate(times):
            merge.add(number, None if minutes is None else at(minutes), (number, place))
    return merge


def test_the_oldest_event_comes_first_whatever_its_partition() -> None:
    merge = merge_of([1, 4], [2, 3])
    assert merge.take(10) == [(0, 0), (1, 0), (1, 1), (0, 1)]


def test_a_partition_keeps_its_order_though_times_in_it_go_back() -> None:
    merge = merge_of([5, 1], [3])
    assert merge.take(10) == [(1, 0), (0, 0), (0, 1)]


def test_an_event_without_a_time_is_as_old_as_the_one_before_it() -> None:
    merge = merge_of([2, None, 9], [3])
    assert merge.take(10) == [(0, 0), (0, 1), (1, 0), (0, 2)]
    assert merge_of([None], [1]).take(1) == [(0, 0)]


def test_no_partition_runs_ahead_of_one_that_has_more_to_read() -> None:
    merge = merge_of([1, 60 * 24 * 30], [1])
    assert merge.take(10, behind={1}) == [(0, 0), (1, 0)], "a month ahead: it waits"
    assert merge.take(10, behind={1}) == []
    merge.add(1, at(5), (1, 1))
    assert merge.take(10, behind={1}) == [(1, 1)]
    assert merge.take(10) == [(0, 1)], "the other one is read to its end"


def test_nothing_is_taken_while_a_partition_has_told_nothing_yet() -> None:
    assert merge_of([1]).take(10, behind={7}) == []


def test_within_the_slack_nobody_waits() -> None:
    slack = SLACK.total_seconds() / 60
    merge = merge_of([1 + slack], [1])
    assert len(merge.take(10, behind={1})) == 2


def test_no_more_is_taken_than_asked_for() -> None:
    merge = merge_of([1, 2, 3])
    assert len(merge.take(2)) == 2
    assert (len(merge), merge.waiting(0), merge.waiting(5)) == (1, 1, 0)


@given(
    partitions=st.lists(st.lists(st.one_of(st.none(), st.integers(0, 5_000))), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 7), min_size=1),
)
def test_everything_comes_once_and_in_its_partitions_order(
    partitions: list[list[float | None]], sizes: list[int]
) -> None:
    merge = merge_of(*partitions)
    taken: list[tuple[int, int]] = []
    while merge:
        taken += merge.take(sizes[len(taken) % len(sizes)])
    for number, times in enumerate(partitions):
        assert [place for partition, place in taken if partition == number] == list(range(len(times)))


@given(partitions=st.lists(st.lists(st.integers(0, 5_000)), min_size=1, max_size=4))
def test_sorted_partitions_come_out_sorted(partitions: list[list[int]]) -> None:
    ordered = [sorted(times) for times in partitions]
    merge = merge_of(*[list(map(float, times)) for times in ordered])
    times = [ordered[number][place] for number, place in merge.take(10_000)]
    assert times == sorted(times)


def test_it_knows_how_large_is_what_waits() -> None:
    merge = Merge[str]()
    merge.add(0, START, "a", 700)
    merge.add(0, START, "b", 20)
    merge.add(1, START, "c", 5)
    assert (merge.size(0), merge.size(1), merge.size(2)) == (720, 5, 0)
    merge.take(1)
    assert merge.size(0) == 20
    merge.clear()
    assert merge.size(0) == 0
