"""The tails behind the tests."""

import math
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from stream.spikes.surprise import alarms_per_day, chance_of_others, share_rises, volume_tail

means = st.floats(0.01, 5000)


@given(st.integers(1, 3000), means)
def test_without_dispersion_the_tail_is_poissons(count: int, mean: float) -> None:
    assert volume_tail(count, mean, mean) == pytest.approx(
        float(stats.poisson.sf(count - 1, mean)), rel=1e-6, abs=1e-300
    )


@given(st.integers(1, 3000), means, st.floats(1.01, 20))
def test_with_dispersion_the_tail_is_the_negative_binomials(
    count: int, mean: float, dispersion: float
) -> None:
    size = mean / (dispersion - 1)
    expected = float(stats.nbinom.sf(count - 1, size, 1 / dispersion))
    assert volume_tail(count, mean, mean * dispersion) == pytest.approx(expected, rel=1e-4, abs=1e-300)


@given(st.floats(0.1, 2000), st.floats(0.1, 500), means, st.floats(1, 50))
@example(930.0, 1.0, 871.0, 3.0)
def test_more_negatives_never_lower_the_score(
    count: float, more: float, mean: float, dispersion: float
) -> None:
    variance = mean * dispersion
    before, _ = alarms_per_day(max(count, mean), mean, variance, 3600)
    after, _ = alarms_per_day(max(count, mean) + more, mean, variance, 3600)
    assert after <= before * (1 + 1e-9)


@given(
    st.tuples(st.integers(1, 200), st.integers(0, 400)),
    st.tuples(st.integers(0, 500), st.integers(1, 2000)),
    st.floats(0, 1),
    st.sampled_from([0.01, 0.1, 1.0, 10.0]),
)
def test_more_negatives_never_close_the_gate(
    counts: tuple[int, int], past: tuple[int, int], others_chance: float, budget: float
) -> None:
    (negative, others), (history_negative, history_others) = counts, past
    history = {
        "history_negative": float(history_negative),
        "history_total": float(history_negative + history_others),
        "others_chance": others_chance,
        "false_alarms_per_day": budget,
    }
    if negative / (negative + others) > history_negative / (history_negative + history_others):
        opened = share_rises(negative, negative + others, **history)
        assert share_rises(negative + 1, negative + 1 + others, **history) >= opened


def test_where_no_more_others_came_than_usual_more_negatives_are_a_share_that_rises() -> None:
    history = {"history_negative": 300.0, "history_total": 900.0, "false_alarms_per_day": 0.01}
    assert share_rises(9, 12, **history, others_chance=chance_of_others(3, 2.0))
    assert share_rises(9, 15, **history, others_chance=chance_of_others(6, 6.0))
    assert not share_rises(9, 12, **history, others_chance=chance_of_others(3, 0.2))
    assert not share_rises(9, 27, **history, others_chance=chance_of_others(18, 6.0))


def test_others_are_the_less_likely_the_more_they_are() -> None:
    chances = [chance_of_others(others, 2.0) for others in range(8)]
    assert chances[0] == 1
    assert chances == sorted(chances, reverse=True)
    assert chances[1] == pytest.approx(1 - math.exp(-2))


gate = partial(share_rises, false_alarms_per_day=0.01)


def test_who_accepts_more_false_alarms_has_the_gate_looser() -> None:
    history = {"history_negative": 1000.0, "history_total": 4000.0, "others_chance": 0.0}
    opened = [share_rises(37, 105, **history, false_alarms_per_day=budget) for budget in (0.01, 0.1, 1, 10)]
    assert opened == [False, False, False, True]
    assert share_rises(40, 105, **history, false_alarms_per_day=1)
    assert not share_rises(40, 105, **history, false_alarms_per_day=0.1)


def test_all_growing_alike_is_no_rise_of_the_share() -> None:
    assert not gate(100, 400, history_negative=1000, history_total=4000, others_chance=0.0)
    assert gate(160, 400, history_negative=1000, history_total=4000, others_chance=0.0)


def test_a_share_known_from_few_events_rises_less_easily() -> None:
    assert gate(9, 16, history_negative=1000, history_total=5000, others_chance=0.0)
    assert not gate(9, 16, history_negative=1, history_total=5, others_chance=0.0)


def test_where_most_is_always_negative_the_gate_stays_open() -> None:
    assert gate(60, 100, history_negative=600, history_total=1000, others_chance=0.0)
    assert not gate(45, 100, history_negative=450, history_total=1000, others_chance=0.0)


def test_where_most_is_always_negative_the_share_must_only_not_have_fallen() -> None:
    assert not gate(4, 9, history_negative=136, history_total=200, others_chance=0.0)
    assert gate(6, 9, history_negative=136, history_total=200, others_chance=0.0)
    assert gate(40, 42, history_negative=970, history_total=1000, others_chance=0.0)
    assert gate(80, 81, history_negative=1680, history_total=1680, others_chance=0.0)
    assert gate(50, 50, history_negative=1000, history_total=1000, others_chance=0.0)
