"""The gate beside the volume test: negatives alone, or all alike?"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.simulation import Hours
from stream.spikes.gate import Part, opens

HOUR = 3600
WELL_KNOWN = 1e12
"""Events of history, so many that the usual share is known."""


def part(negative: int, others: int, expected: tuple[float, float] = (2.0, 4.0), **rest: float) -> Part:
    known = {"seconds": HOUR, "history": WELL_KNOWN, "clustering": 1.0} | rest
    return Part(
        negative=negative,
        others=others,
        expected_negative=expected[0],
        expected_others=expected[1],
        seconds=int(known["seconds"]),
        history=known["history"],
        clustering=known["clustering"],
    )


def opened(judged: Part, *beside: Part, budget: float = 0.01) -> bool:
    return opens(judged, [judged, *beside], false_alarms_per_day=budget)


counts = st.integers(0, 400)
expectations = st.tuples(st.floats(0.01, 200), st.floats(0.01, 400))


@given(
    counts, counts, expectations, st.tuples(st.floats(1, 20), st.floats(2, 1e6)), st.sampled_from([0.01, 1.0])
)
def test_more_negatives_never_close_the_gate(
    negative: int, others: int, expected: tuple[float, float], known: tuple[float, float], budget: float
) -> None:
    clustering, history = known
    rest = {"clustering": clustering, "history": history}
    before = opened(part(negative, others, expected, **rest), budget=budget)
    assert opened(part(negative + 1, others, expected, **rest), budget=budget) >= before


@given(st.integers(0, 300), st.integers(1, 300), expectations)
def test_the_evidence_is_the_logarithm_of_a_ratio_of_poisson_likelihoods(
    negative: int, others: int, expected: tuple[float, float]
) -> None:
    usual_negative, usual_others = expected
    growth = max(1.0, others / usual_others)
    if negative < growth * usual_negative:
        return
    alike = (negative + others) / (usual_negative + usual_others)

    def likelihood(of_negative: float, of_others: float) -> float:
        return float(
            stats.poisson.logpmf(negative, of_negative * usual_negative)
            + stats.poisson.logpmf(others, of_others * usual_others)
        )

    own = negative / usual_negative
    alone, more = part(negative, others, expected).evidence
    least = likelihood(alike, alike)
    assert alone == pytest.approx(likelihood(own, 1) - least, abs=1e-6, rel=1e-6)
    assert more == pytest.approx(likelihood(own, growth) - least, abs=1e-6, rel=1e-6)


def test_where_others_come_as_always_more_negatives_open_the_gate() -> None:
    assert opened(part(8, 4))
    assert opened(part(8, 6))
    assert not opened(part(8, 16))


def test_all_growing_alike_leaves_the_gate_closed() -> None:
    assert not opened(part(20, 40))
    assert not opened(part(2000, 4000))
    assert not opened(part(20, 400))


def test_in_a_day_on_which_much_is_talked_anyway_a_share_that_rises_clearly_opens_the_gate() -> None:
    """Others came five times as often for six hours, the negatives of the last hour thirty times."""
    day = part(110, 120, (12.0, 24.0), seconds=6 * HOUR)
    assert opened(part(60, 20), day)
    assert not opened(part(14, 20), day)


def test_few_others_in_a_short_window_do_not_open_the_gate_in_a_burst_of_everything() -> None:
    burst = part(12, 24)
    few = part(8, 2, (0.33, 0.67), seconds=600)
    assert opened(few)
    assert not opened(few, burst)


def test_where_events_come_in_clusters_a_share_must_rise_further() -> None:
    assert opened(part(40, 20))
    assert not opened(part(40, 20, clustering=8.0))


def test_where_a_share_is_known_from_few_events_it_must_rise_further() -> None:
    assert opened(part(9, 4))
    assert not opened(part(9, 4, history=3.0))


def test_who_accepts_more_false_alarms_has_the_gate_looser() -> None:
    judged = part(7, 7)
    assert [opened(judged, budget=budget) for budget in (0.01, 0.1, 1, 10)] == [False, False, True, True]


def test_a_burst_of_everything_seldom_opens_the_gate_however_often_it_is_looked_at() -> None:
    """Six hours of five times the usual, all windows looked at with each negative; single items."""
    opened_in = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        # Six hours before it, and the burst.
        negatives = _two_rates(generator, 4)
        others = _two_rates(generator, 8)
        opened_in += any(_opened_at(end, negatives, others) for end in negatives[negatives > 6.2])
    assert opened_in <= 15


def test_a_surge_of_negatives_opens_the_gate() -> None:
    opened_in = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        negatives = _two_rates(generator, 4)
        others = np.sort(generator.uniform(0, 12, generator.poisson(12 * 8)))
        opened_in += any(_opened_at(end, negatives, others) for end in negatives[negatives > 6.2])
    assert opened_in >= 99


def _between(times: Hours, start: float, end: float) -> int:
    first, last = np.searchsorted(times, [start, end], side="right")
    return int(last - first)


def _two_rates(generator: np.random.Generator, rate: float) -> Hours:
    """Times in hours, five times as many an hour after six of them."""
    before = generator.uniform(0, 6, generator.poisson(6 * rate))
    return np.sort(np.concatenate([before, generator.uniform(6, 12, generator.poisson(6 * 5 * rate))]))


def _opened_at(end: float, negatives: Hours, others: Hours) -> bool:
    windows = [
        part(
            _between(negatives, end - hours, end),
            _between(others, end - hours, end),
            (4 * hours, 8 * hours),
            seconds=hours * HOUR,
        )
        for hours in (1 / 6, 1, 6)
    ]
    return any(opened(windows[place], *windows) for place in range(3))


def test_where_most_is_always_negative_the_share_must_only_not_have_fallen() -> None:
    mostly = (68.0, 32.0)
    assert not opened(part(4, 5, mostly))
    assert opened(part(6, 3, mostly))
    assert opened(part(40, 2, (97.0, 3.0)))
    assert opened(part(81, 0, (80.0, 0.1)))
    assert not opened(replace(part(45, 55), expected_negative=45.0, expected_others=55.0))


def test_the_nearer_the_usual_share_is_to_half_the_less_must_it_rise() -> None:
    """Five negatives within ten minutes and nothing else, where some two an hour come of both kinds together."""
    opened_at = [
        opened(part(5, 0, (0.3 * share, 0.3 * (1 - share)), seconds=600, clustering=1.5))
        for share in (0.3, 0.4, 0.45, 0.49, 0.5, 0.6)
    ]
    assert opened_at == sorted(opened_at)
    assert opened_at[3]
    assert not opened(part(50, 55, (0.49, 0.51))), "a share that is as usual is no rise"


def test_evidence_is_finite_where_nothing_came() -> None:
    assert all(math.isfinite(value) for value in part(0, 0).evidence)
