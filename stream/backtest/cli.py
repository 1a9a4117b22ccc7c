"""`downtick backtest`: what would have alerted in history, by exactly the code of the stream."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter
from rich.progress import Progress

from stream.backtest.inputs import Feed, merged_counts
from stream.backtest.page import Run, page
from stream.backtest.run import Backtest
from stream.bundle import load_bundle
from stream.command import UsageError, config_option, reports_errors
from stream.engine.engine import Engine
from stream.records import Alert
from stream.rules import Rules, load_rules
from stream.settings import Settings, load_settings
from stream.watchlist import Watchlist, load_watchlist

ALERTS, PAGE = "alerts.json", "report.html"
_ALERTS: TypeAdapter[list[Alert]] = TypeAdapter(list[Alert])


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--counts", is_flag=True, help="The files hold counts: CSV with the columns timestamp and value."
)
@click.option("--json", "as_json", is_flag=True, help="Print one alert a line and write no files.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("backtest"),
    show_default=True,
    help=f"Folder for {ALERTS} and {PAGE}.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A second settings file, to be put beside the first.",
)
@config_option
@reports_errors
def backtest(
    files: tuple[Path, ...],
    *,
    counts: bool,
    as_json: bool,
    out: Path,
    compare: Path | None,
    config: Path | None,
) -> None:
    """Say what would have alerted in FILES: raw events, scored events, or counts.

    Events are JSONL or CSV (`.gz` too), as for `downtick replay`, or records of `news.scored`. With --counts
    a row's value is the number of negatives up to its timestamp, and the file's name is the subject.
    """
    settings = [load_settings(config), *([load_settings(compare)] if compare else [])]
    names = [str(config or "default settings"), *([str(compare)] if compare else [])]
    tests, lines = _run_counts(files, settings) if counts else _run_events(files, settings)
    if as_json:
        for test in tests:
            for alert in test.alerts:
                click.echo(json.dumps(_plain(alert), ensure_ascii=False))
        return
    runs = [Run(name, test.alerts, test.windows) for name, test in zip(names, tests, strict=True)]
    lines += [f"{run.name}: alerts that fired: {len(run.alerts)}" for run in runs]
    out.mkdir(parents=True, exist_ok=True)
    (out / ALERTS).write_bytes(_ALERTS.dump_json(list(runs[0].alerts), indent=2, exclude_none=True) + b"\n")
    title = f"Backtest of {', '.join(file.name for file in files)}"
    (out / PAGE).write_text(page(title, lines, runs), encoding="utf-8")
    for line in lines:
        click.echo(line)
    for run in runs:
        for alert in run.alerts:
            click.echo(
                f"  {alert.fired_at:%Y-%m-%d %H:%M} {alert.severity.value:6} {alert.subject}: {alert.reason}"
            )
    click.echo(f"see {out / PAGE}")


def _run_events(files: Sequence[Path], settings: Sequence[Settings]) -> tuple[list[Backtest], list[str]]:
    tests = [Backtest(one.spikes, _rules(one)) for one in settings]
    watchlist = load_watchlist(settings[0].watchlist) if settings[0].watchlist else Watchlist([])
    feed = Feed(files, settings[0], lambda: _loaded(settings[0]), watchlist)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("events", total=len(feed))
        for event in feed:
            for test in tests:
                test.take(event.time, event.pairs, event.bundle)
            progress.update(task, completed=feed.tally.events)
    for test in tests:
        test.finish()
    refused = f", {feed.tally.refused:,} of them refused" if feed.tally.refused else ""
    return tests, [f"{feed.tally.events:,} events{refused}"]


def _run_counts(files: Sequence[Path], settings: Sequence[Settings]) -> tuple[list[Backtest], list[str]]:
    # Of nothing but negatives the share is always 1: only their number can tell.
    tests = [Backtest(one.spikes.model_copy(update={"volume_only": True}), _rules(one)) for one in settings]
    if len({file.stem for file in files}) < len(files):
        raise UsageError("two files of counts have the same name, which is to be their subject's")
    rows = merged_counts(files)
    for time, subject, number in rows:
        for test in tests:
            test.count(time, subject, number)
    for test in tests:
        test.finish()
    return tests, [f"{len(rows):,} rows"]


def _rules(settings: Settings) -> Rules:
    return load_rules(settings.rules, settings.spikes) if settings.rules else Rules()


def _loaded(settings: Settings) -> Engine:
    engine = Engine(load_bundle(settings.bundle), settings.engine)
    engine.load()
    return engine


def _plain(alert: Alert) -> dict[str, Any]:
    return {
        "subject": alert.subject,
        "fired_at": _moment(alert.fired_at),
        "start": _moment(alert.started_at),
        "end": _moment(alert.resolved_at),
        "peak": alert.peak_negative,
        "severity": alert.severity.value,
        "reason": alert.reason,
        "id": alert.id,
    }


def _moment(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")
