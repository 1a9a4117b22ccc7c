"""The tail behind the volume test."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from stream.spikes.surprise import alarms_per_day, volume_tail

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
