"""Plays history through detectors: the same events or counts through each."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.progress import Progress

from stream.backtest.inputs import Feed, Tally, merged_counts
from stream.backtest.run import Backtest
from stream.backtest.scorer import Scorer
from stream.backtest.spacing import fitting, row_spacing
from stream.command import UsageError
from stream.replay import TIME_FIELDS
from stream.rules import Rules, RulesError, load_rules
from stream.settings import Settings
from stream.spikes.reason import duration
from stream.watchlist import Watchlist, load_watchlist


def play_events(
    files: Sequence[Path], settings: Sequence[Settings], cache: Path | None
) -> tuple[list[Backtest], list[str]]:
    """Events through a detector for each of `settings`; what to tell of it, in lines.

    They are read and scored once for all settings that ask for the same reading. How many were refused is told
    on the standard error, with the reason of the first; raises `UsageError` where all of them were.
    """
    tests: dict[int, Backtest] = {}
    lines: list[str] = []
    readings = [_reading(one) for one in settings]
    for place, reading in enumerate(readings):
        if place in tests:
            continue
        first = settings[place]
        alike = [other for other, its in enumerate(readings) if its == reading]
        with Scorer(first, cache) as scorer, Progress(disable=not sys.stderr.isatty()) as progress:
            watchlist = load_watchlist(first.watchlist) if first.watchlist else Watchlist([])
            tests |= {
                other: Backtest(settings[other].spikes, _rules(settings[other], scorer)) for other in alike
            }
            feed = Feed(files, first, scorer, watchlist)
            task = progress.add_task("events", total=len(feed))
            for event in feed:
                for other in alike:
                    tests[other].take(event.time, event.pairs, event.bundle)
                progress.update(task, completed=feed.tally.events)
        _tell_refusals(feed.tally)
        _tell_undated(feed.tally)
        if not lines:
            refused = f", {feed.tally.refused:,} of them refused" if feed.tally.refused else ""
            lines.append(f"{feed.tally.events:,} events{refused}")
    ordered = [tests[place] for place in range(len(settings))]
    for test in ordered:
        test.finish()
    return ordered, lines


def _tell_refusals(tally: Tally) -> None:
    told = f"events refused: {tally.refused:,} of {tally.events:,}, the first in {tally.first_refusal}"
    if tally.refused == tally.events:
        raise UsageError(told)
    if tally.refused:
        click.echo(f"downtick: {told}", err=True)


def _tell_undated(tally: Tally) -> None:
    if not tally.undated:
        return
    told = f"events without a time, or with one that is still to come: {tally.undated:,} of {tally.events:,}"
    if tally.undated + tally.refused == tally.events:
        raise UsageError(f"{told}; name the field of their times {', '.join(TIME_FIELDS)}")
    click.echo(f"downtick: {told}; they are counted where the others have got to", err=True)


def _reading(settings: Settings) -> tuple[object, ...]:
    """What decides which observations the events become."""
    return settings.bundle, settings.watchlist, settings.engine, settings.score


def play_counts(files: Sequence[Path], settings: Sequence[Settings]) -> tuple[list[Backtest], list[str]]:
    """Counts through a detector for each of `settings`; a file's name is its subject."""
    if len({file.stem for file in files}) < len(files):
        raise UsageError("two files of counts have the same name, which is to be their subject's")
    rows = merged_counts(files)
    spacing = row_spacing(rows)
    # Of nothing but negatives the share is always 1: only their number can tell.
    fitted = [
        one.model_copy(
            update={"spikes": fitting(one.spikes.model_copy(update={"volume_only": True}), spacing)}
        )
        for one in settings
    ]
    try:
        tests = [Backtest(one.spikes, _rules(one)) for one in fitted]
    except RulesError as error:
        raise UsageError(
            f"{error}\n(the rows are {duration(spacing)} apart)" if spacing else str(error)
        ) from error
    with Progress(disable=not sys.stderr.isatty()) as progress:
        for time, subject, number in progress.track(rows, description="rows"):
            for test in tests:
                test.count(time, subject, number)
    for test in tests:
        test.finish()
    told = f" ({duration(spacing)} apart: shorter windows are not tested)"
    unfit = any(one.spikes.windows_seconds[0] < spacing for one in settings)
    return tests, [f"{len(rows):,} rows{told if unfit else ''}"]


def _rules(settings: Settings, scorer: Scorer | None = None) -> Rules:
    if settings.rules is None:
        return Rules()
    return load_rules(settings.rules, settings.spikes, scorer.bundle.manifest.topics if scorer else None)
