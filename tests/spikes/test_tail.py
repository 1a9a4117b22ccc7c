"""A subject whose counts jump further than the theory says is judged by its own jumps."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.spikes.calendar import DAY, HOUR
from stream.spikes.tail import OVER_LEVEL, Tails

BUDGET = 0.03
WINDOWS = (600, 3600, 21600)
ALLOWED = BUDGET / len(WINDOWS)
"""Alarms a day of each window."""


def tails() -> Tails:
    return Tails(WINDOWS, BUDGET)


def live(subject: Tails, days: int, stretch: float, seed: int = 1, window: int = 0) -> float:
    """Peaks as often as in theory, but `stretch` times as far; returns alarms over the budget."""
    generator = random.Random(seed)
    fired = 0
    for hour in range(24 * days):
        subject.age(HOUR, watched=HOUR)
        if generator.random() < subject.level / 24:
            alarms = subject.level * math.exp(-stretch * generator.expovariate(1))
            fired += subject.share(window, alarms) <= 1
            subject.learn(window, alarms, 2 * hour * HOUR)
    return fired / (ALLOWED * days)


def test_without_history_the_theory_is_believed() -> None:
    subject = tails()
    assert subject.share(0, subject.level) == pytest.approx(OVER_LEVEL)
    # A little more, since the theory might be wrong.
    assert 1 < subject.share(0, ALLOWED) < 1.5


def test_the_rarer_a_count_in_theory_the_smaller_its_share() -> None:
    subject = tails()
    shares = [subject.share(0, subject.level / 10**step) for step in range(12)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(("stretch", "most"), [(1, 1.2), (2, 2.5), (4, 4)])
def test_a_subject_keeps_near_its_budget_however_far_it_jumps(stretch: float, most: float) -> None:
    """By theory alone it would alert 3.2 and 5.6 times as often as allowed where it jumps twice and four times
    as far."""
    subject = Tails(WINDOWS, 0.3)
    live(subject, 60, stretch)
    assert 0.5 < live(subject, 10_000, stretch, seed=2) / 10 < most


def test_one_scandal_does_not_hide_the_next() -> None:
    subject = tails()
    before = subject.share(0, ALLOWED / 100)
    subject.learn(0, 1e-300, 0)
    assert subject.share(0, ALLOWED / 100) < 3 * before < 1


def test_equal_scandals_a_week_apart_do_not_hide_the_tenth() -> None:
    subject = tails()
    for week in range(10):
        subject.age(7 * DAY, watched=7 * DAY)
        # It grows from what is hardly a peak to what would be met once in ten thousand years.
        for minute in range(60):
            subject.learn(0, subject.level * math.exp(-minute / 4), week * 7 * DAY + 60 * minute)
    assert subject.share(0, subject.level * math.exp(-10)) < 1


def test_what_a_peak_taught_before_it_fired_is_taken_back() -> None:
    at_once, slowly = tails(), tails()
    for subject in (at_once, slowly):
        live(subject, 100, 4)
    far = at_once.level * math.exp(-50)
    at_once.learn(0, far, 1000 * DAY)
    for step in range(200):
        slowly.learn(0, slowly.level * math.exp(-step / 4), 1000 * DAY + step)
    assert slowly.share(0, far) == pytest.approx(at_once.share(0, far), rel=1e-3)


def test_peaks_that_lie_close_together_are_one() -> None:
    once, often = tails(), tails()
    once.learn(0, ALLOWED, 0)
    for minute in range(0, 300, 50):
        often.learn(0, ALLOWED, 60 * minute)
    assert often.share(0, ALLOWED) == once.share(0, ALLOWED)
    often.learn(0, ALLOWED, 10 * HOUR)
    assert often.share(0, ALLOWED) > once.share(0, ALLOWED)


def test_a_peak_that_grows_counts_by_its_height() -> None:
    at_once, slowly = tails(), tails()
    at_once.learn(0, ALLOWED, 0)
    for step in range(6):
        slowly.learn(0, ALLOWED * (6 - step), 60 * step)
    assert slowly.share(0, ALLOWED / 9) == pytest.approx(at_once.share(0, ALLOWED / 9))


def test_what_one_window_length_shows_says_nothing_of_another() -> None:
    subject = tails()
    live(subject, 200, 5)
    assert subject.share(1, ALLOWED) < 1.1 < subject.share(0, ALLOWED)


def test_wild_months_are_forgotten() -> None:
    subject = tails()
    live(subject, 300, 5)
    wild = subject.share(0, ALLOWED / 1000)
    subject.age(1500 * DAY, watched=0)
    calm = subject.share(0, ALLOWED / 1000)
    assert calm < wild / 2
    assert calm == pytest.approx(tails().share(0, ALLOWED / 1000), rel=0.01)


def watched(days: int, *, peaks: Sequence[int], opened: float = 1.0) -> Tails:
    """What is watched for so long, with so many peaks of each window, a share of which the gate lets through."""
    subject = tails()
    subject.age(days * DAY, watched=days * DAY)
    for window, number in enumerate(peaks):
        for peak in range(number):
            subject.learn(window, subject.level, peak * DAY)
    for peak in range(max(peaks)):
        subject.count(peak * DAY, opened=peak < opened * max(peaks))
    return subject


AS_IN_THEORY = (9, 9, 9)
"""Peaks in a hundred days."""


def test_the_alarms_that_windows_share_are_made_up_for() -> None:
    assert 0.6 < watched(100, peaks=AS_IN_THEORY).use < 0.75
    assert tails().use == pytest.approx(watched(100, peaks=AS_IN_THEORY).use, rel=0.1)
    assert Tails((3600,), BUDGET).use == 1
    assert Tails((600, 1800, 3600, 10800, 21600), BUDGET).use < tails().use


def test_windows_that_hardly_ever_have_a_peak_leave_their_share_of_the_budget_to_the_others() -> None:
    all_three, only_one = watched(100, peaks=AS_IN_THEORY), watched(100, peaks=(0, 0, 9))
    assert only_one.use < 0.9 * all_three.use
    # In the end it has all of it, and nothing is shared.
    assert watched(100_000, peaks=(0, 0, 9000)).use == pytest.approx(1 / 3, rel=0.02)
    # More peaks than in theory make their share rarer already, and use no more of the budget.
    assert watched(100, peaks=(90, 90, 90)).use == pytest.approx(all_three.use, rel=0.1)


def test_alarms_that_the_gate_stops_are_made_up_for() -> None:
    all_through, a_third = (watched(300, peaks=(27, 27, 27), opened=share) for share in (1, 1 / 3))
    assert a_third.use == pytest.approx(all_through.use / 3, rel=0.25)


def test_a_peak_that_the_gate_lets_through_in_the_end_was_not_stopped() -> None:
    at_once, late = tails(), tails()
    for day in range(1, 21):
        at_once.count(day * DAY, opened=day > 10)
        for minute in (0, 100, 200, 250, 300):
            late.count(day * DAY + 60 * minute, opened=day > 10 and minute >= 200)
    assert late.use == at_once.use == pytest.approx(tails().use * 12 / 22)


def test_what_comes_after_the_longest_window_is_another_story() -> None:
    close, apart = tails(), tails()
    for subject, minutes in ((close, 359), (apart, 361)):
        for story in range(10):
            subject.count(DAY + 60 * story * minutes, opened=True)
        subject.count(30 * DAY, opened=False)
    assert close.use < apart.use


def test_with_another_budget_than_before_it_begins_with_the_theory() -> None:
    subject, other = tails(), Tails(WINDOWS, 10 * BUDGET)
    live(subject, 200, 5)
    subject.age(100 * DAY, watched=100 * DAY)
    subject.count(DAY, opened=False)
    fresh = other.share(0, ALLOWED)
    other.load(*subject.dump())
    assert (other.share(0, ALLOWED), other.use) == (fresh, Tails(WINDOWS, 10 * BUDGET).use)


def test_a_count_below_the_level_teaches_nothing() -> None:
    subject = tails()
    subject.learn(0, 1.01 * subject.level, 0)
    assert subject.share(0, ALLOWED) == tails().share(0, ALLOWED)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.floats(0, 0.3), st.integers(0, 10**6)), max_size=20))
def test_a_state_comes_back(peaks: list[tuple[int, float, int]]) -> None:
    subject, copy = tails(), tails()
    for window, alarms, time in peaks:
        subject.age(time % 7 * HOUR, watched=HOUR)
        subject.learn(window, alarms, time)
        subject.count(time, opened=window > 0)
    copy.load(*subject.dump())
    assert [copy.share(window, ALLOWED) for window in range(3)] == [
        subject.share(window, ALLOWED) for window in range(3)
    ]
    assert copy.use == subject.use


def test_a_state_from_before_there_were_tails_begins_with_the_theory() -> None:
    subject = tails()
    subject.load([], np.zeros(0, dtype=np.float32))
    assert subject.share(0, ALLOWED) == tails().share(0, ALLOWED)


def test_who_lowers_the_budget_keeps_what_was_learned_of_the_tails() -> None:
    lavish = Tails(WINDOWS, 2 * BUDGET)
    live(lavish, 400, 4)
    kept, new = tails(), tails()
    kept.load(*lavish.dump())
    assert kept.share(0, ALLOWED / 100) > 1.5 * new.share(0, ALLOWED / 100)
    assert kept.share(0, ALLOWED / 100) == pytest.approx(2 * lavish.share(0, ALLOWED / 100), rel=0.6)


def test_of_peaks_over_a_lower_level_nothing_is_known() -> None:
    strict, looser = tails(), Tails(WINDOWS, 2 * BUDGET)
    live(strict, 400, 4)
    before = looser.share(0, ALLOWED)
    looser.load(*strict.dump())
    assert looser.share(0, ALLOWED) == before
