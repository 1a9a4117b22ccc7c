"""How well the surge detector keeps its budget of false alarms, what it finds, and what it costs.

    python -m bench.spikes budget       false alarms per subject and day, over the budget
    python -m bench.spikes power        injected surges that are found, and how soon, beside an oracle and others
    python -m bench.spikes nab FOLDER   score on the Numenta Anomaly Benchmark, with default settings
    python -m bench.spikes cost         time per observation, memory per subject

Streams are simulated with a seed; every subject has a warm-up of two weeks in which nothing is judged. `--budget`
and `--rates` choose the cells, `--alarms` the precision: so many false alarms are allowed in each cell.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from bench.nab import FALSE_ALARM_WEIGHTS, Series, detections, read_series, score
from bench.rivals import ORACLE_RANGE, RIVALS, calibrated, oracle
from bench.simulation import STREAMS, WARM_UP_HOURS, Events, draw, firings
from stream.records import Observation, Observations, Position
from stream.spikes.novelty import minhash
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Subject
from stream.watch.keeper import Partition

SUBJECTS = 8
"""Subjects that share the days of a cell."""
SURGES_OF_A_HISTORY = 10
SURGES = tuple(itertools.product((2, 3, 5, 10), (1 / 6, 1, 6)))
"""How many times the usual, for how many hours."""
RATES = (0.2, 1, 5, 20, 100, 500)
"""Negatives an hour."""
OWN = "Downtick"
ROUNDS = 20
"""Observations of each subject, where many subjects take turns."""


def quiet(stream: str, rate: float, hours: float, seed: int) -> Events:
    """A subject on which nothing happens."""
    return draw(stream, np.random.default_rng(seed), rate, hours)


def false_alarms(stream: str, rate: float, hours: float, settings: SpikeSettings, seed: int) -> int:
    """Alerts of one subject on which nothing happened, after the warm-up."""
    events = quiet(stream, rate, hours, seed)
    return sum(hour >= WARM_UP_HOURS for hour in firings(Subject("x", settings), events.observations()))


def show_budget(arguments: argparse.Namespace) -> None:
    """Print observed false alarms over the budget."""
    settings = SpikeSettings(false_alarms_per_day=arguments.budget, volume_only=arguments.volume_only)
    days = max(125.0, arguments.alarms / arguments.budget / SUBJECTS)
    print(f"budget {arguments.budget:g} a day, {SUBJECTS * days:.0f} subject-days a cell")
    print(f"{'stream':15}{'per hour':>9}{'alarms':>8}{'observed / budget':>19}")
    with Pool(arguments.processes) as pool:
        for stream in arguments.streams:
            for rate in arguments.rates:
                count = partial(false_alarms, stream, rate, WARM_UP_HOURS + 24 * days, settings)
                alarms = sum(pool.map(count, range(SUBJECTS), chunksize=1))
                ratio = alarms / (SUBJECTS * days * arguments.budget)
                print(f"{stream:15}{rate:9g}{alarms:8d}{ratio:19.2f}", flush=True)


Found = dict[str, list[float | None]]
"""By detector: minutes until each surge was found, None where it was not."""


def search(
    cell: tuple[str, float],
    surge: tuple[float, float],
    settings: SpikeSettings,
    strictness: dict[str, float],
    seed: int,
    *,
    everything: bool = False,
) -> Found:
    """What each detector makes of surges that follow one history.

    A cell is told by its stream and rate, a surge by its factor and its hours. A detector finds a surge where it
    would alert from its beginning on, be it that Downtick reopens or raises an alert from before: no false alarm
    in the history hides a surge from any of them. Where `everything` grows alike there is none to be found.
    """
    (stream, rate), (factor, hours) = cell, surge
    generator = np.random.default_rng(10_000 + seed)
    begin = WARM_UP_HOURS + generator.uniform(0, 168)
    end = begin + hours
    history = draw(stream, generator, rate, begin)
    subject = Subject("x", settings)
    firings(subject, history.observations())
    state = subject.dump()
    rivals = {name: rival for name, (rival, _) in RIVALS.items()} | {"oracle": oracle(stream, rate)}
    found: Found = {name: [] for name in (OWN, *rivals)}
    for _ in range(SURGES_OF_A_HISTORY):
        # A surge multiplies what the stream has at that hour, so a surge by night is one of the night's rate.
        negatives = draw(stream, generator, rate * factor, end).between(begin, end)
        others = draw(stream, generator, rate * (factor if everything else 1), end).between(begin, end).others
        events = Events(negatives.negatives, negatives.stories, others, history.reposts)
        own = firings(Subject.load("x", state, settings), events.observations(10**9))
        alerts = {OWN: own} | {
            name: rival(np.concatenate([history.negatives, events.negatives]), end, strictness[name])
            for name, rival in rivals.items()
        }
        for name, times in alerts.items():
            hits = [hour for hour in times if hour >= begin]
            found[name].append(float(hits[0] - begin) * 60 if hits else None)
    return found


def show_power(arguments: argparse.Namespace) -> None:
    """Print the share of surges found and the median delay of each detector, all at the same budget."""
    settings = SpikeSettings(false_alarms_per_day=arguments.budget, volume_only=arguments.volume_only)
    days = arguments.alarms / arguments.budget / SUBJECTS
    names = [OWN, "oracle", *RIVALS]
    found = "share alerted, where all grew alike" if arguments.everything else "share found"
    print(f"{found}, median delay in minutes, at {arguments.budget:g} false alarms a day")
    print(f"{'stream':14}{'rate':>5}{'surge':>14}" + "".join(f"{name:>15}" for name in names))
    with Pool(arguments.processes) as pool:
        for stream, rate in itertools.product(arguments.streams, arguments.rates):
            strictness = _strictness(stream, rate, days, arguments.budget)
            for factor, hours in SURGES:
                look = partial(
                    search,
                    (stream, rate),
                    (factor, hours),
                    settings,
                    strictness,
                    everything=arguments.everything,
                )
                parts = pool.map(look, range(arguments.histories), chunksize=1)
                cells = [_cell([delay for part in parts for delay in part[name]]) for name in names]
                surge = f"{factor:g} × {hours * 60:.0f} min"
                print(
                    f"{stream:14}{rate:5g}{surge:>14}" + "".join(f"{cell:>15}" for cell in cells), flush=True
                )


def _strictness(stream: str, rate: float, days: float, budget: float) -> dict[str, float]:
    hours = WARM_UP_HOURS + 24 * days
    streams = [quiet(stream, rate, hours, seed).negatives for seed in range(SUBJECTS)]
    rivals = RIVALS | {"oracle": (oracle(stream, rate), ORACLE_RANGE)}
    return {
        name: calibrated(
            rival, bounds, streams, hours, warm_up=WARM_UP_HOURS, allowed=budget * days * SUBJECTS
        )
        for name, (rival, bounds) in rivals.items()
    }


def _cell(delays: list[float | None]) -> str:
    hits = [delay for delay in delays if delay is not None]
    share = len(hits) / len(delays)
    return f"{share:.0%}" + (f", {np.median(hits):.0f}" if hits else "")


def show_nab(arguments: argparse.Namespace) -> None:
    """Print what is found with default settings by series, and the score over all of them."""
    try:
        series = list(read_series(arguments.folder))
    except OSError as error:
        raise SystemExit(f"cannot read {error.filename}: {error.strerror}") from error
    settings = SpikeSettings()
    with Pool(arguments.processes) as pool:
        found = pool.map(partial(detections, settings=settings), [file for file, _ in series], chunksize=1)
    results = [(one, rows) for (_, one), rows in zip(series, found, strict=True)]
    for (file, one), rows in zip(series, found, strict=True):
        hits = sum(any(first <= row <= last for row in rows) for first, last in one.windows)
        print(
            f"{file.stem}: {hits} of {len(one.windows)} windows found, {_outside(one, rows)} alerts outside"
        )
    for profile in FALSE_ALARM_WEIGHTS:
        print(f"{profile}: {score(results, profile):.1f}")


def _outside(series: Series, rows: list[int]) -> int:
    return sum(
        row >= series.probation and not any(first <= row <= last for first, last in series.windows)
        for row in rows
    )


def show_cost(arguments: argparse.Namespace) -> None:
    """Print processor time per observation, and of packing the state."""
    settings = SpikeSettings()
    # First, while no memory is free that others have left.
    resting, waking, awake = _at_rest(100_000, settings)
    text = "Regulator opens an inquiry into the safety of the maker's toasters after three fires"
    print(f"minhash of a headline: {_microseconds(lambda: minhash(text), 2000):.0f} µs")
    for rate in arguments.rates:
        events = list(quiet("poisson", rate, 336, 1).observations())
        subject = Subject("x", settings)
        started = time.process_time()
        for event in events:
            subject.observe(event, "simulated")
        each = (time.process_time() - started) / len(events) * 1e6
        state = subject.dump()
        load = partial(Subject.load, "x", state, settings)
        print(
            f"{rate:6g} negatives an hour: {each:.0f} µs an observation, state of {len(state)} bytes,"
            f" dump {_microseconds(subject.dump, 200):.0f} µs, load {_microseconds(load, 200):.0f} µs"
        )
    events = list(quiet("poisson", 1, 72, 1).observations())[:ROUNDS]
    for count in (1, 1_000, 100_000):
        each, memory = _side_by_side(count, events, settings)
        print(f"{count:7,} subjects side by side: {each:.0f} µs an observation, {memory / 1024:.1f} KiB each")
    print(f"100,000 subjects at rest: {resting / 1024:.1f} KiB each")
    print(
        f"a record of one observation, its state packed: {awake:.0f} µs, of a subject at rest {waking:.0f} µs"
    )


def _at_rest(count: int, settings: SpikeSettings) -> tuple[float, float, float]:
    """Bytes of a subject that rests; microseconds of a record for such a one, and for one that is awake."""
    history = list(quiet("poisson", 1, 336, 1).observations())
    learned = Subject("x", settings)
    for event in history:
        learned.observe(event, "simulated")
    learned.take_windows(closed_only=False)
    learned.advance(history[-1].time + timedelta(days=2))
    learned.take_windows(closed_only=True)
    state = learned.dump()
    before = _resident()
    # A copy each, as they come out of a log.
    subjects = Partition({str(number): bytes(bytearray(state)) for number in range(count)}, settings)
    resting = (_resident() - before) / count
    assert subjects.awake == 0
    spent = []
    for place in range(2):
        position = Position(topic="simulated", partition=0, offset=10**9 + place)
        event = history[-1].model_copy(
            update={"position": position, "id": str(place), "time": history[-1].time + timedelta(days=2)}
        )
        started = time.process_time()
        for number in range(ROUNDS * 50):
            subjects.apply(Observations(subject=str(number), bundle="simulated", observations=[event]))
            subjects.state(str(number))
        spent.append((time.process_time() - started) / (ROUNDS * 50) * 1e6)
    return resting, spent[0], spent[1]


def _resident() -> int:
    """Bytes of memory that the process has; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _side_by_side(count: int, events: Sequence[Observation], settings: SpikeSettings) -> tuple[float, float]:
    """Microseconds an observation, and bytes a subject, where so many subjects take turns.

    The same events for each, and at least a thousand subjects in all: what an observation costs depends on
    how old its subject is, and here that is not the question.
    """
    spent, grown = 0.0, 0
    for _ in range(max(1, 1_000 // count)):
        before = _resident()
        subjects = [Subject(str(number), settings) for number in range(count)]
        started = time.process_time()
        for event in events:
            for subject in subjects:
                subject.observe(event, "simulated")
        spent += time.process_time() - started
        grown = _resident() - before
    return spent / (max(count, 1_000 // count * count) * len(events)) * 1e6, grown / count


def _microseconds(call: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times * 1e6


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    measures = parser.add_subparsers(required=True)
    for name, show in {"budget": show_budget, "power": show_power}.items():
        measure = measures.add_parser(name)
        measure.add_argument("--rates", type=float, nargs="+", default=RATES)
        measure.add_argument("--budget", type=float, default=0.1, help="false alarms per subject and day")
        measure.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
        measure.add_argument("--alarms", type=float, default=100, help="false alarms allowed in each cell")
        measure.add_argument("--volume-only", action="store_true", help="without the gate on the share")
        measure.set_defaults(show=show)
    power = measures.choices["power"]
    power.add_argument("--histories", type=int, default=20, help="ten surges follow each")
    power.add_argument(
        "--everything", action="store_true", help="all events grow alike: whoever alerts cries wolf"
    )
    nab = measures.add_parser("nab")
    nab.add_argument("folder", type=Path, help="has the series' CSV files and combined_windows.json")
    nab.set_defaults(show=show_nab)
    cost = measures.add_parser("cost")
    cost.add_argument("--rates", type=float, nargs="+", default=RATES)
    cost.set_defaults(show=show_cost)
    arguments = parser.parse_args()
    arguments.show(arguments)


if __name__ == "__main__":
    main()
