"""Subjects of a partition: loaded from their states, changed, given back."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from spike_streams import recorded

from stream.labels import Sentiment
from stream.records import AlertState, Observation, Observations, Window
from stream.rules import QuietHours, Rule, Rules
from stream.spikes.settings import SpikeSettings, Threshold
from stream.spikes.subject import Outcome
from stream.watch.keeper import Change, Partition

START = datetime(2026, 3, 2, tzinfo=UTC)
SETTINGS = SpikeSettings()


def record(subject: str, first: int, times: list[datetime], sentiment: Sentiment = "neutral") -> Observations:
    return recorded(subject, [(time, sentiment) for time in times], first=first)


def newest(changes: list[Change]) -> dict[str, Window]:
    return {row.key: row for change in changes for row in change.windows}


def total(changes: list[Change]) -> int:
    return sum(row.negative + row.neutral + row.positive for row in newest(changes).values())


def heir_of(
    partition: Partition, subject: str = "entity:X", rules: Rules | None = None, time: datetime | None = None
) -> Partition:
    """A new owner of the partition, which reads the subject's state."""
    return Partition({subject: partition.state(subject) or b""}, SETTINGS, rules, time=time)


def test_a_repeat_is_told_apart_and_counted_once() -> None:
    partition = Partition({}, SETTINGS)
    batch = record("all", 0, [START, START + timedelta(seconds=5)])
    first, again = partition.apply(batch), partition.apply(batch)
    assert [outcome for _, outcome in first.outcomes] == [Outcome.COUNTED] * 2
    assert [outcome for _, outcome in again.outcomes] == [Outcome.REPEAT] * 2
    later = list(partition.pass_time(START + timedelta(seconds=10)))
    assert total([first, again, *later]) == 2


def test_a_new_owner_goes_on_where_the_old_one_stopped() -> None:
    old = Partition({}, SETTINGS)
    old.apply(record("all", 0, [START]))
    new = heir_of(old, "all")
    assert [outcome for _, outcome in new.apply(record("all", 0, [START])).outcomes] == [Outcome.REPEAT]
    assert [outcome for _, outcome in new.apply(record("all", 1, [START])).outcomes] == [Outcome.COUNTED]


def test_a_row_that_the_old_owner_did_not_publish_is_published_by_the_new_one() -> None:
    old = Partition({}, SETTINGS)
    assert old.apply(record("all", 0, [START])).windows == []
    rows = newest(list(heir_of(old, "all").pass_time(START + timedelta(hours=3))))
    assert [(row.neutral, row.final) for row in rows.values()] == [(1, True)]


def test_subjects_without_anything_pending_cost_nothing_as_time_passes() -> None:
    partition = Partition({}, SETTINGS)
    partition.apply(record("all", 0, [START]))
    assert list(partition.pass_time(START + timedelta(hours=3)))
    assert not list(partition.pass_time(START + timedelta(hours=4)))


def test_a_quiet_subjects_alert_is_resolved_as_time_passes() -> None:
    partition = Partition({}, SETTINGS)
    hours = [START + timedelta(hours=number / 2) for number in range(96)]
    offset = len(hours)
    partition.apply(record("entity:X", 0, hours))
    surge = [hours[-1] + timedelta(minutes=10, seconds=10 * number) for number in range(40)]
    alerts = partition.apply(record("entity:X", offset, surge, "negative")).alerts
    assert alerts[-1].state is AlertState.FIRING
    assert [(alert.subject, alert.severity) for alert in partition.firing()] == [
        ("entity:X", alerts[-1].severity)
    ]
    changes = list(partition.pass_time(surge[-1] + timedelta(days=1)))
    assert changes[0].alerts[-1].state is AlertState.RESOLVED
    assert changes[0].alerts[-1].id == alerts[-1].id
    assert not list(partition.firing())


def test_no_row_is_lost_when_one_record_spans_weeks() -> None:
    partition = Partition({}, SETTINGS)
    days = [START + timedelta(days=number) for number in range(60)]
    changes = [partition.apply(record("all", 0, days)), *partition.pass_time(days[-1] + timedelta(days=2))]
    assert total(changes) == 60


def test_a_subject_with_nothing_left_to_tell_rests_until_its_next_event() -> None:
    partition = Partition({}, SETTINGS)
    partition.apply(record("all", 0, [START]))
    assert partition.awake == 1, "its row is not closed"
    list(partition.pass_time(START + timedelta(hours=3)))
    assert (partition.awake, len(partition)) == (0, 1)
    assert partition.state("all") is not None
    partition.apply(record("all", 1, [START + timedelta(hours=3)]))
    assert (partition.awake, len(partition)) == (1, 1)
    heir = heir_of(partition, "all", time=START + timedelta(hours=9))
    assert heir.awake == 1, "it has a row to tell"
    list(heir.pass_time(START + timedelta(hours=9)))
    assert heir_of(heir, "all").awake == 0


@pytest.mark.parametrize("seed", range(5))
def test_who_rested_in_between_tells_the_same_as_who_never_did(seed: int) -> None:
    draw = random.Random(seed)
    resting, awake = Partition({}, SETTINGS), Partition({}, SETTINGS, rests=False)
    told: list[list[Change]] = [[], []]
    rests, time, offset = 0, START, 0
    for burst in range(60):
        time += timedelta(minutes=draw.choice([1, 20, 90, 600]))
        surge = burst == 50
        sentiment = "negative" if surge or draw.random() < 0.2 else "neutral"
        size = 60 if surge else draw.randint(1, 3)
        batch = record("all", offset, [time + timedelta(seconds=each) for each in range(size)], sentiment)
        offset += size
        tick = time + timedelta(minutes=draw.choice([2, 30, 80]))
        for changes, partition in zip(told, (resting, awake), strict=True):
            changes.extend([partition.apply(batch), *partition.pass_time(tick)])
        rests += resting.awake == 0
    assert rests > 5
    one, other = ([(each.alerts, each.windows) for each in changes] for changes in told)
    assert one == other
    assert resting.state("all") == awake.state("all")
    assert any(alerts for alerts, _ in one)


def asleep(end: str) -> Rules:
    """A desk that is told nothing of the day before `end`."""
    hours = QuietHours.model_validate({"from": "00:00", "to": end})
    return Rules([Rule(name="desk", quiet_hours=hours)])


SURGE = START + timedelta(hours=48)


def surging(partition: Partition) -> Change:
    """A surge at midnight, two days after the partition's first event."""
    partition.apply(record("entity:X", 0, [START + timedelta(hours=number / 2) for number in range(96)]))
    return partition.apply(
        record("entity:X", 96, [SURGE + timedelta(seconds=10 * number) for number in range(40)], "negative")
    )


def test_an_alert_that_still_fires_when_quiet_hours_end_is_told_then() -> None:
    partition = Partition({}, SETTINGS, asleep("00:20"))
    muted = surging(partition).alerts[-1]
    assert (muted.state, muted.muted) == (AlertState.FIRING, "desk: quiet hours")
    early = list(partition.pass_time(SURGE + timedelta(minutes=15)))
    assert not [alert for change in early for alert in change.alerts]
    [told] = [a for change in partition.pass_time(SURGE + timedelta(minutes=21)) for a in change.alerts]
    assert (told.id, told.state, told.muted) == (muted.id, AlertState.FIRING, None)
    assert told.revision == muted.revision + 1
    later = list(partition.pass_time(SURGE + timedelta(minutes=22)))
    assert not [alert for change in later for alert in change.alerts], "once"


def test_it_is_told_by_a_new_owner_too_and_when_an_event_and_no_tick_ends_the_quiet_hours() -> None:
    partition = Partition({}, SETTINGS, asleep("00:20"))
    change = surging(partition)
    heir = heir_of(partition, rules=asleep("00:20"))
    [told] = heir.apply(record("entity:X", 200, [SURGE + timedelta(minutes=21)])).alerts
    assert (told.muted, told.revision) == (None, change.alerts[-1].revision + 1)


def test_it_is_told_by_a_new_owner_whose_time_is_past_the_quiet_hours_though_the_subjects_is_not() -> None:
    now = SURGE + timedelta(minutes=25)
    partition = Partition({}, SETTINGS, asleep("00:20"))
    change = surging(partition)
    assert change.alerts[-1].muted
    heir = heir_of(partition, rules=asleep("00:20"), time=now)
    [told] = [a for change in heir.pass_time(now + timedelta(seconds=5)) for a in change.alerts]
    assert (told.state, told.muted) == (AlertState.FIRING, None)
    assert told.revision == change.alerts[-1].revision + 1


def test_an_alert_that_is_over_before_quiet_hours_end_is_not_told() -> None:
    partition = Partition({}, SETTINGS, asleep("23:00"))
    surging(partition)
    alerts = [a for change in partition.pass_time(SURGE + timedelta(hours=23)) for a in change.alerts]
    assert [alert.state for alert in alerts] == [AlertState.RESOLVED]


def test_who_was_told_of_an_alert_is_told_of_its_end_in_quiet_hours_too() -> None:
    hours = QuietHours.model_validate({"from": "00:20", "to": "12:00"})
    partition = Partition({}, SETTINGS, Rules([Rule(name="desk", quiet_hours=hours)]))
    change = surging(partition)
    assert (change.alerts[-1].state, change.alerts[-1].muted) == (AlertState.FIRING, None)
    heir = heir_of(partition, rules=Rules([Rule(name="desk", quiet_hours=hours)]))
    for each in (partition, heir):
        alerts = [a for change in each.pass_time(SURGE + timedelta(hours=4)) for a in change.alerts]
        assert [(alert.state, alert.muted) for alert in alerts] == [(AlertState.RESOLVED, None)]


def test_who_was_told_hears_of_the_end_though_the_same_record_reopens_the_alert_while_they_sleep() -> None:
    hours = QuietHours.model_validate({"from": "00:20", "to": "12:00"})
    partition = Partition({}, SETTINGS, Rules([Rule(name="desk", quiet_hours=hours)]))
    assert surging(partition).alerts[-1].muted is None
    again = [SURGE + timedelta(hours=4, seconds=10 * number) for number in range(40)]
    resolved, reopened, *_ = partition.apply(record("entity:X", 200, again, "negative")).alerts
    assert (resolved.state, resolved.muted) == (AlertState.RESOLVED, None)
    assert (reopened.state, reopened.muted) == (AlertState.FIRING, "desk: quiet hours")
    [end] = [a for change in partition.pass_time(SURGE + timedelta(hours=9)) for a in change.alerts]
    assert (end.state, end.muted) == (AlertState.RESOLVED, "desk: quiet hours"), "nobody heard of the second"


@pytest.mark.parametrize("seed", range(4))
def test_when_an_alert_ends_does_not_hang_on_how_often_time_is_told(seed: int) -> None:
    draw = random.Random(seed)
    surged = Partition({}, SETTINGS)
    surging(surged)
    after = [SURGE + timedelta(minutes=draw.uniform(7, 90)) for _ in range(12)]
    batch = record("entity:X", 200, sorted(after), "negative")
    ends = []
    for ticks in ([], [10, 40, 41, 100, 150], [*range(7, 500)]):
        partition = heir_of(surged)
        steps: list[tuple[datetime, Observation | None]] = [(one.time, one) for one in batch.observations]
        steps += [(SURGE + timedelta(minutes=minute), None) for minute in [*ticks, 540]]
        changes = []
        for time, one in sorted(steps, key=lambda step: step[0]):
            if one is None:
                changes += partition.pass_time(time)
            else:
                changes.append(partition.apply(batch.model_copy(update={"observations": [one]})))
        resolved = [a for change in changes for a in change.alerts if a.state is AlertState.RESOLVED]
        ends.append([(alert.id, alert.resolved_at) for alert in resolved])
    assert ends[0]
    assert ends[0] == ends[1] == ends[2]


def test_it_is_told_when_one_record_crosses_the_end_of_the_quiet_hours() -> None:
    partition = Partition({}, SETTINGS, asleep("00:05"))
    partition.apply(record("entity:X", 0, [START + timedelta(hours=number / 2) for number in range(96)]))
    times = [SURGE + timedelta(seconds=5 * number) for number in range(50)] + [SURGE + timedelta(minutes=6)]
    alerts = partition.apply(record("entity:X", 96, times, "negative")).alerts
    assert alerts[0].muted
    assert (alerts[-1].state, alerts[-1].muted) == (AlertState.FIRING, None)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lag", [20, 60, 90, 200])
def test_an_alert_of_a_subject_that_a_late_event_woke_has_the_same_id_for_the_new_owner(
    lag: int, *, known: bool
) -> None:
    rules = None if known else Rules([Rule(name="desk", threshold=Threshold(negatives=20, seconds=600))])
    owner = Partition({}, SETTINGS, rules)
    if known:
        history = [START + timedelta(hours=number / 2) for number in range(96)]
        owner.apply(record("entity:X", 0, history))
    tick = SURGE + timedelta(minutes=10)
    for time in (SURGE - timedelta(minutes=1), SURGE, tick):
        list(owner.pass_time(time))
    assert owner.awake == 0
    late = tick - timedelta(seconds=lag)
    owner.apply(record("entity:X", 96, [late], "negative"))
    heir = heir_of(owner, rules=rules, time=tick)
    surge = record("entity:X", 97, [late - timedelta(seconds=n) for n in range(40)], "negative")
    told, again = owner.apply(surge).alerts, heir.apply(surge).alerts
    assert told
    assert told == again


def test_an_alert_that_was_told_and_not_saved_has_the_same_id_for_the_new_owner() -> None:
    times = [START + timedelta(minutes=5 * number) for number in range(864)]
    before = Partition({}, SETTINGS)
    before.apply(record("all", 0, times))
    learned = before.state("all") or b""
    found = []
    for seed in range(20):
        draw = random.Random(seed)
        state, tick, number = learned, times[-1] + timedelta(minutes=20), len(times)
        partition = Partition({"all": state}, SETTINGS)
        while True:
            # Ticks that leave nothing to tell are not saved, but for the last one's time.
            for _ in range(draw.randint(1, 24)):
                tick += timedelta(seconds=5)
                if list(partition.pass_time(tick)):
                    state = partition.state("all") or b""
            late = record("all", number, [tick - timedelta(seconds=draw.uniform(0, 600))], "negative")
            successor = Partition({"all": state}, SETTINGS, time=tick)
            change = partition.apply(late)
            if change.alerts:
                found.append(successor.apply(late).alerts[0].id == change.alerts[0].id)
                break
            state, number = partition.state("all") or b"", number + 1
    assert found == [True] * 20
