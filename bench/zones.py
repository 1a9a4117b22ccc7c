"""What a change of the clocks does to the hours that a subject is used to, by UTC and by its own zone.

    python -m bench.zones [--rate 20] [--subjects 8] [--budget 0.01] [--with-others]

Subjects with New York's office hours, nine weeks in which summer time begins on 8 March 2026, as counts, or beside
other events, which keep the same hours. Nothing happens to them: every alert is false.
"""

import argparse
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import Pool
from zoneinfo import ZoneInfo

import numpy as np

from bench.simulation import HOUR, OTHERS, START, WARM_UP_HOURS, Events, Generator, Hours, firings
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Subject

ZONE = "America/New_York"
CHANGE_HOURS = (int(datetime(2026, 3, 8, 7, tzinfo=UTC).timestamp()) - START) / HOUR
AFTER_HOURS = 14 * 24
"""For so long a season that moved is new."""


def office(local: datetime) -> float:
    """How much there is at a time, in units of the rate: most at eight, little at night and at weekends."""
    hourly = 3.0 if local.hour == 8 else 1.6 if 9 <= local.hour < 18 else 0.12
    return hourly * (0.2 if local.weekday() >= 5 else 1)


def times(generator: Generator, rate: float) -> Hours:
    """Events at so many an hour times `office`, in hours since the start."""
    start, zone = datetime.fromtimestamp(START, UTC), ZoneInfo(ZONE)
    hours = range(int(CHANGE_HOURS) + AFTER_HOURS)
    means = [rate * office((start + timedelta(hours=hour)).astimezone(zone)) for hour in hours]
    counts = generator.poisson(means)
    return np.sort(np.repeat(hours, counts) + generator.uniform(size=int(counts.sum())))


def false_alarms(rate: float, settings: SpikeSettings, seed: int) -> tuple[int, int]:
    """Alerts of one subject in the weeks before the change, its warm-up left out, and in the two behind it."""
    generator = np.random.default_rng(seed)
    negatives = times(generator, rate)
    others = times(generator, 0 if settings.volume_only else OTHERS * rate)
    events = Events(negatives, np.zeros(len(negatives), dtype=np.int64), others, reposts=False)
    fired = firings(Subject("x", settings), events.observations())
    before = sum(WARM_UP_HOURS <= hour < CHANGE_HOURS for hour in fired)
    return before, sum(hour >= CHANGE_HOURS for hour in fired)


def main() -> None:
    """Print the alerts of all subjects by zone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=20, help="negatives an hour")
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--budget", type=float, default=0.01, help="false alarms per subject and day")
    parser.add_argument("--with-others", action="store_true", help="other events beside the negatives")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    weeks = (CHANGE_HOURS - WARM_UP_HOURS) / 168
    print(f"{'hours by':20}{f'in {weeks:.0f} weeks before':>20}{'in two weeks behind':>22}")
    with Pool(arguments.processes) as pool:
        for zone in ("UTC", ZONE):
            settings = SpikeSettings(
                season_zone=zone,
                false_alarms_per_day=arguments.budget,
                volume_only=not arguments.with_others,
            )
            counts = pool.map(partial(false_alarms, arguments.rate, settings), range(arguments.subjects), 1)
            before, behind = (sum(column) for column in zip(*counts, strict=True))
            print(f"{zone:20}{before:20}{behind:22}", flush=True)


if __name__ == "__main__":
    main()
