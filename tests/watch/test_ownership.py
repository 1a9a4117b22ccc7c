"""What a worker holds of its partitions, and that it lets go where another one has taken over."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from stream.rules import Rules
from stream.spikes.settings import SpikeSettings
from stream.watch.cursor import cursor_key
from stream.watch.keeper import Partition
from stream.watch.log import TakenOverError
from stream.watch.ownership import Ownership

REST_SECONDS = 6.0


class SharedLog:
    """A log of which another worker may claim partitions at any time."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.taken_over: set[int] = set()
        self.claims = 0
        self.writes: list[list[tuple[bytes, bytes]]] = []
        self.overwritten: list[set[bytes]] = []
        """What an earlier owner has written over when the next writes end."""

    async def take_over(self, partition: int, _abandoned: Callable[[], bool]) -> dict[bytes, bytes]:
        self.claims += 1
        self.taken_over.discard(partition)
        return dict(self.rows)

    async def write(self, partition: int, rows: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
        if partition in self.taken_over:
            raise TakenOverError(f"another worker has taken over partition {partition}")
        self.rows.update(rows)
        self.writes.append(list(rows))
        return self.overwritten.pop(0) if self.overwritten else set()


class Scene:
    """An ownership, its log, and a clock that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("stream.watch.ownership.time.monotonic", lambda: self.now)
        self.log = SharedLog()
        self.owned = Ownership(cast("Any", self.log), SpikeSettings(), Rules(), rest_seconds=REST_SECONDS)

    def take(self, partition: int = 0) -> int | None:
        """The offset that the partition goes on from, if it can be taken."""
        found = asyncio.run(self.owned.take(partition, lambda: False))
        return None if found is None else found.cursor.following

    def save(self, offset: int) -> None:
        """Handle the record at the offset of partition 0."""
        owned = self.owned.get(0)
        assert owned is not None
        owned.cursor.pass_over(offset)
        try:
            asyncio.run(self.owned.save(owned, []))
        except TakenOverError as error:
            self.owned.lose(error)

    def lose(self) -> None:
        """Learn, in saving a record, that another worker has claimed partition 0."""
        self.take()
        self.log.taken_over.add(0)
        self.save(0)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_log_is_read_once_while_nobody_else_claims_it(scene: Scene) -> None:
    assert scene.take() == 0
    scene.save(0)
    assert (scene.take(), scene.log.claims) == (1, 1)


def test_other_tasks_go_on_while_the_states_of_a_log_are_read(scene: Scene) -> None:
    partition = Partition({}, SpikeSettings())
    partition.count("x", datetime(2026, 3, 2, tzinfo=UTC), 1)
    state = partition.state("x") or b""
    scene.log.rows = {b"%d" % number: state for number in range(1000)}

    async def turns_meanwhile() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(turn())
        owned = await scene.owned.take(0, lambda: False)
        other.cancel()
        assert owned is not None
        assert len(owned.subjects) == 1000
        return turns

    assert asyncio.run(turns_meanwhile()) > 3


def test_who_lost_a_partition_rests_until_the_broker_has_told_whose_it_is(scene: Scene) -> None:
    scene.lose()
    scene.now += REST_SECONDS - 0.1
    assert (scene.owned.rests, scene.take(), scene.log.claims) == (True, None, 1)
    # The other one went on meanwhile, and then the broker took the partition from it.
    scene.log.rows[b"\0next:0"] = b"7"
    scene.now += 0.2
    assert (scene.owned.rests, scene.take(), scene.log.claims) == (False, 7, 2)


def test_who_lost_one_partition_holds_none_any_more(scene: Scene) -> None:
    scene.take(1)
    scene.lose()
    assert list(scene.owned) == []
    assert scene.take(1) is None


def test_what_an_earlier_owner_writes_over_is_written_again_with_the_cursor_behind_it(scene: Scene) -> None:
    scene.take()
    owned = scene.owned.get(0)
    assert owned is not None
    owned.subjects.count("x", datetime(2026, 3, 2, tzinfo=UTC), 1)
    state, cursor = owned.subjects.state("x"), (cursor_key(0), b"1")
    scene.log.overwritten = [{b"x", b"never heard of here"}, {cursor_key(0)}]
    scene.save(0)
    first, second, third = scene.log.writes
    assert first == third == [cursor]
    assert second[-1] == cursor
    # Compaction would keep what the earlier owner wrote of a subject that is none of this one's.
    assert sorted(second[:-1]) == [(b"never heard of here", None), (b"x", state)]


def test_once_the_broker_has_dealt_anew_nothing_rests(scene: Scene) -> None:
    scene.lose()
    scene.owned.clear()
    assert scene.take() == 0


def test_two_workers_that_both_hold_to_a_partition_do_not_take_turns_for_ever(scene: Scene) -> None:
    scene.lose()
    scene.now += REST_SECONDS + 0.1
    with pytest.raises(TakenOverError):
        scene.lose()
