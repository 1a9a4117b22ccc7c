"""The subjects whose clocks change."""

import numpy as np

from bench.simulation import WARM_UP_HOURS
from bench.zones import CHANGE_HOURS, times


def test_office_hours_begin_an_hour_sooner_by_utc_once_the_clocks_have_changed() -> None:
    found = times(np.random.default_rng(1), 50)
    before = found[(found >= WARM_UP_HOURS) & (found < CHANGE_HOURS)]
    behind = found[found >= CHANGE_HOURS]
    busiest = [int(np.bincount(part.astype(int) % 24).argmax()) for part in (before, behind)]
    assert busiest == [13, 12]
    assert np.all(np.diff(found) >= 0)
