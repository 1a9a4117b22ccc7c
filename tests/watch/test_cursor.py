"""Where a partition is read on: no record is skipped, whatever is delivered, and wherever its log is cut."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from stream.records import Observation, Observations, Position, Window
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Outcome
from stream.watch.cursor import PATIENCE_SECONDS, TICK_STEP, Cursor, Step, cursor_key, is_cursor
from stream.watch.keeper import Partition

START = datetime(2026, 3, 2, tzinfo=UTC)
SUBJECTS = ("all", "entity:ACME", "topic:markets")


def test_a_partition_that_was_never_read_begins_with_its_first_record() -> None:
    assert Cursor(0, None).meet(0, now=0.0) is Step.HANDLE
    assert Cursor(0, None).meet(1, now=0.0) is Step.GO_BACK


def test_a_saved_cursor_goes_on_behind_the_last_record() -> None:
    cursor = Cursor(3, None)
    cursor.pass_over(41)
    again = Cursor(3, cursor.dump())
    assert again.following == 42
    assert again.meet(42, now=0.0) is Step.HANDLE


def test_a_saved_cursor_knows_the_time_that_subjects_were_last_told() -> None:
    cursor = Cursor(3, b"41")
    assert cursor.time is None
    cursor.pass_over(41, START)
    cursor.pass_over(42)
    again = Cursor(3, cursor.dump())
    assert (again.following, again.time) == (43, START)


def test_a_tick_is_heeded_that_is_some_seconds_newer_than_the_last_that_was() -> None:
    cursor = Cursor(0, None)
    ticks = [START + timedelta(seconds=number) for number in range(16)]
    heeded = []
    for offset, tick in enumerate(ticks):
        heeds = cursor.heeds(tick)
        cursor.pass_over(offset, tick if heeds else None)
        heeded += [tick] * heeds
        cursor = Cursor(0, cursor.dump())
    assert heeded == ticks[:: TICK_STEP.seconds]


def test_of_several_workers_that_tell_the_time_the_one_is_heeded_that_is_ahead() -> None:
    cursor = Cursor(0, None)
    cursor.pass_over(0, START)
    assert not cursor.heeds(START - timedelta(hours=23))


def test_a_stream_that_was_made_anew_with_an_older_history_is_heeded() -> None:
    cursor, older = Cursor(0, None), START - timedelta(days=365)
    cursor.pass_over(0, START)
    assert cursor.heeds(older)
    cursor.pass_over(1, older)
    assert cursor.time == older
    assert cursor.heeds(older + TICK_STEP)


def test_a_record_from_before_the_cursor_is_handled_since_states_know_repeats() -> None:
    cursor = Cursor(0, b"42")
    assert cursor.meet(7, now=0.0) is Step.HANDLE
    cursor.pass_over(7)
    assert cursor.meet(8, now=0.0) is Step.HANDLE


def test_behind_a_gap_the_reader_is_sent_back_once_and_again_if_that_was_in_vain() -> None:
    cursor = Cursor(0, b"10")
    assert cursor.meet(15, now=0.0) is Step.GO_BACK
    assert cursor.meet(16, now=0.1) is Step.DISREGARD
    assert cursor.meet(17, now=PATIENCE_SECONDS) is Step.GO_BACK
    assert cursor.meet(10, now=1.2) is Step.HANDLE
    cursor.pass_over(10)
    assert cursor.meet(12, now=1.3) is Step.GO_BACK, "a second gap is another matter"


def test_the_key_of_a_cursor_is_no_subjects_name() -> None:
    assert is_cursor(cursor_key(12))
    assert not any(is_cursor(subject.encode()) for subject in SUBJECTS)


class Reader:
    """An owner of the partition: counts what it is given, and writes states and cursor to the log."""

    def __init__(self, log: list[tuple[bytes, bytes]], trend: dict[str, Window]) -> None:
        table = dict(log)
        self._log, self._trend = log, trend
        self.cursor = Cursor(0, table.get(cursor_key(0)))
        states = {key.decode(): state for key, state in table.items() if not is_cursor(key)}
        self._partition = Partition(states, SpikeSettings())
        self.counted = 0

    def take(self, offset: int, record: Observations) -> None:
        change = self._partition.apply(record)
        self.counted += sum(outcome is Outcome.COUNTED for _, outcome in change.outcomes)
        self._trend.update({row.key: row for row in change.windows})
        self._log.append((change.subject.encode(), self._partition.state(change.subject) or b""))
        self.cursor.pass_over(offset)
        self._log.append((self.cursor.key, self.cursor.dump()))

    def close(self) -> None:
        for change in self._partition.pass_time(START + timedelta(days=1)):
            self._trend.update({row.key: row for row in change.windows})


def record(offset: int, subject: str) -> Observations:
    observation = Observation(
        position=Position(topic="raw", partition=0, offset=offset),
        id=f"{offset}",
        time=START + timedelta(seconds=offset),
        sentiment="neutral",
        negative=0.1,
        excerpt=f"text {offset}",
    )
    return Observations(subject=subject, bundle="b" * 16, observations=[observation])


@given(
    subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=30),
    deaths=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), max_size=5),
    drops=st.sets(st.integers(0, 80), max_size=20),
)
def test_wherever_the_log_is_cut_and_whatever_is_dropped_each_record_is_counted_once(
    subjects: list[str], deaths: list[tuple[int, int]], drops: set[int]
) -> None:
    records = [record(offset, subject) for offset, subject in enumerate(subjects)]
    log: list[tuple[bytes, bytes]] = []
    trend: dict[str, Window] = {}
    reader, position, delivery, now = Reader(log, trend), 0, 0, 0.0
    pending = sorted(deaths)
    while position < len(records) or reader.cursor.following < len(records):
        if pending and delivery >= pending[0][0]:
            # Dies; the last entries of its log never reached the broker. The group's offsets stay ahead.
            _, torn = pending.pop(0)
            del log[len(log) - min(torn, len(log)) :]
            reader = Reader(log, trend)
        delivery += 1
        now += 2 * PATIENCE_SECONDS
        if position == len(records):
            # The end, where a tick shows what is missing.
            assert reader.cursor.meet(position, now) is Step.GO_BACK
            position = reader.cursor.following
        dropped, offset = delivery in drops, position
        position += 1
        if dropped:
            continue
        step = reader.cursor.meet(offset, now)
        if step is Step.HANDLE:
            reader.take(offset, records[offset])
        else:
            position = reader.cursor.following
    reader.close()
    assert sum(row.neutral for row in trend.values()) == len(records)
    final = Reader(log, trend)
    for offset, one in enumerate(records):
        final.take(offset, one)
    assert final.counted == 0, "the log knows every record"
    assert final.cursor.following == len(records)
