"""What a subject counts: each event once, in the interval of its own time."""

import json
import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spike_streams import BUNDLE, SETTINGS, Feed, at, counts, observation, reload, watch

from stream.records import Observation, Window
from stream.spikes.novelty import minhash
from stream.spikes.settings import SpikeSettings
from stream.spikes.state import pack_floats, unpack_floats
from stream.spikes.subject import Outcome, StateError, Subject

QUARTER = timedelta(minutes=15)

events = st.lists(
    st.tuples(
        st.floats(0, 14.9 / 60),  # within the lateness bound
        st.sampled_from(["negative", "neutral", "positive"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


def numbered(drawn: list[tuple[float, str, int]]) -> list[Observation]:
    return [
        observation(offset, hours, sentiment, partition=partition)  # type: ignore[arg-type]
        for offset, (hours, sentiment, partition) in enumerate(drawn)
    ]


def rows(subject: Subject) -> list[Window]:
    return subject.take_windows(closed_only=False)


@given(events, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_events_within_the_lateness_does_not_matter(
    drawn: list[tuple[float, str, int]], shuffler: random.Random
) -> None:
    shuffled = list(drawn)
    shuffler.shuffle(shuffled)
    one, other = Subject("x", SETTINGS), Subject("x", SETTINGS)
    watch(one, numbered(drawn))
    watch(other, numbered(shuffled))
    assert counts(rows(one)) == counts(rows(other))


@given(events)
@settings(max_examples=60)
def test_every_event_is_in_exactly_one_row(drawn: list[tuple[float, str, int]]) -> None:
    subject = Subject("x", SETTINGS)
    watch(subject, numbered(drawn))
    found: Counter[str] = Counter()
    for row in rows(subject):
        found.update(negative=row.negative, neutral=row.neutral, positive=row.positive)
    assert +found == Counter(sentiment for _, sentiment, _ in drawn)


@given(events, st.data())
@settings(max_examples=60)
def test_a_repeated_observation_changes_nothing(
    drawn: list[tuple[float, str, int]], data: st.DataObject
) -> None:
    seen = numbered(drawn)
    subject = Subject("x", SETTINGS)
    watch(subject, seen)
    state = subject.dump()
    for repeat in data.draw(st.lists(st.sampled_from(seen)) if seen else st.just([])):
        assert subject.observe(repeat, BUNDLE) is Outcome.REPEAT
    assert subject.dump() == state


def test_dumping_and_loading_in_between_changes_nothing() -> None:
    feed = Feed()
    stream = feed.between(0, 40, negative=3, neutral=6, positive=3)
    stream += feed.between(40, 42, negative=40, neutral=6)
    stream += feed.between(42, 60, negative=3, neutral=6, positive=3)
    shuffler = random.Random(3)
    through, interrupted = Subject("x", SETTINGS), Subject("x", SETTINGS)
    alerts, interrupted_alerts = [], []
    for event in stream:
        alerts += watch(through, [event])
        interrupted_alerts += watch(interrupted, [event])
        if shuffler.random() < 0.2:
            interrupted = reload(interrupted)
    assert alerts
    assert interrupted_alerts == alerts
    assert interrupted.dump() == through.dump()


def test_an_event_that_a_producer_sent_twice_counts_once() -> None:
    subject = Subject("x", SETTINGS)
    signature = minhash("A recall of two million toasters")
    first = observation(7, 1, id="story", signature=signature)
    again = observation(9, 1.01, id="story", signature=signature)
    assert subject.observe(first, BUNDLE) is Outcome.COUNTED
    assert subject.observe(again, BUNDLE) is Outcome.REPEAT
    assert [row.negative for row in rows(subject)] == [1]


def test_an_event_that_was_rewritten_under_its_old_id_counts_again() -> None:
    subject = Subject("x", SETTINGS)
    first = observation(7, 1, id="story", signature=minhash("A recall of toasters"))
    rewritten = observation(9, 1.01, id="story", signature=minhash("The regulator fines the maker"))
    assert subject.observe(first, BUNDLE) is Outcome.COUNTED
    assert subject.observe(rewritten, BUNDLE) is Outcome.COUNTED


def test_an_event_too_far_behind_its_own_partition_is_late() -> None:
    subject = Subject("x", SETTINGS)
    subject.observe(observation(0, 10), BUNDLE)
    late = observation(1, 9.7)
    assert subject.observe(late, BUNDLE) is Outcome.LATE
    assert subject.observe(late, BUNDLE) is Outcome.REPEAT
    assert sum(row.negative for row in rows(subject)) == 1


def test_how_far_behind_is_late_is_a_setting() -> None:
    subject = Subject("x", SpikeSettings(lateness_seconds=3600))
    subject.observe(observation(0, 10), BUNDLE)
    assert subject.observe(observation(1, 9.1), BUNDLE) is Outcome.COUNTED
    assert subject.observe(observation(2, 8.9), BUNDLE) is Outcome.LATE


def test_a_partition_that_lags_hours_behind_the_others_is_still_counted_exactly() -> None:
    feed = Feed()
    ahead = feed.between(0, 20, negative=2, neutral=5)
    behind = [
        event.model_copy(update={"position": event.position.model_copy(update={"partition": 1})})
        for event in feed.between(0, 20, negative=2, neutral=5)
    ]
    interleaved, apart = Subject("x", SETTINGS), Subject("x", SETTINGS)
    watch(interleaved, sorted([*ahead, *behind], key=lambda event: event.time))
    watch(apart, ahead)
    assert {apart.observe(event, BUNDLE) for event in behind} == {Outcome.COUNTED}
    assert counts(rows(apart)) == counts(rows(interleaved))


def test_what_is_older_than_the_memory_is_late() -> None:
    subject = Subject("x", SETTINGS)
    subject.observe(observation(0, 30), BUNDLE)
    assert subject.observe(observation(0, 5, partition=1), BUNDLE) is Outcome.LATE
    assert subject.observe(observation(0, 7, partition=2), BUNDLE) is Outcome.COUNTED


def test_a_topic_made_anew_begins_with_offset_zero() -> None:
    subject = Subject("x", SETTINGS)
    old, new = observation(5, 1), observation(0, 1.1, topic="news.raw@1")
    assert subject.observe(old, BUNDLE) is Outcome.COUNTED
    assert subject.observe(new, BUNDLE) is Outcome.COUNTED
    assert subject.observe(new, BUNDLE) is Outcome.REPEAT
    assert subject.observe(observation(6, 1.2), BUNDLE) is Outcome.REPEAT


def test_a_source_is_only_forgotten_when_its_events_are_too_old_to_be_counted() -> None:
    subject = Subject("x", SETTINGS)
    first = observation(0, 0, partition=0)
    subject.observe(first, BUNDLE)
    for day in range(1, 40):
        subject.observe(observation(0, 24.0 * day, partition=day), BUNDLE)
    assert subject.observe(first, BUNDLE) is Outcome.LATE
    assert len(subject.dump()) < 2500


def test_a_row_is_final_once_its_lateness_has_passed_and_is_told_once() -> None:
    subject = Subject("x", SETTINGS)
    subject.observe(observation(0, 0.1), BUNDLE)
    assert subject.take_windows(closed_only=True) == []
    assert [row.final for row in rows(subject)] == [False]
    assert rows(subject) == []
    assert subject.active
    subject.advance(at(0.5))
    closed = subject.take_windows(closed_only=True)
    assert [(row.start, row.negative, row.final) for row in closed] == [(at(0), 1, True)]
    assert not subject.active
    assert subject.take_windows(closed_only=True) == []


def test_a_row_is_final_the_later_the_more_lateness_is_accepted() -> None:
    subject = Subject("x", SpikeSettings(lateness_seconds=3600))
    subject.observe(observation(0, 0.1), BUNDLE)
    subject.advance(at(1.2))
    assert subject.take_windows(closed_only=True) == []
    subject.advance(at(1.25))
    assert [row.final for row in subject.take_windows(closed_only=True)] == [True]


def test_how_long_an_alert_stays_after_its_surge_is_a_setting() -> None:
    def resolved(seconds: int) -> datetime:
        feed, subject = Feed(), Subject("x", SpikeSettings(resolve_after_seconds=seconds))
        stream = feed.between(0, 48, negative=4, neutral=8) + feed.between(48, 49, negative=60, neutral=8)
        alerts = watch(subject, [*stream, *feed.between(49, 72, negative=4, neutral=8)])
        return next(alert.resolved_at for alert in alerts if alert.resolved_at is not None)

    assert resolved(7200) - resolved(1800) == timedelta(seconds=5400)


def test_how_soon_the_past_is_forgotten_is_a_setting() -> None:
    def expected(days: float) -> float:
        """What is expected of an hour after ten days of four an hour and four of six."""
        subject = Subject("x", SpikeSettings(half_life_days=days))
        for hour in range(14 * 24):
            subject.count(at(hour), 4 if hour < 10 * 24 else 6)
        end = int(at(14 * 24).timestamp())
        return subject._history.baseline.forecast(end, end + 3600, moves=False).mean

    assert expected(2) > 1.15 * expected(28)


def test_a_row_is_told_again_when_a_lagging_partition_adds_to_it() -> None:
    subject = Subject("x", SETTINGS)
    subject.observe(observation(0, 0.1), BUNDLE)
    subject.advance(at(5))
    subject.take_windows(closed_only=True)
    subject.observe(observation(0, 0.2, "positive", partition=1), BUNDLE)
    again = subject.take_windows(closed_only=True)
    assert counts(again) == {at(0): (1, 0, 1)}


def test_a_row_that_leaves_the_memory_untaken_is_handed_out_all_the_same() -> None:
    subject = Subject("x", SETTINGS)
    subject.observe(observation(0, 0.1), BUNDLE)
    subject.observe(observation(1, 24.0 * 40, "neutral"), BUNDLE)
    assert counts(rows(subject)) == {at(0): (1, 0, 0), at(24.0 * 40): (0, 1, 0)}


def test_the_clock_never_goes_back() -> None:
    subject = Subject("x", SETTINGS)
    assert subject.clock is None
    subject.advance(at(3))
    assert subject.clock is None
    subject.observe(observation(0, 2), BUNDLE)
    subject.advance(at(5))
    subject.advance(at(4))
    assert subject.clock == at(5)


FULL = SpikeSettings(false_alarms_per_day=0.1, evidence=10)


def full_subject() -> Subject:
    """A subject of 64 partitions and busy days, with an alert that fires and the longest evidence."""
    generator = random.Random(2)
    subject = Subject("x", FULL)
    offsets = [generator.randrange(10**10) for _ in range(64)]
    for minute in range(26 * 60):
        surge = minute >= 25 * 60
        for place in range(25 if surge else 5):
            partition = generator.randrange(64)
            offsets[partition] += generator.randrange(1, 50)
            negative = surge or place % 4 == 0
            event = observation(
                offsets[partition],
                (minute + generator.random()) / 60 - generator.random() / 5,
                "negative" if negative else generator.choice(["neutral", "positive"]),
                partition=partition,
                negative=generator.random(),
                id=f"{generator.randrange(10**40):040}",
                signature=generator.choice("ABCD") + f"{generator.randrange(10**20):020}w",
                excerpt="".join(generator.choices("股市大跌监管调查", k=200)),
                url=f"https://example.com/{generator.randrange(10**90)}",
                topics=[f"a-long-topic-name-{generator.randrange(40)}" for _ in range(3)],
            )
            subject.observe(event, "f" * 64)
    return subject


def test_the_state_stays_below_four_kilobytes() -> None:
    subject = full_subject()
    alerts = subject.take_alerts()
    assert alerts
    assert alerts[-1].evidence
    state = subject.dump()
    assert len(state) <= 4096
    assert Subject.load("x", state, FULL).dump() == state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (b'{"v":99}', "format 99"),
        (b"not json", "cannot be read"),
        (b'{"v":1,"numbers":"~"}', "cannot be read"),
        (b"[]", "cannot be read"),
    ],
)
def test_a_state_that_cannot_be_read_says_so(state: bytes, said: str) -> None:
    with pytest.raises(StateError, match=said):
        Subject.load("entity:X", state, SETTINGS)


def test_a_subject_that_has_seen_nothing_can_be_dumped() -> None:
    assert json.loads(Subject("x", SETTINGS).dump()) == {"v": 1}
    assert reload(Subject("x", SETTINGS)).clock is None


def test_a_state_from_before_the_level_of_late_was_kept_is_read() -> None:
    subject = Subject("x", SETTINGS)
    watch(subject, Feed().between(0, 72, negative=4, neutral=8))
    state = json.loads(subject.dump())
    older = pack_floats(unpack_floats(state["floats"])[:-2])
    found = Subject.load("x", json.dumps(state | {"floats": older}).encode(), SETTINGS)
    assert found.clock == subject.clock
    end = int(at(72).timestamp())
    one, other = (each._history.baseline.forecast(end, end + 3600) for each in (subject, found))
    assert other.mean == pytest.approx(one.mean, rel=0.15)
    assert other.variance(1.0) == pytest.approx(one.variance(1.0), rel=0.3), "it is as sure as before"
    assert found.observe(observation(10**6, 73), BUNDLE) is Outcome.COUNTED


def test_a_row_that_was_begun_before_a_change_of_windows_is_counted_on() -> None:
    subject = Subject("x", SETTINGS)
    watch(subject, Feed().between(0, 72, negative=4, neutral=8))
    for number in range(50):
        subject.observe(observation(10**6 + number, 72.01), BUNDLE)
    rows(subject)
    changed = reload(subject, SpikeSettings(windows_seconds=(600, 3600)))
    for number in range(2):
        changed.observe(observation(10**6 + 100 + number, 72.02), BUNDLE)
    changed.advance(at(80))
    assert [row.negative for row in rows(changed) if row.start == at(72) and row.final] == [52]


def test_the_history_outlives_a_change_of_windows() -> None:
    subject = Subject("x", SETTINGS)
    events = Feed().between(0, 72, negative=4, neutral=8)
    watch(subject, events)
    changed = reload(subject, SpikeSettings(windows_seconds=(300, 1800), interval_seconds=600))
    assert changed.observe(events[-1], BUNDLE) is Outcome.REPEAT
    changed.observe(observation(10**6, 72.1), BUNDLE)
    assert [row.expected_negative for row in rows(changed)] == [pytest.approx(4 / 6, rel=0.4)]
