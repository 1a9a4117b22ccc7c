"""How well the surge detector keeps its budget of false alarms, what it finds, and what it costs.

    python -m bench.spikes budget    false alarms per subject and day, over the budget
    python -m bench.spikes power     share of injected surges that are found, and how soon
    python -m bench.spikes cost      time per observation, size of the state

Streams are simulated with a seed; every subject has a warm-up of two weeks in which nothing is judged. `--budget`
and `--rates` choose the cells, `--alarms` the precision: so many false alarms are allowed in each cell.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from multiprocessing import Pool

import numpy as np
import numpy.typing as npt

from stream.records import AlertState, Observation, Position
from stream.spikes.novelty import minhash
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Subject

HOUR = 3600
WARM_UP_HOURS = 14 * 24
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp())
"""A Monday."""
SUBJECTS = 8
"""Subjects that share the days of a cell."""
SURGES_OF_A_HISTORY = 10
OTHERS = 2
"""Events that are not negative, for each negative one; they have clusters and seasons of their own."""
SURGES = ((3, 1), (5, 1), (10, 1 / 6), (2, 6))
"""How many times the usual negatives, for how many hours."""

Hours = npt.NDArray[np.float64]
Generator = np.random.Generator


def poisson(generator: Generator, rate: float, hours: float) -> Hours:
    """A steady stream: times of its events."""
    return np.sort(generator.uniform(0, hours, generator.poisson(rate * hours)))


def overdispersed(generator: Generator, rate: float, hours: float) -> Hours:
    """Stories of three items on average, a quarter of an hour apart from the story's first."""
    stories = poisson(generator, rate / 3, hours)
    sizes = generator.geometric(1 / 3, len(stories))
    firsts = np.repeat(stories, sizes)
    delays = generator.exponential(0.25, len(firsts))
    delays[np.cumsum(sizes) - sizes] = 0
    times = np.sort(firsts + delays)
    return times[times < hours]


def seasonal(generator: Generator, rate: float, hours: float) -> Hours:
    """By day ten times as much as by night, at weekends a third."""
    times = poisson(generator, 2 * rate, hours)
    daily = 0.5 + 0.41 * np.sin(2 * np.pi * (times % 24 - 9) / 24)
    weekly = np.where(times % 168 >= 120, 1 / 3, 1)
    return times[generator.uniform(size=len(times)) < daily * weekly]


def drifting(generator: Generator, rate: float, hours: float) -> Hours:
    """A rate that swings by half within six weeks."""
    times = poisson(generator, 1.5 * rate, hours)
    level = (1 + 0.5 * np.sin(2 * np.pi * times / (42 * 24))) / 1.5
    return times[generator.uniform(size=len(times)) < level]


STREAMS: dict[str, Callable[[Generator, float, float], Hours]] = {
    "poisson": poisson,
    "overdispersed": overdispersed,
    "seasonal": seasonal,
    "drifting": drifting,
}


def observations(negatives: Hours, others: Hours, offset: int = 0) -> Iterator[Observation]:
    """Both kinds of events in the order of their times."""
    times = np.concatenate([negatives, others])
    for place in np.argsort(times).tolist():
        negative = place < len(negatives)
        offset += 1
        yield Observation.model_construct(
            position=Position.model_construct(topic="news.raw", partition=0, offset=offset),
            id=str(offset),
            time=datetime.fromtimestamp(START + float(times[place]) * HOUR, UTC),
            sentiment="negative" if negative else "neutral",
            negative=0.9 if negative else 0.1,
            topics=[],
            signature=None,
            excerpt=None,
            url=None,
        )


def firings(subject: Subject, events: Iterable[Observation]) -> list[float]:
    """The hours at which alerts fired, each alert once."""
    fired: dict[str, float] = {}
    for event in events:
        subject.observe(event, "simulated")
        for alert in subject.take_alerts():
            if alert.state is AlertState.FIRING:
                fired.setdefault(alert.id, (alert.updated_at.timestamp() - START) / HOUR)
    return list(fired.values())


def false_alarms(stream: str, rate: float, days: float, settings: SpikeSettings, seed: int) -> int:
    """Alerts of one subject on which nothing happened, after the warm-up."""
    generator = np.random.default_rng(seed)
    hours = WARM_UP_HOURS + 24 * days
    negatives = STREAMS[stream](generator, rate, hours)
    others = STREAMS[stream](generator, OTHERS * rate, hours)
    fired = firings(Subject("simulated", settings), observations(negatives, others))
    return sum(hour >= WARM_UP_HOURS for hour in fired)


def delays(
    stream: str, rate: float, surge: tuple[float, float], settings: SpikeSettings, seed: int
) -> list[float | None]:
    """Minutes until surges are found that follow one history; None for those that are missed.

    A surge is told by its factor and its hours.
    """
    factor, hours = surge
    generator = np.random.default_rng(seed)
    begin = WARM_UP_HOURS + generator.uniform(0, 168)
    end = begin + hours
    history = Subject("simulated", settings)
    before = STREAMS[stream](generator, rate, begin), STREAMS[stream](generator, OTHERS * rate, begin)
    firings(history, observations(*before))
    state = history.dump()
    found: list[float | None] = []
    for _ in range(SURGES_OF_A_HISTORY):
        # A surge multiplies what the stream has at that hour, so a surge by night is one of the night's rate.
        negatives = STREAMS[stream](generator, rate * factor, end)
        others = STREAMS[stream](generator, OTHERS * rate, end)
        events = observations(negatives[negatives >= begin], others[others >= begin], 10**9)
        fired = firings(Subject.load("simulated", state, settings), events)
        found.append((fired[0] - begin) * 60 if fired else None)
    return found


def show_budget(arguments: argparse.Namespace, settings: SpikeSettings) -> None:
    """Print observed false alarms over the budget."""
    days = max(1.0, arguments.alarms / arguments.budget / SUBJECTS)
    print(f"budget {arguments.budget:g} a day, {SUBJECTS * days:.0f} subject-days a cell")
    print(f"{'stream':15}{'per hour':>9}{'alarms':>8}{'observed / budget':>19}")
    with Pool(arguments.processes) as pool:
        for stream in arguments.streams:
            for rate in arguments.rates:
                count = partial(false_alarms, stream, rate, days, settings)
                alarms = sum(pool.map(count, range(SUBJECTS), chunksize=1))
                ratio = alarms / (SUBJECTS * days * arguments.budget)
                print(f"{stream:15}{rate:9g}{alarms:8d}{ratio:19.2f}", flush=True)


def show_power(arguments: argparse.Namespace, settings: SpikeSettings) -> None:
    """Print the share of surges found, and the median delay."""
    print(f"{'stream':15}{'per hour':>9}{'surge':>14}{'found':>9}{'median delay':>15}")
    with Pool(arguments.processes) as pool:
        for stream in arguments.streams:
            for rate in arguments.rates:
                for factor, hours in SURGES:
                    find = partial(delays, stream, rate, (factor, hours), settings)
                    found = list(chain.from_iterable(pool.map(find, range(arguments.histories))))
                    hits = [delay for delay in found if delay is not None]
                    delay = f"{np.median(hits):.0f} min" if hits else "–"
                    surge = f"{factor:g} × {hours * 60:.0f} min"
                    share = f"{len(hits) / len(found):.1%}"
                    print(f"{stream:15}{rate:9g}{surge:>14}{share:>9}{delay:>15}", flush=True)


def show_cost(arguments: argparse.Namespace, settings: SpikeSettings) -> None:
    """Print processor time per observation, and of packing the state."""
    text = "Regulator opens an inquiry into the safety of the maker's toasters after three fires"
    print(f"minhash of a headline: {_microseconds(lambda: minhash(text), 2000):.0f} µs")
    for rate in arguments.rates:
        generator = np.random.default_rng(1)
        negatives = poisson(generator, rate, 336)
        events = list(observations(negatives, poisson(generator, 3 * rate, 336)))
        subject = Subject("simulated", settings)
        started = time.process_time()
        for event in events:
            subject.observe(event, "simulated")
        each = (time.process_time() - started) / len(events) * 1e6
        state = subject.dump()
        load = partial(Subject.load, "simulated", state, settings)
        print(
            f"{rate:6g} negatives an hour: {each:.0f} µs an observation, state of {len(state)} bytes,"
            f" dump {_microseconds(subject.dump, 200):.0f} µs, load {_microseconds(load, 200):.0f} µs"
        )


def _microseconds(call: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times * 1e6


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("measure", choices=("budget", "power", "cost"))
    parser.add_argument("--budget", type=float, default=0.1, help="false alarms per subject and day")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.2, 1, 5, 20, 100])
    parser.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--alarms", type=float, default=100, help="false alarms allowed in each cell")
    parser.add_argument("--histories", type=int, default=20, help="ten surges follow each")
    parser.add_argument("--minimum-ratio", type=float, default=SpikeSettings().minimum_ratio)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    settings = SpikeSettings(false_alarms_per_day=arguments.budget, minimum_ratio=arguments.minimum_ratio)
    show = {"budget": show_budget, "power": show_power, "cost": show_cost}[arguments.measure]
    show(arguments, settings)


if __name__ == "__main__":
    main()
