"""The watch stage: in which order it publishes and saves, what it counts, and that what hangs ends the process."""

import asyncio
import random
from datetime import datetime, time, timedelta
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from watch_scene import (
    ELSEWHERE,
    MIDNIGHT,
    PLACE,
    SETTINGS,
    SUBJECT,
    Broker,
    ConsumerOutOfReach,
    Failing,
    FakeConsumer,
    FakeLog,
    LogOutOfReach,
    Moving,
    Scene,
    TakenOver,
    observed,
    stage_on,
    surge,
)

from stream.kafka import StallError
from stream.labels import Sentiment
from stream.records import Alert, Observations, Tick
from stream.rules import QuietHours, Rule
from stream.spikes.settings import Threshold
from stream.spikes.subject import Subject
from stream.watch.cursor import cursor_key
from stream.watch.log import TakenOverError
from stream.watch.stage import (
    BATCH_OBSERVATIONS,
    BATCH_RECORDS,
    EXPLAIN_SECONDS,
    HURRIED_EXPLAIN_SECONDS,
    WatchStage,
)
from stream.watch.tally import surge_ratio


async def guard(waiting: int, *, hang: bool = False, lost: bool = False) -> None:
    """Let the stage's two tasks go on until one fails, for at most longer than the limit."""
    stage = stage_on(FakeLog(waiting))
    stage._freeze.start()
    if lost:
        stage._owned.lose(TakenOverError("another worker has taken over"))
    if hang:
        await stage._in_hand.acquire()
    tasks = [cast("Any", task).fun(stage) for task in (WatchStage._look_for_work, WatchStage._watch_progress)]
    async with asyncio.timeout(1.6 * SETTINGS.watch.stall_seconds):
        await asyncio.gather(*tasks)


def test_a_record_in_hand_that_is_never_done_is_a_stall() -> None:
    with pytest.raises(StallError, match="none was handled for 1 s"):
        asyncio.run(guard(0, hang=True))


def test_records_that_wait_and_never_come_are_a_stall() -> None:
    with pytest.raises(StallError, match="none was handled for 1 s"):
        asyncio.run(guard(7))


def test_to_have_nothing_to_do_is_no_stall() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(guard(0))


def test_records_that_wait_while_the_partitions_rest_are_no_stall() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(guard(7, lost=True))


def test_a_broker_that_is_gone_while_a_log_is_read_is_waited_for() -> None:
    message = cast("Any", SimpleNamespace(tp=PLACE, partition=0, offset=0, value=b""))
    stage = stage_on(LogOutOfReach())
    asyncio.run(stage._take(PLACE, [message], hurried=False))
    assert list(stage._owned) == []


def test_a_state_is_saved_once_all_that_it_remembers_is_confirmed() -> None:
    scene = Scene()
    asyncio.run(scene.handle(surge()))
    *before, last = scene.broker.events
    sent = [topic for event, topic in before if event == "sent"]
    assert set(sent) == {SETTINGS.topics.alerts, SETTINGS.topics.windows}
    assert sorted(topic for event, topic in before if event == "confirmed") == sorted(sent)
    assert last == ("saved", SETTINGS.topics.states)


def test_records_that_wait_together_are_saved_once_when_all_that_became_of_them_is_confirmed() -> None:
    scene = Scene()
    other = observed("entity:Y", (MIDNIGHT, "neutral"), first=900)
    again = observed("entity:Y", (MIDNIGHT + timedelta(hours=3), "neutral"), first=901)
    asyncio.run(scene.take_together(surge(), other, Tick(tick=MIDNIGHT), again))
    *before, saved = scene.broker.events
    sent = [topic for event, topic in before if event == "sent"]
    assert sorted(topic for event, topic in before if event == "confirmed") == sorted(sent)
    assert saved == ("saved", SETTINGS.topics.states)
    rows = scene.broker.rows
    assert Subject.load("entity:Y", rows[b"entity:Y"], SETTINGS.spikes).clock == MIDNIGHT + timedelta(hours=3)
    assert rows[cursor_key(PLACE.partition)].startswith(b"4 ")
    assert scene.value("observations_total", outcome="counted") == 137


class Hurried:
    """An explainer that remembers how long it was given."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def explained(self, alert: Alert, *, until: float) -> Alert:
        self.seconds.append(until - monotonic())
        return alert


def test_words_are_looked_for_a_shorter_time_while_a_full_batch_waits() -> None:
    async def run(records: int) -> float:
        scene, explainer = Scene(), Hurried()
        scene.explain_by(explainer)
        await scene.read(surge(), *(Tick(tick=MIDNIGHT) for _ in range(records - 1)))
        return max(explainer.seconds)

    assert asyncio.run(run(BATCH_RECORDS - 1)) == pytest.approx(EXPLAIN_SECONDS, abs=0.1)
    assert asyncio.run(run(BATCH_RECORDS)) == pytest.approx(HURRIED_EXPLAIN_SECONDS, abs=0.1)


def test_words_are_looked_for_the_newest_revision_of_an_alert_alone() -> None:
    scene, explainer = Scene(), Hurried()
    scene.explain_by(explainer)
    ago = timedelta(minutes=9)
    grown = observed(SUBJECT, *[(MIDNIGHT - ago, "negative")] * 200, first=500)
    asyncio.run(scene.take_together(surge(), grown))
    assert len(scene.broker.alerts) > 1
    assert len(explainer.seconds) == 1


def test_a_record_is_acknowledged_once_it_is_saved() -> None:
    scene = Scene()
    records = [
        observed(SUBJECT, (MIDNIGHT + timedelta(hours=hour), "neutral"), first=hour) for hour in range(5)
    ]
    asyncio.run(scene.read(*records, elsewhere=observed("entity:Z", (MIDNIGHT, "negative"), first=99)))
    told = [event for event in scene.broker.events if event[0] in ("saved", "acknowledged")]
    saved = ("saved", SETTINGS.topics.states)
    own = [("acknowledged", f"{PLACE.partition}/{offset}") for offset in range(5)]
    assert told == [saved, *own, saved, ("acknowledged", f"{ELSEWHERE.partition}/0")]
    assert {cursor_key(PLACE.partition), cursor_key(ELSEWHERE.partition)} <= scene.broker.rows.keys()


def test_a_record_that_is_dropped_is_acknowledged_too_or_no_later_one_would_be_committed() -> None:
    scene = Scene(broker=TakenOver())
    asyncio.run(scene.read(surge(), Tick(tick=MIDNIGHT)))
    assert scene.acknowledged == [f"{PLACE.partition}/{offset}" for offset in range(2)]
    assert scene.broker.rows == {}


def test_what_waits_when_partitions_move_is_read_again() -> None:
    assert asyncio.run(Scene().wait(surge(), surge())) == 0


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KafkaConnectionError()], ids=["cancelled", "broker"]
)
def test_what_goes_wrong_once_subjects_know_of_a_record_ends_the_process(error: BaseException) -> None:
    """They are ahead of their log, and what they told may not be out: another starts from the log."""
    scene = Scene(broker=Failing(error))
    with pytest.raises((RuntimeError, KafkaConnectionError)):
        asyncio.run(scene.read(surge()))
    assert scene.acknowledged == []


def full_record(hour: int) -> Observations:
    """A record of as many observations as a batch may have."""
    events: list[tuple[datetime, Sentiment]] = [(MIDNIGHT + timedelta(hours=hour), "neutral")]
    return observed(SUBJECT, *events * BATCH_OBSERVATIONS, first=hour * BATCH_OBSERVATIONS)


def test_records_of_many_observations_are_saved_before_all_that_wait_are_handled() -> None:
    scene = Scene()
    asyncio.run(scene.take_together(full_record(0), full_record(1)))
    assert [event for event, _ in scene.broker.events].count("saved") == 2
    assert scene.value("observations_total", outcome="counted") == 2 * BATCH_OBSERVATIONS


def test_what_waits_behind_a_batch_while_partitions_move_is_left_to_the_next_owner() -> None:
    scene = Scene(broker=(moving := Moving()))
    moving.stage = scene._stage
    asyncio.run(scene.take_together(full_record(0), full_record(1)))
    assert scene.broker.rows[cursor_key(PLACE.partition)] == b"1"
    assert scene.value("observations_total", outcome="counted") == BATCH_OBSERVATIONS


def test_what_was_handled_before_the_broker_went_away_is_saved() -> None:
    scene = Scene()
    record, behind_a_gap = (
        observed(SUBJECT, (MIDNIGHT, "neutral")),
        observed(SUBJECT, (MIDNIGHT, "neutral"), first=1),
    )
    asyncio.run(scene.take_together(record, behind_a_gap, consumer=ConsumerOutOfReach()))
    assert scene.broker.rows[cursor_key(PLACE.partition)] == b"1"
    assert scene.value("observations_total", outcome="counted") == 1


def test_observations_are_counted_by_what_became_of_them() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        await scene.handle(surge())

    scene = Scene()
    asyncio.run(run(scene))
    assert scene.value("observations_total", outcome="counted") == 135
    assert scene.value("observations_total", outcome="repeat") == 135
    assert scene.value("observations_total", outcome="late") == 0
    assert scene.value("subject_events_total", subject=SUBJECT, sentiment="negative") == 40


def test_an_alert_that_fires_is_shown_until_it_is_over() -> None:
    async def run(scene: Scene) -> None:
        assert scene.firing == 0
        await scene.handle(surge())
        await scene.glance()
        assert scene.firing == 1
        assert (scene.ratio or 0) > 1
        await scene.handle(Tick(tick=MIDNIGHT + timedelta(days=1)))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (0, 0)

    asyncio.run(run(Scene()))


def test_all_alerts_are_looked_at_every_other_second_and_not_with_each_record() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        assert scene.firing == 0
        await scene.glance()
        assert scene.firing == 1

    asyncio.run(run(Scene()))


def test_an_alert_of_a_subject_without_history_is_shown_as_no_multiple_of_what_is_usual() -> None:
    async def run(scene: Scene) -> None:
        negatives: list[tuple[datetime, Sentiment]] = [(MIDNIGHT, "negative")] * 30
        await scene.handle(observed(SUBJECT, *negatives))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (1, 1)

    threshold = Threshold(negatives=5, seconds=600)
    asyncio.run(run(Scene(Rule(name="desk", threshold=threshold))))


@pytest.mark.parametrize(("expected", "ratio"), [(4.0, 2.25), (0.09, 100.0)])
def test_the_ratio_of_a_surge_is_that_to_what_was_expected_however_little_that_is(
    expected: float, ratio: float
) -> None:
    alert: Any = SimpleNamespace(negative=9, expected_negative=expected)
    assert surge_ratio(alert) == pytest.approx(ratio)


def test_an_alert_that_fires_is_shown_again_after_a_rebalance() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        await scene.glance()
        before = scene.ratio
        await scene.rebalance()
        await scene.glance()
        assert (scene.firing, scene.ratio) == (0, None)
        await scene.handle(Tick(tick=MIDNIGHT - timedelta(minutes=9)))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (1, before)

    asyncio.run(run(Scene()))


def test_an_alert_is_not_shown_from_when_quiet_hours_begin() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        await scene.glance()
        assert (scene.ratio or 0) > 1
        await scene.handle(Tick(tick=MIDNIGHT - timedelta(minutes=5)))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (0, 0)

    night = QuietHours(start=time(23, 55), end=time(7))
    asyncio.run(run(Scene(Rule(name="night", quiet_hours=night))))


def test_of_a_backlog_of_ticks_few_are_heeded_and_not_each_of_these_is_saved() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(observed(SUBJECT, (MIDNIGHT, "neutral")))
        heeded = set()
        for number in range(250):
            await scene.handle(Tick(tick=MIDNIGHT + timedelta(seconds=number)))
            heeded.add((await scene.owned()).cursor.time)
        assert len(heeded) == 50
        assert scene.broker.events.count(("saved", SETTINGS.topics.states)) < 25

    asyncio.run(run(Scene()))


def test_a_surge_whose_alert_was_sent_and_not_saved_has_the_same_id_for_the_new_owner() -> None:
    times: list[tuple[datetime, Sentiment]] = [
        (MIDNIGHT + timedelta(minutes=5 * number), "neutral") for number in range(864)
    ]
    learned = Scene(broker=Broker(moment=0))

    async def ids(seed: int) -> list[str]:
        """The alert's id for an owner that dies before it is saved, and for the one after it."""
        draw = random.Random(seed)
        owner, records = Scene(broker=Broker(dict(learned.broker.rows), moment=0)), [*history]
        owner.handled = len(records)
        tick = times[-1][0] + timedelta(minutes=20)
        while not owner.broker.alerts:
            number = len(records)
            for _ in range(draw.randint(1, 24)):
                tick += timedelta(seconds=5)
                # Another worker tells the time, too.
                records += [Tick(tick=tick), Tick(tick=tick + timedelta(seconds=draw.uniform(0, 0.8)))]
            late = tick - timedelta(seconds=draw.uniform(0, 600))
            records.append(observed(SUBJECT, (late, "negative"), first=len(times) + number))
            for record in records[number:]:
                rows = dict(owner.broker.rows)
                await owner.handle(record, saved=draw.random() < 0.5)
        heir = Scene(broker=Broker(rows, moment=0))
        heir.handled = (await heir.owned()).cursor.following
        for record in records[heir.handled :]:
            await heir.handle(record)
        return [scene.broker.alerts[0].id for scene in (owner, heir)]

    history = [observed(SUBJECT, *times)]
    asyncio.run(learned.handle(history[0]))
    for seed in range(20):
        first, second = asyncio.run(ids(seed))
        assert first == second


@pytest.mark.parametrize(("read_before", "lost"), [(7, 18), (0, 0)])
def test_records_that_retention_deleted_are_passed_over_and_counted_where_there_were_any(
    read_before: int, lost: int
) -> None:
    scene = Scene(broker=Broker({cursor_key(PLACE.partition): b"%d" % read_before}))
    scene.handled = 25
    asyncio.run(scene.take(Tick(tick=MIDNIGHT), FakeConsumer(beginning=25)))
    assert scene.broker.rows[cursor_key(PLACE.partition)].startswith(b"26 ")
    assert scene.value("observed_expired_total") == lost


def test_to_the_first_record_that_retention_has_left_the_reader_goes_back() -> None:
    scene, consumer = Scene(broker=Broker({cursor_key(PLACE.partition): b"7"})), FakeConsumer(beginning=20)
    scene.handled = 25
    asyncio.run(scene.take(Tick(tick=MIDNIGHT), consumer))
    assert consumer.sent_to == [20]
    assert scene.broker.rows == {cursor_key(PLACE.partition): b"7"}
    assert scene.value("observed_expired_total") == 13


def test_the_newest_event_is_one_that_was_counted_whatever_ticks_tell() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(Tick(tick=MIDNIGHT))
        assert scene.value("stream_time_seconds") == 0
        await scene.handle(observed("all", (MIDNIGHT, "neutral")))
        assert scene.value("stream_time_seconds") == MIDNIGHT.timestamp()
        await scene.handle(Tick(tick=MIDNIGHT + timedelta(hours=3)))
        assert scene.value("stream_time_seconds") == MIDNIGHT.timestamp()
        await scene.handle(observed("all", (MIDNIGHT + timedelta(hours=4), "neutral"), first=1))
        newest = (MIDNIGHT + timedelta(hours=4)).timestamp()
        assert scene.value("stream_time_seconds") == newest
        late = observed("all", (MIDNIGHT - timedelta(days=9), "neutral"), first=2)
        await scene.handle(late)
        await scene.handle(observed(SUBJECT, (MIDNIGHT, "neutral")))
        assert scene.value("stream_time_seconds") == newest

    asyncio.run(run(Scene()))
