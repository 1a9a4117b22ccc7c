"""All detectors are measured alike: by what they say from a surge's beginning on."""

import numpy as np
import pytest

from bench import spikes
from bench.rivals import RIVALS, calibrated, fixed_threshold
from bench.spikes import OWN, SURGES_OF_A_HISTORY, search
from stream.spikes.settings import SpikeSettings


def test_an_alert_from_before_a_surge_hides_it_from_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "fixed, 1 h"
    monkeypatch.setattr(spikes, "RIVALS", {name: RIVALS[name]})
    # They alert at whatever comes, by day and by night.
    found = search(("poisson", 1), (100, 1.0), SpikeSettings(), {name: 0, "oracle": -100}, seed=1)
    assert set(found) == {OWN, "oracle", name}
    for delays in (found[name], found["oracle"]):
        assert len(delays) == SURGES_OF_A_HISTORY
        assert all(delay is not None and 0 <= delay < 10 for delay in delays)


@pytest.mark.parametrize("everything", [False, True])
def test_where_all_events_grow_alike_there_is_no_surge_and_the_detector_is_quiet(
    monkeypatch: pytest.MonkeyPatch, *, everything: bool
) -> None:
    monkeypatch.setattr(spikes, "RIVALS", {})
    settings, strictness = SpikeSettings(), {"oracle": -100.0}
    found = search(("poisson", 1), (30, 1.0), settings, strictness, seed=1, everything=everything)
    assert all((delay is None) is everything for delay in found[OWN])
    assert None not in found["oracle"], "who counts but the negatives cries wolf"


def test_on_quiet_streams_alerts_within_a_day_count_as_one() -> None:
    bursts = np.concatenate([day * 48 + np.arange(10) / 100 for day in range(4)])
    strictness = calibrated(fixed_threshold(1.0), (0.5, 20), [bursts], 200, warm_up=0, allowed=4)
    assert strictness < 1
    assert calibrated(fixed_threshold(1.0), (0.5, 20), [bursts], 200, warm_up=0, allowed=3) >= 9.9
