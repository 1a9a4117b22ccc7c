"""What an alert says, and how it lives: pending, firing, revised, resolved."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from spike_streams import (
    BUNDLE,
    MONDAY,
    ORDINARY,
    SETTINGS,
    WEEK,
    Feed,
    at,
    fired,
    observation,
    reload,
    surge,
    watch,
    watched,
)

from stream.records import AlertState, Severity
from stream.spikes.evidence import Proof
from stream.spikes.lifecycle import Finding, Lifecycle
from stream.spikes.novelty import minhash
from stream.spikes.reason import reason
from stream.spikes.settings import SpikeSettings, Threshold
from stream.spikes.subject import Subject

FINDING = Finding(
    seconds=600,
    start=0,
    negative=9,
    total=9,
    expected=1,
    expected_share=0.2,
    probability=1e-6,
    excess=0.5,
    ratio=9,
)


def test_an_alert_is_resolved_when_time_passes_quietly() -> None:
    feed, subject = watched()
    firing = fired(watch(subject, surge(feed)))[-1]
    assert subject.active
    for minute in range(6 * 60):
        subject.advance(at(WEEK + 1) + timedelta(minutes=minute))
    [resolved] = subject.take_alerts()
    assert resolved.state is AlertState.RESOLVED
    assert resolved.id == firing.id
    assert resolved.revision == firing.revision + 1
    assert resolved.resolved_at == resolved.updated_at
    assert resolved.fired_at == firing.fired_at
    assert resolved.evidence
    assert timedelta(minutes=30) <= resolved.updated_at - at(WEEK + 1) < timedelta(hours=2.5)
    subject.take_windows(closed_only=True)
    assert not subject.active


def test_a_surge_soon_after_its_end_reopens_the_same_alert() -> None:
    feed, subject = watched()
    firing = fired(watch(subject, surge(feed, hours=0.5)))[-1]
    quiet = watch(subject, feed.between(WEEK + 0.5, WEEK + 3, **ORDINARY))
    resolved = quiet[-1]
    assert resolved.state is AlertState.RESOLVED
    again = (resolved.updated_at - MONDAY) / timedelta(hours=1) + 0.5
    reopened = fired(watch(subject, surge(feed, start=max(again, WEEK + 3))))[0]
    assert reopened.id == firing.id
    assert reopened.revision > resolved.revision
    assert reopened.resolved_at is None


def test_what_lingers_after_the_end_of_a_surge_is_no_new_alert() -> None:
    cycle = Lifecycle("x", resolve_after_seconds=1800, refractory_seconds=3600)
    over, near = (replace(FINDING, excess=excess) for excess in (0.5, 5))
    assert cycle.see([over], 600)
    assert cycle.pass_time(2400)
    assert not cycle.see([near], 3000)
    assert cycle.see([over], 3600)
    assert cycle.firing
    assert cycle.life.revision == 3
    assert cycle.life.started == 0


def test_a_surge_that_comes_back_is_judged_by_itself() -> None:
    cycle = Lifecycle("x", resolve_after_seconds=1800, refractory_seconds=3600)
    cycle.see([replace(FINDING, negative=200, excess=1e-5, ratio=50)], 600)
    assert cycle.life.severity is Severity.RED
    cycle.pass_time(2400)
    cycle.see([replace(FINDING, negative=11, ratio=2.2)], 3600)
    assert (cycle.life.severity, cycle.life.peaks) == (Severity.YELLOW, {600: 11})
    assert cycle.see([replace(FINDING, negative=17, ratio=3.4)], 3700), "it has grown by half"


@pytest.mark.parametrize("seed", [0, 4, 7])
def test_ordinary_items_do_not_reopen_an_alert_while_a_window_still_holds_its_surge(seed: int) -> None:
    feed, subject = watched(days=14, seed=seed, negative=1, neutral=2)
    assert fired(watch(subject, feed.between(2 * WEEK, 2 * WEEK + 1, negative=60, neutral=2)))
    after = watch(subject, feed.between(2 * WEEK + 1, 2 * WEEK + 14, negative=1, neutral=2))
    assert [alert.state for alert in after] == [AlertState.RESOLVED]


def test_a_reopened_alert_counts_nothing_of_the_surge_before() -> None:
    feed, subject = watched(days=14, seed=4, negative=1, neutral=2)
    assert fired(watch(subject, surge(feed, start=2 * WEEK)))[-1].severity is Severity.RED
    watch(subject, feed.between(2 * WEEK + 1, 2 * WEEK + 5, negative=1, neutral=2))
    again = [observation(10**6 + number, 2 * WEEK + 5 + number / 24) for number in range(12)]
    reopened = fired(watch(subject, again))[-1]
    assert reopened.negative < 20, "six hours have more than 60"
    assert reopened.peak_negative < 20


@pytest.mark.parametrize(("seed", "within"), [(7, 2.5), (0, 2.5), (4, 5)])
def test_a_surge_is_told_while_a_window_still_holds_the_one_before_and_goes_on_as_long_as_it_lasts(
    seed: int, within: float
) -> None:
    feed, subject = watched(days=14, seed=seed, negative=1, neutral=2)
    watch(subject, feed.between(2 * WEEK, 2 * WEEK + 1, negative=60, neutral=2))
    before = watch(subject, feed.between(2 * WEEK + 1, 2 * WEEK + 4, negative=1, neutral=2))[-1]
    assert before.state is AlertState.RESOLVED
    again = watch(subject, feed.between(2 * WEEK + 4, 2 * WEEK + 12, negative=5, neutral=2))
    assert fired(again) == again != [], "it lasts to the end"
    assert again[0].updated_at - at(2 * WEEK + 4) < timedelta(hours=within)
    for alert in again:
        hours = (alert.updated_at - before.updated_at) / timedelta(hours=1)
        assert alert.negative < 8 * hours, "those of the surge before are not counted"


def test_of_a_surge_in_whose_window_another_lies_it_is_said_that_that_is_not_counted() -> None:
    feed, subject = watched(days=14, seed=0, negative=1, neutral=2)
    first = watch(subject, feed.between(2 * WEEK, 2 * WEEK + 1, negative=60, neutral=2))
    first += watch(subject, feed.between(2 * WEEK + 1, 2 * WEEK + 4, negative=1, neutral=2))
    assert not any("before" in alert.reason for alert in first)
    second = fired(watch(subject, feed.between(2 * WEEK + 4, 2 * WEEK + 12, negative=5, neutral=2)))[0]
    assert second.reason.startswith(
        f"{second.negative} negatives in 6 h, without those of the surge before, where "
    )
    assert second.expected_negative == pytest.approx(6, rel=0.5), "in the whole window"


def test_that_somebody_was_told_does_not_outlive_the_end_in_the_state_of_an_earlier_version() -> None:
    cycle = Lifecycle("x", resolve_after_seconds=1800, refractory_seconds=3600)
    cycle.see([FINDING], 600)
    cycle.pass_time(2400)
    again = Lifecycle("x", resolve_after_seconds=1800, refractory_seconds=3600)
    *earlier, _, _ = cycle.dump()
    again.load([*earlier, True])
    assert not again.life.told
    assert again.since == cycle.since == 2400


def test_a_threshold_that_is_reached_anew_reopens_its_alert_whatever_its_window_holds() -> None:
    subject = Subject("x", SpikeSettings(threshold=Threshold(negatives=3, seconds=21_600)))
    hours = [0, 2, 4, 7.5]
    alerts = watch(subject, [observation(number, hour) for number, hour in enumerate(hours)])
    assert [alert.state for alert in alerts] == [AlertState.FIRING, AlertState.RESOLVED, AlertState.FIRING]


def test_an_alert_that_begins_where_one_did_that_never_fired_goes_on_with_its_revisions() -> None:
    cycle = Lifecycle("x", resolve_after_seconds=1800, refractory_seconds=3600)
    cycle.see([replace(FINDING, excess=5)], 600)
    cycle.pass_time(2400)
    name = cycle.id
    # Late events: the window is that of before.
    assert cycle.see([FINDING], 9000)
    assert (cycle.id, cycle.life.revision) == (name, 3)
    assert cycle.life.fired == 9000


def test_a_surge_long_after_is_a_new_alert() -> None:
    feed, subject = watched()
    first = fired(watch(subject, surge(feed)))[0]
    watch(subject, feed.between(WEEK + 1, WEEK + 36, **ORDINARY))
    second = fired(watch(subject, surge(feed, start=WEEK + 36)))[0]
    assert second.id != first.id
    assert second.revision <= 2


@pytest.mark.parametrize(
    ("false_alarms_per_day", "told", "hours"),
    [(0.01, None, 24), (0.25, None, 24), (1, None, 6), (1, 3600, 1)],
)
def test_who_accepts_many_false_alarms_hears_of_a_new_one_sooner(
    false_alarms_per_day: float, told: int | None, hours: float
) -> None:
    settings = SpikeSettings(false_alarms_per_day=false_alarms_per_day, refractory_seconds=told)
    assert settings.refractory == hours * 3600


def test_revisions_are_few_and_rise_by_one() -> None:
    feed, subject = watched()
    alerts = watch(subject, surge(feed, hours=6))
    assert [alert.revision for alert in alerts] == list(range(1, len(alerts) + 1))
    assert len(alerts) <= 12
    severities = [list(Severity).index(alert.severity) for alert in alerts]
    assert severities == sorted(severities)


def test_a_mild_surge_is_yellow_and_a_glaring_one_red() -> None:
    feed, subject = watched()
    mild = fired(watch(subject, feed.between(WEEK, WEEK + 3, **{**ORDINARY, "negative": 18.0})))
    feed, subject = watched()
    glaring = fired(watch(subject, feed.between(WEEK, WEEK + 1, negative=100)))
    assert mild[-1].severity is Severity.YELLOW
    assert glaring[-1].severity is Severity.RED


@pytest.mark.parametrize(
    ("excess", "ratio", "severity"),
    [
        (0.02, 50, "yellow"),
        (0.01, 3, "orange"),
        (0.01, 2.9, "yellow"),
        (2e-4, 50, "orange"),
        (1e-4, 6, "red"),
    ],
)
def test_of_a_hundred_false_alarms_one_is_orange_and_of_ten_thousand_one_red(
    excess: float, ratio: float, severity: str
) -> None:
    """If the surge is also three or six times the usual."""
    assert replace(FINDING, excess=excess, ratio=ratio).severity.value == severity


def test_an_alert_that_never_fires_is_resolved_too() -> None:
    _, subject = watched()
    alerts = []
    for place in range(30):
        if alerts:
            break
        alerts += watch(subject, [observation(10**6 + place, WEEK + 0.02 * place)])
    for minute in range(0, 300, 10):
        subject.advance(at(WEEK + 1) + timedelta(minutes=minute))
    alerts += subject.take_alerts()
    assert [alert.state for alert in alerts] == [AlertState.PENDING, AlertState.RESOLVED]
    assert alerts[-1].fired_at is None


def test_an_alert_says_why() -> None:
    _, subject = watched()
    told = [
        observation(
            10**6 + place,
            WEEK + place / 60,
            negative=0.59 + place / 100,
            excerpt=f"Complaint {place} about the toaster",
            url=f"https://example.com/{place}",
            topics=["product", "legal-regulation"] if place % 3 else ["product"],
            signature=minhash(f"{place} {random.Random(place).random()} toaster"),
        )
        for place in range(40)
    ]
    alert = fired(watch(subject, told))[-1]
    assert alert.bundle == BUNDLE
    assert alert.subject == "entity:ACME"
    assert alert.started_at <= at(WEEK) <= alert.updated_at
    assert alert.reason.startswith(f"{alert.negative} negatives in ")
    assert "usually 2" in alert.reason
    assert alert.reason.endswith("mostly product, legal-regulation")
    assert alert.probability < 1e-4
    assert alert.negative <= alert.total
    assert alert.expected_negative < alert.negative / 1.5
    shown = [evidence.negative for evidence in alert.evidence]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == 5
    assert alert.evidence[0].url == f"https://example.com/{alert.evidence[0].excerpt.split()[1]}"


def test_evidence_is_of_the_surge_not_of_worse_days() -> None:
    _, subject = watched()
    watch(subject, [observation(10**6 + n, WEEK + 2 * n, negative=0.99) for n in range(10)])
    told = [
        observation(10**7 + n, WEEK + 20 + n / 60, negative=0.7, excerpt="Of the surge") for n in range(40)
    ]
    alert = fired(watch(subject, told))[-1]
    assert {evidence.excerpt for evidence in alert.evidence} == {"Of the surge"}


def test_evidence_goes_back_as_far_as_the_window_that_shows_the_surge() -> None:
    """On a quiet company a surge is five complaints in hours, none of them within ten minutes of the next."""
    _, subject = watched(negative=0.02, neutral=2.0)
    told = [observation(10**6 + n, WEEK + n * 0.8, negative=0.9, excerpt=f"Complaint {n}") for n in range(6)]
    alert = fired(watch(subject, told))[-1]
    assert alert.window_seconds == 6 * 3600
    assert len(alert.evidence) >= 4


def test_what_is_fresh_makes_room_for_itself_among_the_evidence() -> None:
    """From an alert's first revision on, however bad the older ones were."""
    _, subject = watched()
    watch(
        subject, [observation(10**6 + n, WEEK - 4 + n / 5, negative=0.99, excerpt="Before") for n in range(5)]
    )
    told = [observation(10**7 + n, WEEK + n / 60, negative=0.6, excerpt="Of late") for n in range(40)]
    first = watch(subject, told)[0]
    assert first.window_seconds < 4 * 3600
    assert {evidence.excerpt for evidence in first.evidence} == {"Of late"}


def test_what_came_before_the_window_that_shows_the_surge_is_no_evidence_of_it() -> None:
    _, ordinary = watched()
    roomy = SETTINGS.model_copy(update={"evidence": 10})
    subject = Subject.load("entity:ACME", ordinary.dump(), roomy)
    watch(subject, [observation(10**6, WEEK, negative=0.99, excerpt="Before")])
    told = [observation(10**7 + n, WEEK + 4 + n / 60, negative=0.6, excerpt="Of late") for n in range(40)]
    first = watch(subject, told)[0]
    assert first.window_seconds < 4 * 3600
    assert {evidence.excerpt for evidence in first.evidence} == {"Of late"}
    assert len(first.evidence) < roomy.evidence, "there was room for more"


def test_an_alert_is_seen_from_where_the_window_begins_that_shows_it_best() -> None:
    cycle = Lifecycle("x", resolve_after_seconds=1800, refractory_seconds=3600)
    short = replace(FINDING, start=30_000, excess=5)
    cycle.see([short], 30_600)
    cycle.see([replace(short, seconds=21_600, start=10_000, negative=9, excess=0.5)], 31_600)
    assert cycle.life.started == 30_000
    assert cycle.life.seen_from == 10_000


def test_evidence_shows_a_story_once() -> None:
    _, subject = watched()
    signature = minhash("The same complaint about the toaster, copied again and again")
    told = [
        observation(10**6 + n, WEEK + n / 60, signature=signature if n % 2 else None, id=f"new-{n}")
        for n in range(40)
    ]
    alert = fired(watch(subject, told))[-1]
    copies = [evidence for evidence in alert.evidence if int(evidence.id.split("-")[1]) % 2]
    assert len(copies) <= 1


def test_a_story_that_comes_back_in_a_surge_is_evidence_of_it() -> None:
    _, subject = watched()
    signature = minhash("The maker recalls its toasters after three fires in homes")
    watch(subject, [observation(10**6, WEEK, negative=0.99, signature=signature, excerpt="Told first")])
    again = observation(10**7, WEEK + 3, negative=0.9, signature=signature, excerpt="Told again")
    others = [observation(10**7 + n, WEEK + 3 + n / 60, negative=0.6) for n in range(1, 40)]
    first = watch(subject, [again, *others])[0]
    assert first.evidence[0].excerpt == "Told again"


def test_the_topic_of_a_surge_is_told_however_many_others_there_were() -> None:
    proof = Proof(5)
    for number in range(40):
        proof.add(observation(number, 0, topics=[f"other-{number % 13}"]), 0, number, fresh=0)
    for number in range(100):
        proof.add(observation(100 + number, 0, topics=["credit-risk"]), 0, 100 + number, fresh=0)
    assert next(iter(proof.topics.items())) == ("credit-risk", 100)
    assert len(proof.topics) == 8


def test_of_more_topics_than_are_kept_the_frequent_ones_stay() -> None:
    proof = Proof(5)
    for number in range(300):
        topic = "common" if number % 3 == 0 else f"rare-{number}"
        proof.add(observation(number, 0, topics=[topic]), 0, number, fresh=0)
    assert next(iter(proof.topics.items())) == ("common", 100)


def test_an_alert_and_the_trend_tell_what_was_expected_however_little_that_is() -> None:
    _, subject = watched(days=14, negative=1e-9, neutral=2)
    alert = fired(watch(subject, [observation(10**6 + n, 2 * WEEK + n / 60) for n in range(9)]))[0]
    row = subject.take_windows(closed_only=False)[-1]
    assert f" where {alert.expected_negative:.2g} were expected" in alert.reason
    assert 0 < row.expected_negative < 0.0005


def test_a_ratio_is_told_however_little_was_expected() -> None:
    told = reason(replace(FINDING, negative=5, total=5, expected=0.001, expected_share=1), {})
    assert told == "5 negatives in 10 min where 0.001 were expected (5000 ×)"


def test_the_same_surge_has_the_same_id_whoever_finds_it() -> None:
    def find(name: str) -> str:
        feed = Feed()
        subject = Subject(name, SETTINGS)
        watch(subject, feed.between(0, 24, **ORDINARY))
        return fired(watch(reload(subject), surge(feed, start=24)))[0].id

    assert find("entity:A") == find("entity:A")
    assert find("entity:A") != find("entity:B")
