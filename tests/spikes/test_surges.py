"""What alerts, and what does not."""

import random
from datetime import timedelta

import numpy as np
import pytest
from spike_streams import (
    ORDINARY,
    SETTINGS,
    WEEK,
    Feed,
    at,
    fired,
    observation,
    surge,
    watch,
    watched,
)

from bench.simulation import START, draw, firings
from stream.records import Alert, AlertState, Observation, Position, Severity
from stream.spikes.calendar import HOUR
from stream.spikes.novelty import minhash
from stream.spikes.settings import SpikeSettings, Threshold
from stream.spikes.subject import Subject
from stream.spikes.surge import Peak, find_parts


def test_a_surge_is_found_within_minutes() -> None:
    feed, subject = watched(negative=20, neutral=60)
    first = fired(watch(subject, feed.between(WEEK, WEEK + 1, negative=100, neutral=60)))[0]
    assert first.updated_at - at(WEEK) < timedelta(minutes=20)
    assert first.fired_at == first.updated_at


def test_ordinary_weeks_stay_quiet() -> None:
    watched(days=21, seed=5)


def test_a_burst_of_good_news_does_not_alert() -> None:
    feed, subject = watched()
    good_news = {**ORDINARY, "positive": 200.0}
    assert fired(watch(subject, feed.between(WEEK, WEEK + 2, **good_news))) == []


def test_a_burst_of_sheer_volume_does_not_alert() -> None:
    feed, subject = watched()
    many = {sentiment: 12 * rate for sentiment, rate in ORDINARY.items()}
    assert fired(watch(subject, feed.between(WEEK, WEEK + 2, **many))) == []


def test_a_burst_of_sheer_volume_alerts_where_volume_alone_decides() -> None:
    feed = Feed()
    settings = SpikeSettings(false_alarms_per_day=0.1, volume_only=True)
    subject = Subject("x", settings)
    watch(subject, feed.between(0, WEEK, **ORDINARY))
    many = {sentiment: 12 * rate for sentiment, rate in ORDINARY.items()}
    assert fired(watch(subject, feed.between(WEEK, WEEK + 1, **many)))


def test_a_few_negatives_are_a_surge_of_a_quiet_subject_if_nothing_else_is_said_more_often() -> None:
    def after(neutral: int) -> list[Alert]:
        """What fires when the same ten negatives come within forty minutes beside so many others."""
        _, subject = watched(days=14, seed=4, negative=1, neutral=2)
        start, spread = 2 * WEEK, 40 / 60
        times = [(start + spread * k / 10, "negative") for k in range(10)]
        times += [(start + spread * k / neutral, "neutral") for k in range(neutral)]
        events = [
            observation(10**6 + number, hours, sentiment)  # type: ignore[arg-type]
            for number, (hours, sentiment) in enumerate(sorted(times))
        ]
        return fired(watch(subject, events))

    assert after(neutral=2)
    assert not after(neutral=16)


def test_a_surge_alerts_where_nearly_everything_is_always_negative() -> None:
    feed, subject = watched(negative=5, neutral=0.2)
    assert fired(watch(subject, feed.between(WEEK, WEEK + 1, negative=40, neutral=0.2)))


def test_an_event_that_is_not_negative_does_not_hide_a_surge_where_all_always_are() -> None:
    _, subject = watched(negative=5)
    times = [WEEK + number / 80 for number in range(80)]
    events = [
        observation(10**6 + number, time, "neutral" if number == 2 else "negative")
        for number, time in enumerate(times)
    ]
    assert fired(watch(subject, events))


def test_a_new_subject_that_is_busy_from_the_start_stays_quiet() -> None:
    for seed in range(3):
        assert fired(watch(Subject("x", SETTINGS), Feed(seed).between(0, 24, negative=50))) == []


def test_a_glaring_surge_is_found_after_a_few_hours_of_history() -> None:
    feed = Feed()
    subject = Subject("x", SETTINGS)
    assert watch(subject, feed.between(0, 4, negative=0.5, neutral=2)) == []
    assert fired(watch(subject, feed.between(4, 4.17, negative=90, neutral=2)))


def test_a_first_morning_is_no_surge() -> None:
    feed = Feed()
    subject = Subject("x", SETTINGS)
    night = feed.between(20, 31, negative=2, neutral=4)
    assert fired(watch(subject, [*night, *feed.between(31, 36, negative=6, neutral=12)])) == []


def test_a_busy_hour_of_every_day_is_learned() -> None:
    feed = Feed()
    subject = Subject("x", SETTINGS)
    alerts = []
    for day in range(28):
        start = 24 * day
        for begin, end, rate in ((0, 9, 2), (9, 11, 20), (11, 24, 2)):
            events = feed.between(start + begin, start + end, negative=rate, neutral=3 * rate)
            alerts += [(day, alert) for alert in fired(watch(subject, events))]
    assert [day for day, _ in alerts if day >= 14] == []
    # The same burst at another hour is a surge.
    at_night = feed.between(28 * 24 + 2, 28 * 24 + 3, negative=30, neutral=6)
    assert fired(watch(subject, at_night))


def test_a_day_of_surge_does_not_become_the_norm() -> None:
    feed, subject = watched(days=14)
    watch(subject, surge(feed, hours=24, start=2 * WEEK))
    watch(subject, feed.between(2 * WEEK + 24, 2 * WEEK + 48, **ORDINARY))
    assert fired(watch(subject, surge(feed, start=2 * WEEK + 48)))
    rows = subject.take_windows(closed_only=True)
    assert rows[-1].expected_negative == pytest.approx(1, rel=0.5)


def test_reposts_weigh_less_but_are_counted() -> None:
    _, subject = watched()
    story = "ACME shares tumble as the regulator opens an inquiry into its toasters"
    generator = random.Random(4)
    reposts = [
        observation(
            10**6 + place,
            WEEK + place / 60,
            signature=minhash(story + generator.choice(["", "!", " (repost)", " 转发"])),
        )
        for place in range(40)
    ]
    assert fired(watch(subject, reposts)) == []
    rows = [row for row in subject.take_windows(closed_only=False) if row.start >= at(WEEK)]
    assert sum(row.negative for row in rows) == 40


def test_a_joke_that_nine_repost_is_no_surge_of_a_subject_that_is_hardly_ever_spoken_ill_of() -> None:
    def after_a_quiet_week(jokes: list[str]) -> list[Alert]:
        subject = Subject("x", SETTINGS)
        watch(subject, Feed().between(0, WEEK, negative=0.02, neutral=0.5))
        events = [
            observation(10**6 + place, WEEK + place / 60, signature=minhash(joke))
            for place, joke in enumerate(jokes)
        ]
        return fired(watch(subject, events))

    assert after_a_quiet_week(["the chief of ACME walks into a bar and shorts it"] * 9) == []
    assert after_a_quiet_week([f"{word * 20} at ACME" for word in ("fire", "loss", "suit", "flood", "theft")])


def test_silence_of_days_is_no_evidence_of_a_lower_rate() -> None:
    feed, subject = watched()
    later = WEEK + 10 * 24
    assert fired(watch(subject, feed.between(later, later + 24, **ORDINARY))) == []
    expected = subject.take_windows(closed_only=True)[-1].expected_negative
    assert expected == pytest.approx(1, rel=0.4)


def test_silence_of_days_is_the_rate_of_a_subject_that_is_seldom_met() -> None:
    subject = Subject("x", SETTINGS)
    watch(subject, [observation(n, 25.0 * n) for n in range(60)])
    subject.take_windows(closed_only=True)
    watch(subject, [observation(60, 25.0 * 60), observation(61, 25.0 * 61)])
    expected = subject.take_windows(closed_only=True)[-1].expected_negative
    assert expected == pytest.approx(1 / 100, rel=0.5)


def test_a_gap_of_years_takes_no_time() -> None:
    feed, subject = watched()
    surge_alerts = watch(subject, surge(feed))
    assert surge_alerts[-1].state is AlertState.FIRING
    [resolved] = watch(subject, [observation(10**6, WEEK + 24 * 3650, "neutral")])
    assert resolved.state is AlertState.RESOLVED
    assert resolved.updated_at - at(WEEK + 1) < timedelta(hours=2)


def test_a_surge_in_a_backlog_is_found_in_its_own_time() -> None:
    feed, subject = watched()
    later = WEEK + 3
    watch(subject, feed.between(WEEK, later, neutral=16))
    backlog = [
        observation(place, WEEK - 1 + place / 40, partition=7, excerpt="From the backlog")
        for place in range(80)
    ]
    assert fired(watch(subject, backlog))


def test_a_surge_that_is_told_hours_late_is_no_norm_either() -> None:
    def expected_after(delay: float) -> float:
        feed, subject = watched()
        burst = feed.between(WEEK, WEEK + 6, negative=60)
        quiet = feed.between(WEEK + 6, WEEK + 40, **ORDINARY)
        if delay:
            cut = [event for event in quiet if event.time < at(WEEK + 6 + delay)]
            late = [
                event.model_copy(update={"position": Position(topic="b", partition=1, offset=n)})
                for n, event in enumerate(burst)
            ]
            watch(subject, [*cut, *late, *quiet[len(cut) :]])
        else:
            watch(subject, [*burst, *quiet])
        return subject.take_windows(closed_only=True)[-1].expected_negative or 0.0

    assert expected_after(10) < 1.2 * expected_after(0)


def test_a_history_that_arrives_after_its_last_event_is_as_long_as_it_is() -> None:
    def expected_after(*parts: list[Observation]) -> float:
        subject = Subject("x", SETTINGS)
        watch(subject, [event for part in parts for event in part])
        return subject.take_windows(closed_only=True)[-1].expected_negative or 0.0

    history = [
        event.model_copy(update={"position": Position(topic="b", partition=1, offset=n)})
        for n, event in enumerate(Feed().between(0, 20, negative=10))
    ]
    first, after = [observation(0, 20.5)], Feed(2).between(21, 31, negative=10)
    after = [
        event.model_copy(update={"position": Position(topic="c", partition=1, offset=n)})
        for n, event in enumerate(after)
    ]
    assert expected_after(first, history, after) == pytest.approx(
        expected_after(history, first, after), rel=0.2
    )


def test_a_threshold_of_hours_counts_all_that_came_within_them() -> None:
    settings = SpikeSettings(threshold=Threshold(negatives=4, seconds=21_600))
    subject = Subject("x", settings)
    hours = [(0, 14, 59), (1, 56, 40), (3, 53, 20), (6, 0, 0)]
    events = [observation(n, h + m / 60 + s / 3600) for n, (h, m, s) in enumerate(hours)]
    assert len(fired(watch(subject, events))) == 1


def test_reposts_that_weigh_nothing_any_more_reach_a_threshold() -> None:
    subject = Subject("x", SpikeSettings(threshold=Threshold(negatives=10, seconds=600)))
    signature = minhash("The maker recalls its toasters after three fires in homes")
    reposts = [observation(minute, minute / 60, signature=signature) for minute in range(120)]
    assert fired(watch(subject, reposts))
    assert subject.alerted


def test_a_threshold_makes_what_the_history_says_neither_milder_nor_rarer() -> None:
    def judged(*thresholds: Threshold) -> tuple[float, list[Alert]]:
        feed, subject = Feed(1), Subject("x", SpikeSettings(threshold=thresholds, false_alarms_per_day=0.1))
        watch(subject, feed.between(0, 21 * 24, negative=1, neutral=3))
        use = subject._history.tails.use
        return use, fired(watch(subject, feed.between(21 * 24, 21 * 24 + 2, negative=12, neutral=3)))

    use, alerts = judged()
    with_threshold, more_alerts = judged(Threshold(negatives=4, seconds=3600))
    assert with_threshold == pytest.approx(use, rel=0.05)
    assert more_alerts[-1].severity is alerts[-1].severity is not Severity.YELLOW


def test_a_subject_of_which_the_gate_stops_much_is_given_more_of_its_budget() -> None:
    """In every second night everything grows alike, which by volume alone is a surge."""

    def use(*, volume_only: bool) -> float:
        feed = Feed(1)
        subject = Subject("x", SpikeSettings(volume_only=volume_only, false_alarms_per_day=0.1))
        for day in range(2, 22):
            burst = 1 + 7 * (day % 2)
            watch(subject, feed.between(24 * day, 24 * day + 4, negative=burst, neutral=3 * burst))
            watch(subject, feed.between(24 * day + 4, 24 * day + 24, negative=1, neutral=3))
        return subject._history.tails.use

    assert use(volume_only=False) < 0.7 * use(volume_only=True)


def test_a_burst_of_everything_hours_after_a_surge_does_not_reopen_it() -> None:
    """The longest window still holds the surge, which is no evidence for what came after it."""
    feed, subject = Feed(3), Subject("x", SpikeSettings(false_alarms_per_day=0.1))
    watch(subject, feed.between(0, 14 * 24, negative=3, neutral=6))
    assert fired(watch(subject, feed.between(14 * 24, 14 * 24 + 1, negative=60, neutral=6)))
    watch(subject, feed.between(14 * 24 + 1, 14 * 24 + 3, negative=3, neutral=6))
    assert fired(watch(subject, feed.between(14 * 24 + 3, 14 * 24 + 5, negative=30, neutral=60))) == []


def test_where_the_balance_of_negatives_and_others_varies_much_a_surge_must_be_clearer() -> None:
    found = []
    for taught in (0, 200):
        feed, subject = Feed(1), Subject("x", SETTINGS)
        watch(subject, feed.between(0, 14 * 24, negative=4, neutral=8))
        for _ in range(taught):
            for window in range(3):
                subject._history.others.balance.learn(window, 30.0, 30.0)
        found.append(bool(fired(watch(subject, feed.between(14 * 24, 14 * 24 + 1, negative=24, neutral=16)))))
    assert found == [True, False]


def test_the_gate_counts_and_expects_all_reposts() -> None:
    subject = Subject("x", SETTINGS)
    firings(subject, draw("reposts", np.random.default_rng(1), 5, 21 * 24).observations())
    history = subject._history
    whole = history.window(6 * HOUR, history.now)
    assert whole is not None
    explanation = history.explain(whole, in_alert=False)
    peak = Peak(2, 6 * HOUR, whole, whole, explanation, 0.0, 0.0, 0, in_alert=False)
    parts = find_parts([peak], history, SETTINGS)
    assert parts[-1].negative == whole.negative
    assert parts[-1].expected_negative == pytest.approx(30, rel=0.3)
    assert parts[-1].expected_others == pytest.approx(60, rel=0.3)
    assert explanation.forecast.mean < 15


def test_a_window_of_a_day_is_judged_right_after_another_surge() -> None:
    """What came since the other is judged with less history than the whole window had."""
    settings = SpikeSettings(
        windows_seconds=(600, 86_400),
        interval_seconds=1800,
        resolve_after_seconds=600,
        false_alarms_per_day=0.1,
    )
    feed, subject = Feed(1), Subject("x", settings)
    watch(subject, feed.between(0, 60, negative=4, neutral=8))
    assert fired(watch(subject, feed.between(60, 60.2, negative=200, neutral=8)))
    watch(subject, feed.between(60.2, 64, negative=4, neutral=8))
    watch(subject, feed.between(64, 100, negative=16, neutral=8))


def test_equal_surges_a_week_apart_are_all_told() -> None:
    feed, subject = Feed(2), Subject("x", SETTINGS)
    watch(subject, feed.between(0, 3 * WEEK, negative=3, neutral=3))
    found = []
    for week in range(3, 11):
        begin = week * WEEK + 10
        watch(subject, feed.between(week * WEEK, begin, negative=3, neutral=3))
        found.append(bool(fired(watch(subject, feed.between(begin, begin + 3, negative=21, neutral=3)))))
        watch(subject, feed.between(begin + 3, (week + 1) * WEEK, negative=3, neutral=3))
    assert found == [True] * 8


def test_the_level_does_not_move_with_the_days_of_the_week() -> None:
    """Ten times as much by day as by night, and at weekends a third, as always."""
    subject, moved = Subject("x", SETTINGS), []
    events = draw("seasonal", np.random.default_rng(4), 10, 4 * WEEK)
    for event in events.observations():
        subject.observe(event, "simulated")
        day = (event.time.timestamp() - START) / 86_400
        if day > 14 + len(moved):
            now = subject._history.now
            moved.append(subject._history.baseline.forecast(now, now + HOUR).moved)
    by_day = np.array(moved[:14]).reshape(2, 7).mean(axis=0)
    assert by_day.max() - by_day.min() < 0.04
